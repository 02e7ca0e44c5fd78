// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs sequences that join and leave: each step takes new tokens of some of
// them, and gives the logits after the last token of each.
//
//   ASSIGN_OR_RETURN(auto stepper, Stepper::Create(engine, options));
//   ASSIGN_OR_RETURN(int32_t slot, stepper->Join());
//   RETURN_IF_ERROR(stepper->Step({{{slot, prompt}}}));
//   std::span<const float> logits = stepper->Logits(0);

#ifndef MOE_RUNTIME_STEPPER_H_
#define MOE_RUNTIME_STEPPER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/bound_entry.h"
#include "runtime/engine.h"
#include "runtime/include/moe/model.h"
#include "runtime/kv_cache.h"

namespace moe {

struct StepperOptions {
  KvOptions kv = {};
  int64_t max_tokens = 512;  // in one step, all sequences together
};

// The largest dims of the entries "prefill" and "decode".
struct StepperDims {
  Dims prefill, decode;
};
StepperDims LargestDims(const StepperOptions& options);

// Not thread-safe. Borrows the engine. Step() allocates nothing and takes no
// lock (errors apart).
class Stepper {
 public:
  // U108 if the module has no entries prefill and decode, the codes of
  // BoundEntry::Bind and KvCache::Create.
  static absl::StatusOr<std::unique_ptr<Stepper>> Create(
      const Engine& engine, const StepperOptions& options);

  // A slot for a new, empty sequence; R103 if all are taken.
  absl::StatusOr<int32_t> Join();
  // Ends the sequence and frees its pages.
  void Leave(int32_t slot);

  // Appends each chunk to its sequence: by the entry "decode" if every chunk has
  // one token, else by "prefill". Within one entry the logits of a sequence do
  // not depend on the others. U103 unless the slots are different ones that
  // joined, R201 for an empty chunk, R202 for an id outside the vocabulary, R203
  // beyond the cache, the model's positions, or max_tokens in all, R103 without
  // a free page: then no sequence has changed. R104 if the code fails: then the
  // sequences of the step must leave.
  absl::Status Step(std::span<const Chunk> chunks);

  // After the last token of chunk |i| of the last step: vocab_size values;
  // empty if there was none.
  std::span<const float> Logits(size_t i) const {
    if (logits_ == nullptr || i >= slots_.size()) return {};
    return {logits_ + i * vocab_, vocab_};
  }

  // Whether |slot| came from Join() and has not left.
  bool Holds(int32_t slot) const {
    return static_cast<size_t>(slot) < lengths_.size() && Length(slot) >= 0;
  }
  int64_t Length(int32_t slot) const {
    return lengths_[static_cast<size_t>(slot)];
  }
  int64_t max_tokens() const { return static_cast<int64_t>(ids_.size()); }
  int64_t vocab_size() const { return static_cast<int64_t>(vocab_); }
  const KvCache& cache() const { return cache_; }
  const Engine& engine() const { return engine_; }

 private:
  Stepper(const Engine& engine, KvCache cache, BoundEntry prefill,
          BoundEntry decode);
  absl::Status ConnectInputs(BoundEntry& entry);
  absl::Status Check(std::span<const Chunk> chunks);

  const Engine& engine_;
  KvCache cache_;
  BoundEntry prefill_, decode_;
  size_t vocab_ = 0;
  int64_t max_positions_ = 0;
  const float* logits_ = nullptr;
  std::vector<int64_t> lengths_;    // by slot; -1: no sequence
  std::vector<int64_t> last_step_;  // that a slot was in
  int64_t step_ = 0;
  std::vector<int32_t> ids_, positions_, cu_seqlens_, slots_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_STEPPER_H_
