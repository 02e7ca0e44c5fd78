// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One entry of a module with the memory it runs in: outputs and arena are
// allocated for the largest sizes once; running allocates nothing.
//
//   ASSIGN_OR_RETURN(BoundEntry score, BoundEntry::Bind(engine, "score", most));
//   RETURN_IF_ERROR(score.SetInput("ids", ids.data()));
//   RETURN_IF_ERROR(score.Run(dims));
//   const float* logits = score.Output<float>("logits");

#ifndef MOE_RUNTIME_BOUND_ENTRY_H_
#define MOE_RUNTIME_BOUND_ENTRY_H_

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/anonymous_memory.h"
#include "runtime/cpu/native_call.h"
#include "runtime/engine.h"
#include "runtime/include/moe/abi.h"

namespace moe {

using Dims = std::array<int64_t, MOE_DIM_COUNT>;

// What an entry needs for the largest dims, apart from its inputs.
struct EntryMemory {
  int64_t workspace = 0;
  int64_t outputs = 0;
};

// U108 if there is no such entry, R101 if its sizes overflow.
absl::StatusOr<EntryMemory> PlanEntry(const Module& module,
                                      std::string_view entry, const Dims& most);

// Movable; runs on one thread at a time. Borrows the engine.
class BoundEntry {
 public:
  // Memory for all dims up to |most|. As PlanEntry; R101 if memory is refused.
  // Outputs in memory of its own, or where SetInPlace() says.
  enum class Outputs { kOwn, kGiven };
  static absl::StatusOr<BoundEntry> Bind(const Engine& engine,
                                         std::string_view entry,
                                         const Dims& most,
                                         Outputs outputs = Outputs::kOwn);

  // What an input or the cache reads from on the next runs; borrowed. M113 if
  // the entry has no such buffer.
  absl::Status SetInput(std::string_view name, const void* data);
  // Where the input |name| and the output "next.|name|" lie, if it has them: a
  // value that the next runs replace. For Outputs::kGiven; borrowed. M113 if
  // the entry has neither.
  absl::Status SetInPlace(std::string_view name, void* data);
  // Whether the entry has a buffer of that name.
  bool Has(std::string_view name) const { return spec_->FindBuffer(name) >= 0; }
  // Where an output lies; null if there is none of that name. The address stays
  // the same; the contents are those of the last run.
  void* OutputData(std::string_view name) const;
  template <typename T>
  const T* Output(std::string_view name) const {
    return static_cast<const T*>(OutputData(name));
  }

  // M113 unless the entry has this output; unless all its inputs were set.
  absl::Status CheckOutput(std::string_view name, DType dtype,
                           std::initializer_list<std::string> shape) const;
  absl::Status CheckInputsSet() const;

  // Runs the entry. Every dim must be at most what was bound. R104.
  absl::Status Run(const Dims& dims);

  const EntrySpec& spec() const { return *spec_; }

 private:
  BoundEntry() = default;

  const EntrySpec* spec_ = nullptr;
  const moe_entry_v1* code_ = nullptr;
  std::unique_ptr<NativeContext> context_;
  Dims most_{};
  AnonymousMemory arena_, outputs_;
  std::vector<void*> buffers_;
  std::vector<bool> set_;
  Outputs kind_ = Outputs::kOwn;
};

}  // namespace moe

#endif  // MOE_RUNTIME_BOUND_ENTRY_H_
