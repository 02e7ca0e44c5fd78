// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Random numbers that depend on seed, step, layer, stream and element alone.
//
//   RandomKey key = RandomKey::FromInts(ints);   // the operand of moe.random
//   RandomValues(key, /*stream=*/1, Distribution::kNormal, tokens, width, y);
//
// All functions are pure.

#ifndef MOE_LIB_REFERENCE_RANDOM_H_
#define MOE_LIB_REFERENCE_RANDOM_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace moe::reference {

struct RandomKey {
  uint64_t seed = 0;
  uint32_t step = 0;
  uint32_t layer = 0;
  uint64_t first = 0;  // tokens in front of this call's

  // (seed lo, seed hi, step, layer, first lo, first hi)
  static RandomKey FromInts(const int32_t (&ints)[6]);
};

enum class Distribution { kUniform, kNormal, kGumbel, kExponential };

// The spelling of the IR attribute: uniform, normal, gumbel, exponential.
std::string_view DistributionName(Distribution distribution);
std::optional<Distribution> ParseDistribution(std::string_view name);

// moe.random: y[tokens, width]; stream < 64. The words are exact, functions of
// them are those of T, float or double.
template <typename T>
void RandomValues(const RandomKey& key, uint32_t stream,
                  Distribution distribution, int64_t tokens, int64_t width,
                  T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_RANDOM_H_
