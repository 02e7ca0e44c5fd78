// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <vector>

#include "lib/core/philox.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

TEST(RandomKey, WordsInTheirPlaces) {
  const int32_t ints[6] = {-1, 2, 3, 4, -5, 6};
  const RandomKey key = RandomKey::FromInts(ints);
  EXPECT_EQ(key.seed, 0x2ffffffffu);
  EXPECT_EQ(key.step, 3u);
  EXPECT_EQ(key.layer, 4u);
  EXPECT_EQ(key.first, 0x6fffffffbu);
}

TEST(Distribution, Names) {
  for (const char* name : {"uniform", "normal", "gumbel", "exponential"})
    EXPECT_EQ(DistributionName(*ParseDistribution(name)), name);
  EXPECT_FALSE(ParseDistribution("cauchy"));
}

template <typename T>
class RandomOf : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(RandomOf, Types);

template <typename T>
std::vector<T> Draw(const RandomKey& key, Distribution distribution,
                    int64_t tokens, int64_t width, uint32_t stream = 1) {
  std::vector<T> y(tokens * width);
  RandomValues(key, stream, distribution, tokens, width, y.data());
  return y;
}

// Each element from its own counter, by the formulas.
TYPED_TEST(RandomOf, ElementsByTheirCounters) {
  using T = TypeParam;
  const RandomKey key{0x123456789abcdef0, 77, 5, 0x7fffffff0};
  const int64_t tokens = 9, width = 11;
  std::vector<double> want[4];
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t j = 0; j < width; ++j) {
      const uint64_t at = (key.first + uint64_t(t)) * width + uint64_t(j);
      const PhiloxBlock r =
          Philox(key.seed)({uint32_t(at), uint32_t(at >> 32), 5 * 64 + 3, 77});
      const double u = std::floor(r[0] / 256.0) / 16777216;
      const double v = std::max(u, 1 / 16777216.0);
      const double w = std::floor(r[1] / 256.0) / 16777216;
      want[0].push_back(u);
      want[1].push_back(std::sqrt(-2 * std::log(v)) *
                        std::cos(2 * std::numbers::pi * w));
      want[2].push_back(-std::log(-std::log(v)));
      want[3].push_back(-std::log(v));
    }
  for (int d = 0; d < 4; ++d) {
    const auto distribution = static_cast<Distribution>(d);
    const auto got = Draw<T>(key, distribution, tokens, width, 3);
    Report("random, " + std::string(DistributionName(distribution)),
           CompareOp(got, want[d], 1));
    if (d == 0) {
      EXPECT_EQ(Wide(got), want[0]);
    }
  }
}

// A token has its numbers wherever the tokens are cut, and whatever runs on
// another rank.
TYPED_TEST(RandomOf, TheSameWhateverTheSharding) {
  using T = TypeParam;
  Random random(31);
  const int64_t tokens = 40, width = 6;
  const RandomKey key{99, 3, 2, 5};
  for (int d = 0; d < 4; ++d) {
    const auto distribution = static_cast<Distribution>(d);
    const auto whole = Draw<T>(key, distribution, tokens, width);
    for (int n = 0; n < 20; ++n) {
      std::vector<T> joined;
      for (int64_t t = 0; t < tokens;) {
        const int64_t part = random.Int(1, tokens - t);
        RandomKey shifted = key;
        shifted.first += static_cast<uint64_t>(t);
        const auto y = Draw<T>(shifted, distribution, part, width);
        joined.insert(joined.end(), y.begin(), y.end());
        t += part;
      }
      EXPECT_EQ(joined, whole);
    }
  }
}

// Another seed, step, layer or stream: other numbers, in each place.
TEST(RandomF32, KeysDoNotShareNumbers) {
  const int64_t n = 64;
  std::set<std::vector<float>> seen;
  std::vector<float> all;
  auto add = [&](RandomKey key, uint32_t stream) {
    const auto y = Draw<float>(key, Distribution::kUniform, n, 1, stream);
    EXPECT_TRUE(seen.insert(y).second);
    all.insert(all.end(), y.begin(), y.end());
  };
  for (uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32})
    for (uint32_t step : {0, 1})
      for (uint32_t layer : {0, 1})
        for (uint32_t stream = 0; stream < 9; ++stream)
          add({seed, step, layer, 0}, stream);
  add({0, 0, 0, uint64_t{1} << 32}, 0);
  double sum = 0, square = 0;
  for (float x : all) {
    EXPECT_TRUE(0 <= x && x < 1);
    sum += x;
    square += double(x) * x;
  }
  const double count = double(all.size());
  std::printf("%-44s mean %.4f, square %.4f of %.0f\n", "uniform", sum / count,
              square / count, count);
  EXPECT_NEAR(sum / count, 0.5, 0.02);
  EXPECT_NEAR(square / count, 1.0 / 3, 0.02);
}

// The one draw in 2^24 whose logarithm would be infinite.
TYPED_TEST(RandomOf, LeastDraw) {
  using T = TypeParam;
  const RandomKey key{0, 0, 0, 14883995};
  EXPECT_EQ(Draw<T>(key, Distribution::kUniform, 1, 1, 0)[0], 0);
  const double v = 0x1p-24;
  const auto check = [&](Distribution d, double want) {
    Report("least draw, " + std::string(DistributionName(d)),
           CompareOp(Draw<T>(key, d, 1, 1, 0), {want}, 1));
  };
  check(Distribution::kExponential, -std::log(v));
  check(Distribution::kGumbel, -std::log(-std::log(v)));
  check(Distribution::kNormal,
        std::sqrt(-2 * std::log(v)) *
            std::cos(2 * std::numbers::pi * 0x9f7222 * 0x1p-24));
}

// Moments within five standard errors.
TYPED_TEST(RandomOf, Moments) {
  using T = TypeParam;
  const int64_t n = 40000;
  const double kEuler = 0.57721566490153286;
  const double mean[] = {0.5, 0, kEuler, 1};
  const double variance[] = {1.0 / 12, 1,
                             std::numbers::pi * std::numbers::pi / 6, 1};
  for (int d = 0; d < 4; ++d) {
    const auto y = Draw<T>({7, 0, 0, 0}, static_cast<Distribution>(d), n, 1);
    double sum = 0, square = 0;
    for (T x : y) {
      EXPECT_TRUE(std::isfinite(x));
      sum += x;
      square += (x - mean[d]) * (x - mean[d]);
    }
    EXPECT_NEAR(sum / n, mean[d], 5 * std::sqrt(variance[d] / n)) << d;
    EXPECT_NEAR(square / n, variance[d], 0.05 * variance[d]) << d;
  }
  EXPECT_TRUE(Draw<T>({}, Distribution::kNormal, 0, 4).empty());
}

}  // namespace
}  // namespace moe::reference
