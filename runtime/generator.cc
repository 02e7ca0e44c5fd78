// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/generator.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/token_ids.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Leaves its slot at the end of the scope.
class Sequence {
 public:
  Sequence(Stepper& stepper, int32_t slot) : stepper_(stepper), slot_(slot) {}
  ~Sequence() { stepper_.Leave(slot_); }
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  int64_t length() const { return stepper_.Length(slot_); }

  absl::Status Append(std::span<const int32_t> ids) {
    const auto most = static_cast<size_t>(stepper_.max_tokens());
    for (size_t at = 0; at < ids.size(); at += most) {
      const Chunk chunk{slot_,
                        ids.subspan(at, std::min(most, ids.size() - at))};
      RETURN_IF_ERROR(stepper_.Step({&chunk, 1}));
    }
    return absl::OkStatus();
  }

 private:
  Stepper& stepper_;
  int32_t slot_;
};

}  // namespace

absl::Status CheckRequest(const ModelSpec& model, int64_t kv_tokens,
                          std::span<const int32_t> prompt,
                          const GenerateRequest& request) {
  RETURN_IF_ERROR(CheckSampling(request.sampling));
  if (request.max_new_tokens < 1 || request.max_new_tokens > INT32_MAX)
    return Error(Code::U103, "the number of new tokens must be at least 1, ",
                 "found ", request.max_new_tokens);
  RETURN_IF_ERROR(CheckIds(prompt, model.vocab_size, "the prompt"));
  const int64_t total =
      static_cast<int64_t>(prompt.size()) + request.max_new_tokens;
  if (total > kv_tokens)
    return Error(Code::R203, "the prompt of ", prompt.size(), " tokens and ",
                 request.max_new_tokens, " new ones need a cache of ", total,
                 ", and it has ", kv_tokens,
                 ". Raise --kv-tokens or lower -n.");
  return CheckLength(total, model.max_positions,
                     "prompt and new tokens together");
}

absl::Status CheckSampling(const SamplingOptions& options) {
  if (!(options.temperature >= 0) || std::isinf(options.temperature))
    return Error(Code::U103, "temperature must be 0 or more, found ",
                 options.temperature);
  if (!(options.top_p > 0 && options.top_p <= 1))
    return Error(Code::U103, "top-p must be above 0 and at most 1, found ",
                 options.top_p);
  if (options.top_k < 0)
    return Error(Code::U103, "top-k must be 0 or more, found ", options.top_k);
  return absl::OkStatus();
}

absl::StatusOr<Generated> Generate(
    Stepper& stepper, std::span<const int32_t> prompt,
    const GenerateRequest& request,
    const std::function<bool(int32_t)>& on_token) {
  const ModelSpec& model = *stepper.engine().manifest().model;
  RETURN_IF_ERROR(
      CheckRequest(model, stepper.cache().tokens_per_slot(), prompt, request));
  const std::vector<int64_t>& eos = model.eos_token_ids;
  ASSIGN_OR_RETURN(const int32_t slot, stepper.Join());
  Sequence sequence(stepper, slot);
  Sampler sampler(stepper.vocab_size());
  Generated result;
  result.ids.reserve(static_cast<size_t>(request.max_new_tokens));
  Clock::time_point start = Clock::now();
  RETURN_IF_ERROR(sequence.Append(prompt));
  while (true) {
    const std::optional<int32_t> id =
        sampler.Sample(stepper.Logits(0), request.sampling, sequence.length());
    if (!id)
      return Error(Code::R301, "the logits after token ", sequence.length(),
                   " are not finite");
    result.ids.push_back(*id);
    if (result.ids.size() == 1) {
      result.first_seconds = SecondsSince(start);
      start = Clock::now();
    }
    result.rest_seconds = SecondsSince(start);
    const bool go_on = !on_token || on_token(*id);
    if (request.stop_at_eos &&
        std::find(eos.begin(), eos.end(), *id) != eos.end())
      result.stop = StopReason::kEos;
    else if (!go_on)
      result.stop = StopReason::kCallback;
    else if (static_cast<int64_t>(result.ids.size()) < request.max_new_tokens) {
      RETURN_IF_ERROR(sequence.Append({&result.ids.back(), 1}));
      continue;
    }
    return result;
  }
}

}  // namespace moe
