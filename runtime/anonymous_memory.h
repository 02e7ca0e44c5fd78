// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One large zeroed block of memory of our own, straight from the system.
//
//   ASSIGN_OR_RETURN(AnonymousMemory arena,
//                    AnonymousMemory::Allocate(bytes, "workspace"));

#ifndef MOE_RUNTIME_ANONYMOUS_MEMORY_H_
#define MOE_RUNTIME_ANONYMOUS_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace moe {

// Movable; the address does not change. Frees on destruction.
class AnonymousMemory {
 public:
  // |bytes| zero bytes, page aligned; large blocks ask for huge pages. Pages
  // take up memory when they are first written. R101, naming |what| and the
  // bytes, if the system refuses.
  static absl::StatusOr<AnonymousMemory> Allocate(int64_t bytes,
                                                  std::string_view what);

  AnonymousMemory() = default;
  AnonymousMemory(AnonymousMemory&& other) noexcept;
  AnonymousMemory& operator=(AnonymousMemory&& other) noexcept;
  ~AnonymousMemory();

  // Null if empty.
  std::byte* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace moe

#endif  // MOE_RUNTIME_ANONYMOUS_MEMORY_H_
