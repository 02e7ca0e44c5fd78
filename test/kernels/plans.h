// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Scores and choices of experts, as the kernel tests of routing draw them.

#ifndef MOE_TEST_KERNELS_PLANS_H_
#define MOE_TEST_KERNELS_PLANS_H_

#include <cfloat>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "test/kernels/compare.h"

namespace moe::kernels {

// Scores with many equal ones and every special value.
inline std::vector<float> Scores(Random& random, int64_t n) {
  const float special[] = {
      0.0f,  -0.0f,    FLT_MIN / 2, -FLT_MIN / 2, FLT_MIN, -FLT_MIN, 1.0f,
      -1.0f, INFINITY, -INFINITY,   NAN,          -NAN,    0.5f,     FLT_MAX};
  std::vector<float> scores(n);
  for (float& s : scores)
    s = random.Int(0, 2) ? static_cast<float>(random.Int(-4, 4)) / 4
                         : special[random.Int(0, std::size(special) - 1)];
  return scores;
}

// Choices of experts: different ones for a token, some of them invalid.
inline std::vector<int32_t> Choices(Random& random, int64_t tokens,
                                    int64_t experts, int64_t k,
                                    const std::string& kind) {
  std::vector<int32_t> idx(tokens * k);
  for (int64_t i = 0; i < tokens * k; ++i) {
    int64_t expert = (random.Int(0, experts - 1) / k * k + i % k) % experts;
    if (kind == "skew") expert = i % k;
    if (kind == "even") expert -= expert % 2;
    if (kind == "invalid" && random.Int(0, 2) == 0) expert = experts;
    if (kind == "none") expert = random.Int(0, 1) ? experts : -1;
    idx[i] = static_cast<int32_t>(expert);
  }
  return idx;
}

inline const std::string kKinds[] = {"random", "skew", "even", "invalid",
                                     "none"};
// Experts, and choices of a token.
inline const std::pair<int64_t, int64_t> kPlans[] = {
    {1, 1}, {8, 2}, {17, 3}, {64, 6}, {33, 20}};

}  // namespace moe::kernels

#endif  // MOE_TEST_KERNELS_PLANS_H_
