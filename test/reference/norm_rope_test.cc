// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lib/reference/lanes.h"
#include "lib/reference/norm.h"
#include "lib/reference/rope.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

template <typename T>
class Norm : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Norm, Types);

TEST(Lanes, TreeIsFixed) {
  // Elements chosen so that every order of addition gives other bits.
  Random random(1);
  for (int64_t n : {0, 1, 5, 16, 17, 31, 32, 100}) {
    const auto x = random.Values<float>(n);
    float lane[16] = {};
    for (int64_t i = 0; i < n; ++i) lane[i % 16] += x[i];
    const float a = (lane[0] + lane[8]) + (lane[4] + lane[12]);
    const float b = (lane[1] + lane[9]) + (lane[5] + lane[13]);
    const float c = (lane[2] + lane[10]) + (lane[6] + lane[14]);
    const float d = (lane[3] + lane[11]) + (lane[7] + lane[15]);
    EXPECT_EQ(LaneSum(x.data(), n), (a + c) + (b + d)) << n;
  }
}

TYPED_TEST(Norm, RmsNormEqualsLoops) {
  using T = TypeParam;
  Random random(2);
  for (int64_t d : {1, 7, 16, 20, 64, 333}) {
    const int64_t rows = 5;
    const T eps = T(1e-5);
    const auto x = random.Values<T>(rows * d), w = random.Values<T>(d);
    for (bool weighted : {true, false}) {
      std::vector<T> y(rows * d);
      RmsNorm(x.data(), weighted ? w.data() : nullptr, rows, d, eps,
              Rounding::kNone, y.data());
      std::vector<double> want;
      for (int64_t r = 0; r < rows; ++r) {
        double mean = 0;
        for (int64_t i = 0; i < d; ++i)
          mean += double(x[r * d + i]) * x[r * d + i] / d;
        for (int64_t i = 0; i < d; ++i)
          want.push_back(x[r * d + i] / std::sqrt(mean + double(eps)) *
                         (weighted ? double(w[i]) : 1.0));
      }
      Report("rms_norm " + std::to_string(d), CompareOp(y, want, d));
    }
  }
}

// bf16 rounds twice: after the scale and after the weight.
TEST(RmsNormBf16, RoundsTwice) {
  Random random(3);
  const int64_t d = 64;
  auto x = random.Values<float>(d), w = random.Values<float>(d);
  RoundAll(x.data(), d, Rounding::kBf16);
  RoundAll(w.data(), d, Rounding::kBf16);
  std::vector<float> plain(d), got(d);
  RmsNorm<float>(x.data(), nullptr, 1, d, 1e-6f, Rounding::kNone, plain.data());
  RmsNorm<float>(x.data(), w.data(), 1, d, 1e-6f, Rounding::kBf16, got.data());
  int64_t once_differs = 0;
  for (int64_t i = 0; i < d; ++i) {
    const float h = Round(plain[i], Rounding::kBf16);
    EXPECT_EQ(got[i], Round(h * w[i], Rounding::kBf16));
    once_differs += got[i] != Round(plain[i] * w[i], Rounding::kBf16);
  }
  EXPECT_GT(once_differs, 0);
}

TYPED_TEST(Norm, LayerNormEqualsLoops) {
  using T = TypeParam;
  Random random(4);
  for (int64_t d : {2, 7, 16, 65}) {
    const int64_t rows = 4;
    const T eps = T(1e-3);
    const auto x = random.Values<T>(rows * d), w = random.Values<T>(d),
               bias = random.Values<T>(d);
    for (bool affine : {true, false}) {
      std::vector<T> y(rows * d);
      LayerNorm(x.data(), affine ? w.data() : nullptr,
                affine ? bias.data() : nullptr, rows, d, eps, y.data());
      std::vector<double> want;
      for (int64_t r = 0; r < rows; ++r) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < d; ++i) mean += double(x[r * d + i]) / d;
        for (int64_t i = 0; i < d; ++i)
          variance += std::pow(x[r * d + i] - mean, 2) / d;
        for (int64_t i = 0; i < d; ++i) {
          const double h =
              (x[r * d + i] - mean) / std::sqrt(variance + double(eps));
          want.push_back(affine ? h * w[i] + bias[i] : h);
        }
      }
      Report("layer_norm " + std::to_string(d), CompareOp(y, want, d));
    }
  }
}

// Within 1 ulp of the true cosine and sine of the rounded angle, up to angles
// of 2^20.
TEST(RopeTableF32, AccurateForLargeAngles) {
  const int32_t positions[] = {0, 1, 2, 5, 511, 4095, 131072, 999983, 1048576};
  const int64_t tokens = std::size(positions), d = 16;
  std::vector<float> inv_freq;
  for (int64_t i = 0; i < d / 2; ++i)
    inv_freq.push_back(static_cast<float>(std::pow(10000.0, -2.0 * i / d)));
  std::vector<float> table(tokens * d);
  RopeTable(positions, tokens, inv_freq.data(), d, 1.0f, table.data());
  double worst = 0;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < d / 2; ++i) {
      const long double angle = static_cast<float>(positions[t]) * inv_freq[i];
      const long double want[] = {cosl(angle), sinl(angle)};
      for (int part = 0; part < 2; ++part) {
        const float got = table[t * d + part * d / 2 + i];
        const double ulp =
            std::nextafter(std::fabs(got), INFINITY) - std::fabs(got);
        worst = std::max(worst, double(fabsl(got - want[part])) / ulp);
      }
    }
  std::printf("rope_table max_err=%.3g ulp tol=1\n", worst);
  EXPECT_LE(worst, 1.0);
}

TYPED_TEST(Norm, RopeTableScales) {
  using T = TypeParam;
  const int32_t positions[] = {3, 40};
  const float inv_freq[] = {1.0f, 0.25f};
  std::vector<T> table(8);
  RopeTable(positions, 2, inv_freq, 4, T(1.5), table.data());
  std::vector<double> want;
  for (int32_t p : positions) {
    for (float f : inv_freq) want.push_back(std::cos(double(p) * f) * 1.5);
    for (float f : inv_freq) want.push_back(std::sin(double(p) * f) * 1.5);
  }
  Report("rope_table scale", CompareOp(table, want, 1));
}

TYPED_TEST(Norm, RopeEqualsLoops) {
  using T = TypeParam;
  Random random(5);
  const int64_t tokens = 4, heads = 3;
  struct Case {
    int64_t head_dim, d, start;
  };
  for (const Case& c : {Case{8, 8, 0}, Case{10, 6, 0}, Case{24, 16, 8},
                        Case{9, 2, 3}, Case{5, 0, 0}}) {
    for (auto pairing : {RopePairing::kHalf, RopePairing::kInterleaved}) {
      const auto x = random.Values<T>(tokens * heads * c.head_dim);
      const auto table = random.Values<T>(tokens * c.d);
      std::vector<T> y(x.size()), in_place = x;
      Rope(x.data(), table.data(), tokens, heads, c.head_dim, c.d, c.start,
           pairing, y.data());
      Rope(in_place.data(), table.data(), tokens, heads, c.head_dim, c.d,
           c.start, pairing, in_place.data());
      EXPECT_EQ(y, in_place);
      std::vector<double> want = Wide(x);
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t i = 0; i < c.d / 2; ++i) {
            const int64_t base = (t * heads + h) * c.head_dim + c.start;
            const bool half = pairing == RopePairing::kHalf;
            const int64_t p = base + (half ? i : 2 * i);
            const int64_t q = base + (half ? i + c.d / 2 : 2 * i + 1);
            const double co = table[t * c.d + i];
            const double si = table[t * c.d + c.d / 2 + i];
            want[p] = x[p] * co - x[q] * si;
            want[q] = x[q] * co + x[p] * si;
          }
      Report(
          "rope " + std::to_string(c.d) + " of " + std::to_string(c.head_dim),
          CompareOp(y, want, 2));
    }
  }
}

}  // namespace
}  // namespace moe::reference
