// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The native code of a module, loaded from memory.
//
//   ASSIGN_OR_RETURN(ElfModule code, ElfModule::Load(section->bytes, "m.moe"));
//   if (const moe_entry_v1* entry = code.Find("score")) entry->fn(...);

#ifndef MOE_RUNTIME_CPU_ELF_MODULE_H_
#define MOE_RUNTIME_CPU_ELF_MODULE_H_

#include <cstddef>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/include/moe/abi.h"

namespace moe {

struct ElfLoadOptions {
  // Goes straight to a private temporary file, which otherwise serves where
  // memfd_create or /proc is blocked.
  bool through_file = false;
};

// Movable; unloads on destruction. Entries stay valid until then and may be
// called from any thread.
class ElfModule {
 public:
  // Checks |object| (elf_check.h) and loads it. |where| starts messages. M112
  // if it is refused, M110 for another ABI, M113 if its table makes no sense.
  static absl::StatusOr<ElfModule> Load(std::span<const std::byte> object,
                                        std::string_view where,
                                        const ElfLoadOptions& options = {});

  ElfModule(ElfModule&& other) noexcept;
  ElfModule& operator=(ElfModule&& other) noexcept;
  ~ElfModule();

  std::span<const moe_entry_v1> entries() const {
    return {table_->entries, table_->entry_count};
  }
  // Null if there is no entry of that name.
  const moe_entry_v1* Find(std::string_view name) const;

 private:
  ElfModule() = default;
  void Unload();

  void* handle_ = nullptr;
  // Open as long as the object is loaded: the system's loader knows an object
  // by its path, and a number that is used again would name the wrong one.
  int descriptor_ = -1;
  const moe_module_v1_table* table_ = nullptr;
};

}  // namespace moe

#endif  // MOE_RUNTIME_CPU_ELF_MODULE_H_
