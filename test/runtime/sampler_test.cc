// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace moe {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Sampler, GreedyTakesTheFirstOfEquals) {
  Sampler sampler(5);
  const std::vector<float> logits = {1, 3, 2, 3, -kInf};
  EXPECT_EQ(sampler.Sample(logits, {}, 0), 1);
}

TEST(Sampler, RefusesNumbersThatAreNone) {
  Sampler sampler(3);
  EXPECT_EQ(sampler.Sample(std::vector<float>{1, NAN, 2}, {}, 0), std::nullopt);
  EXPECT_EQ(sampler.Sample(std::vector<float>{-kInf, -kInf, -kInf}, {}, 0),
            std::nullopt);
  EXPECT_EQ(sampler.Sample(std::vector<float>{1, kInf, 2}, {}, 0),
            std::nullopt);
}

std::vector<double> Frequencies(const std::vector<float>& logits,
                                SamplingOptions options) {
  Sampler sampler(static_cast<int64_t>(logits.size()));
  std::vector<double> counts(logits.size());
  constexpr int kDraws = 40000;
  for (int i = 0; i < kDraws; ++i)
    counts[static_cast<size_t>(*sampler.Sample(logits, options, i))] +=
        1.0 / kDraws;
  return counts;
}

TEST(Sampler, DrawsByProbability) {
  const std::vector<float> logits = {0, 1, 2, -1};
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit / 0.7);
  const auto seen = Frequencies(logits, {.temperature = 0.7, .seed = 5});
  for (size_t i = 0; i < logits.size(); ++i)
    EXPECT_NEAR(seen[i], std::exp(logits[i] / 0.7) / sum, 0.01);
}

TEST(Sampler, TopKKeepsTheLikeliest) {
  const auto seen =
      Frequencies({1, 3, 2, 3, 0}, {.temperature = 1, .top_k = 2, .seed = 5});
  EXPECT_EQ(seen[0] + seen[2] + seen[4], 0);
  EXPECT_NEAR(seen[1], 0.5, 0.01);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesIt) {
  // Probabilities 0.5, 0.3, 0.15, 0.05.
  const std::vector<float> logits = {std::log(0.15f), std::log(0.5f),
                                     std::log(0.05f), std::log(0.3f)};
  auto seen = Frequencies(logits, {.temperature = 1, .top_p = 0.7, .seed = 5});
  EXPECT_EQ(seen[0] + seen[2], 0);
  EXPECT_NEAR(seen[1], 0.625, 0.01);
  seen = Frequencies(logits, {.temperature = 1, .top_p = 0.01, .seed = 5});
  EXPECT_NEAR(seen[1], 1, 1e-9);
  // After top_k = 2 the two have 0.625 and 0.375.
  seen = Frequencies(logits,
                     {.temperature = 1, .top_p = 0.6, .top_k = 2, .seed = 5});
  EXPECT_NEAR(seen[1], 1, 1e-9);
}

TEST(Sampler, DependsOnSeedAndPositionOnly) {
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(i % 17) / 8;
  Sampler one(1000), two(1000);
  const SamplingOptions options = {.temperature = 1, .top_p = 0.9, .seed = 9};
  std::vector<int32_t> forward, backward(50);
  for (int i = 0; i < 50; ++i)
    forward.push_back(*one.Sample(logits, options, i));
  for (int i = 49; i >= 0; --i)
    backward[static_cast<size_t>(i)] = *two.Sample(logits, options, i);
  EXPECT_EQ(forward, backward);
  SamplingOptions other = options;
  other.seed = 10;
  int same = 0;
  for (int i = 0; i < 50; ++i)
    same += *two.Sample(logits, other, i) == forward[static_cast<size_t>(i)];
  EXPECT_LT(same, 10);
}

}  // namespace
}  // namespace moe
