// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Continues one sequence token by token.

#ifndef MOE_RUNTIME_GENERATOR_H_
#define MOE_RUNTIME_GENERATOR_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/include/moe/model.h"
#include "runtime/sampler.h"
#include "runtime/stepper.h"

namespace moe {

struct GenerateRequest {
  int64_t max_new_tokens = 1;
  SamplingOptions sampling = {};
  bool stop_at_eos = true;  // at the manifest's eos_token_ids
};

struct Generated {
  std::vector<int32_t> ids;  // new ones only; the eos that ended it included
  StopReason stop = StopReason::kLength;
  double first_seconds = 0;  // until the first new token
  double rest_seconds = 0;   // from there to the end
};

// Puts |prompt| into a new sequence of |stepper|, in steps of at most its
// max_tokens, and samples. |on_token| (may be empty) sees each new id at once
// and ends the sequence by returning false; it runs in the caller's floating
// point mode. The sequence has left when this returns.
//
// Before anything runs: R201 for an empty prompt, R202 for an id outside the
// vocabulary, R203 if prompt and max_new_tokens together exceed the cache or
// the model's positions, U103 for options out of range. Later: R301 if logits
// are not finite, and the codes of Step().
absl::StatusOr<Generated> Generate(
    Stepper& stepper, std::span<const int32_t> prompt,
    const GenerateRequest& request,
    const std::function<bool(int32_t)>& on_token = {});

// The refusals above, for a cache of |kv_tokens|, before there is a stepper.
absl::Status CheckRequest(const ModelSpec& model, int64_t kv_tokens,
                          std::span<const int32_t> prompt,
                          const GenerateRequest& request);

// U103 unless temperature, top_p and top_k are in range.
absl::Status CheckSampling(const SamplingOptions& options);

}  // namespace moe

#endif  // MOE_RUNTIME_GENERATOR_H_
