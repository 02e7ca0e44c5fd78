// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/stepper.h"

#include <algorithm>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/token_ids.h"

namespace moe {
namespace {

constexpr char kPrefill[] = "prefill", kDecode[] = "decode";

}  // namespace

StepperDims LargestDims(const StepperOptions& options) {
  const KvOptions& kv = options.kv;
  const int64_t tokens = std::max(options.max_tokens, kv.slots);
  const int64_t longest = std::min(tokens, kv.tokens_per_slot);
  return {{tokens, kv.slots, longest, kv.PageLength(), kv.PagesPerSlot(),
           kv.Pages(), tokens},
          {kv.slots, kv.slots, 1, kv.PageLength(), kv.PagesPerSlot(),
           kv.Pages(), kv.slots}};
}

Stepper::Stepper(const Engine& engine, KvCache cache, BoundEntry prefill,
                 BoundEntry decode)
    : engine_(engine),
      cache_(std::move(cache)),
      prefill_(std::move(prefill)),
      decode_(std::move(decode)) {}

absl::StatusOr<std::unique_ptr<Stepper>> Stepper::Create(
    const Engine& engine, const StepperOptions& options) {
  const std::optional<ModelSpec>& model = engine.manifest().model;
  RETURN_IF_ERROR(engine.manifest().GetEntry(kPrefill).status());
  RETURN_IF_ERROR(engine.manifest().GetEntry(kDecode).status());
  if (!model || !model->kv)
    return Error(Code::M109, "the manifest has prefill and decode but no ",
                 "model.kv. Compile the model again.");
  ASSIGN_OR_RETURN(KvCache cache, KvCache::Create(*model->kv, options.kv));
  const StepperDims most = LargestDims(options);
  ASSIGN_OR_RETURN(BoundEntry prefill,
                   BoundEntry::Bind(engine, kPrefill, most.prefill));
  ASSIGN_OR_RETURN(BoundEntry decode,
                   BoundEntry::Bind(engine, kDecode, most.decode));
  std::unique_ptr<Stepper> stepper(new Stepper(
      engine, std::move(cache), std::move(prefill), std::move(decode)));
  const auto slots = static_cast<size_t>(options.kv.slots);
  const auto tokens = static_cast<size_t>(most.prefill[MOE_DIM_TOKENS]);
  stepper->vocab_ = static_cast<size_t>(model->vocab_size);
  stepper->max_positions_ = model->max_positions;
  stepper->lengths_.assign(slots, -1);
  stepper->last_step_.assign(slots, 0);
  stepper->ids_.resize(tokens);
  stepper->positions_.resize(tokens);
  stepper->cu_seqlens_.resize(slots + 1);
  stepper->slots_.resize(slots);
  RETURN_IF_ERROR(stepper->ConnectInputs(stepper->prefill_));
  RETURN_IF_ERROR(stepper->ConnectInputs(stepper->decode_));
  return stepper;
}

absl::Status Stepper::ConnectInputs(BoundEntry& entry) {
  RETURN_IF_ERROR(entry.SetInput("ids", ids_.data()));
  RETURN_IF_ERROR(entry.SetInput("positions", positions_.data()));
  RETURN_IF_ERROR(entry.SetInput("cu_seqlens", cu_seqlens_.data()));
  RETURN_IF_ERROR(entry.SetInput("slot", slots_.data()));
  RETURN_IF_ERROR(entry.SetInput("block_table", cache_.block_table()));
  RETURN_IF_ERROR(entry.SetInput("cache", cache_.data()));
  RETURN_IF_ERROR(entry.CheckInputsSet());
  return entry.CheckOutput("logits", DType::kF32,
                           {"sequences", std::to_string(vocab_)});
}

absl::StatusOr<int32_t> Stepper::Join() {
  ASSIGN_OR_RETURN(const int32_t slot, cache_.Join());
  lengths_[static_cast<size_t>(slot)] = 0;
  return slot;
}

void Stepper::Leave(int32_t slot) {
  cache_.Leave(slot);
  lengths_[static_cast<size_t>(slot)] = -1;
}

absl::Status Stepper::Check(std::span<const Chunk> chunks) {
  int64_t tokens = 0, pages = 0;
  ++step_;
  for (const Chunk& chunk : chunks) {
    const auto slot = static_cast<size_t>(chunk.sequence);
    if (!Holds(chunk.sequence) || last_step_[slot] == step_)
      return Error(Code::U103, "sequence ", chunk.sequence,
                   " has not joined or is in the step twice");
    last_step_[slot] = step_;
    RETURN_IF_ERROR(
        CheckIds(chunk.ids, static_cast<int64_t>(vocab_), "the sequence"));
    const int64_t added = static_cast<int64_t>(chunk.ids.size());
    const int64_t length = lengths_[slot] + added;
    RETURN_IF_ERROR(CheckLength(length, max_positions_, "the sequence"));
    tokens += added;
    RETURN_IF_ERROR(cache_.CheckFits(length));
    pages += cache_.PagesToGrow(chunk.sequence, length);
  }
  if (tokens > max_tokens() ||
      static_cast<int64_t>(chunks.size()) > cache_.slots())
    return Error(Code::R203, "a step of ", tokens, " tokens in ", chunks.size(),
                 " sequences; the session takes ", max_tokens(), " in ",
                 cache_.slots());
  return cache_.CheckFree(pages);
}

absl::Status Stepper::Step(std::span<const Chunk> chunks) {
  if (chunks.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Check(chunks));
  size_t at = 0;
  int64_t longest = 0;
  for (size_t b = 0; b < chunks.size(); ++b) {
    const Chunk& chunk = chunks[b];
    int64_t& length = lengths_[static_cast<size_t>(chunk.sequence)];
    const int64_t added = static_cast<int64_t>(chunk.ids.size());
    RETURN_IF_ERROR(cache_.Grow(chunk.sequence, length + added));
    slots_[b] = chunk.sequence;
    cu_seqlens_[b] = static_cast<int32_t>(at);
    for (int32_t id : chunk.ids) {
      ids_[at] = id;
      positions_[at++] = static_cast<int32_t>(length++);
    }
    longest = std::max(longest, added);
  }
  cu_seqlens_[chunks.size()] = static_cast<int32_t>(at);
  BoundEntry& entry = longest == 1 ? decode_ : prefill_;
  logits_ = entry.Output<float>("logits");
  return entry.Run({static_cast<int64_t>(at),
                    static_cast<int64_t>(chunks.size()), longest,
                    cache_.page_length(), cache_.pages_per_slot(),
                    cache_.pages(), static_cast<int64_t>(at)});
}

}  // namespace moe
