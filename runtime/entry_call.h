// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Calls any entry that needs no cache, by name, with tensors by name.
//
//   ASSIGN_OR_RETURN(EntryCall call, EntryCall::Prepare(engine, "f", inputs));
//   RETURN_IF_ERROR(call.Run());
//   for (const TensorView& out : call.outputs()) ...

#ifndef MOE_RUNTIME_ENTRY_CALL_H_
#define MOE_RUNTIME_ENTRY_CALL_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/anonymous_memory.h"
#include "runtime/bound_entry.h"
#include "runtime/engine.h"

namespace moe {

// Dense, row-major; the data is somebody else's.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

// Movable; not thread-safe. Borrows the engine.
class EntryCall {
 public:
  // Finds the sizes from the shapes of |inputs| and allocates. What is not
  // 64-byte aligned is copied; the rest is borrowed until the last Run().
  // "positions" and "cu_seqlens" may be left out: then the tokens are one
  // sequence. U108 for an unknown entry, R204 for an input that is missing (or
  // a cache: such entries need a session), R205 for one that does not fit, R202
  // and R203 as elsewhere.
  static absl::StatusOr<EntryCall> Prepare(const Engine& engine,
                                           std::string_view entry,
                                           std::span<const TensorView> inputs);

  // May be repeated. Allocates nothing.
  absl::Status Run() { return entry_.Run(dims_); }

  // Of the last run; valid until the next, or until this goes away.
  const std::vector<TensorView>& outputs() const { return outputs_; }
  // Names among the inputs that the entry has no use for.
  const std::vector<std::string>& unused() const { return unused_; }

 private:
  EntryCall(BoundEntry entry, const Dims& dims)
      : entry_(std::move(entry)), dims_(dims) {}
  absl::Status Connect(std::span<const TensorView> inputs);

  BoundEntry entry_;
  Dims dims_;
  std::vector<AnonymousMemory> copies_;
  std::vector<int32_t> positions_, cu_seqlens_;
  std::vector<TensorView> outputs_;
  std::vector<std::string> unused_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_ENTRY_CALL_H_
