// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Chooses the next token from a row of logits.
#ifndef MOE_RUNTIME_SAMPLER_H_
#define MOE_RUNTIME_SAMPLER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace moe {

struct SamplingOptions {
  double temperature = 0;  // 0: the largest logit, the lower index among equals
  double top_p = 1;        // smallest set of likeliest tokens that reaches this
                           // probability; 1 keeps all
  int64_t top_k =
      0;  // this many likeliest tokens; 0 keeps all. Applied before top_p
  uint64_t seed = 0;
};

// Not thread-safe: owns scratch space. Sample() allocates nothing.
class Sampler {
 public:
  explicit Sampler(int64_t vocab_size);

  // The token for absolute position |position| of a request: a function of the
  // logits, the options and the position alone. Nothing if a logit is NaN or
  // none is finite. |logits| has vocab_size values.
  std::optional<int32_t> Sample(std::span<const float> logits,
                                const SamplingOptions& options,
                                int64_t position);

 private:
  // Orders the likeliest candidates into the back of order_ and returns how
  // many options keep.
  int64_t KeepLikeliest(std::span<const float> logits,
                        const SamplingOptions& options, float largest);

  std::vector<int32_t> order_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_SAMPLER_H_
