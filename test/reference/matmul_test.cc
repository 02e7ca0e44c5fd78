// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "lib/reference/rounding.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

template <typename T>
class Matmul : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Matmul, Types);

// sum over k of x * w in double, plus the bias if there is one.
double Naive(const double* x, const double* w, int64_t k, double bias) {
  double sum = bias;
  for (int64_t i = 0; i < k; ++i) sum += x[i] * w[i];
  return sum;
}

struct Size {
  int64_t tokens, n, k;
};
constexpr Size kSizes[] = {{1, 1, 1},   {1, 17, 5}, {3, 8, 31},   {5, 9, 32},
                           {2, 33, 33}, {7, 3, 64}, {1, 40, 127}, {16, 24, 200},
                           {0, 4, 4},   {3, 5, 0}};

TYPED_TEST(Matmul, LinearEqualsLoops) {
  using T = TypeParam;
  Random random(1);
  for (const Size& s : kSizes) {
    for (bool with_bias : {false, true}) {
      for (auto order : {Accumulation::kChain, Accumulation::kEvenOdd32}) {
        const auto x = random.Values<T>(s.tokens * s.k);
        const auto w = random.Values<T>(s.n * s.k);
        const auto bias = random.Values<T>(s.n);
        std::vector<T> y(s.tokens * s.n);
        Linear(x.data(), w.data(), with_bias ? bias.data() : nullptr, s.tokens,
               s.n, s.k, order, y.data());
        const auto xd = Wide(x), wd = Wide(w);
        std::vector<double> want;
        for (int64_t t = 0; t < s.tokens; ++t)
          for (int64_t j = 0; j < s.n; ++j)
            want.push_back(Naive(xd.data() + t * s.k, wd.data() + j * s.k, s.k,
                                 with_bias ? bias[j] : 0));
        Report("linear " + std::to_string(s.tokens) + "x" +
                   std::to_string(s.n) + "x" + std::to_string(s.k),
               CompareOp(y, want, s.k));
      }
    }
  }
}

// The chain order, to the bit.
TEST(MatmulOrder, ChainIsOneFmaChain) {
  Random random(2);
  for (const Size& s : kSizes) {
    const auto x = random.Values<float>(s.tokens * s.k);
    const auto w = random.Values<float>(s.n * s.k);
    std::vector<float> y(s.tokens * s.n);
    Linear<float>(x.data(), w.data(), nullptr, s.tokens, s.n, s.k,
                  Accumulation::kChain, y.data());
    for (int64_t t = 0; t < s.tokens; ++t)
      for (int64_t j = 0; j < s.n; ++j) {
        float acc = 0;
        for (int64_t i = 0; i < s.k; ++i)
          acc = fmaf(x[t * s.k + i], w[j * s.k + i], acc);
        ASSERT_EQ(y[t * s.n + j], acc) << t << " " << j;
      }
  }
}

// The bf16 order, to the bit, with k padded to whole blocks of 32.
TEST(MatmulOrder, EvenOddIsPairsPerBlock) {
  Random random(3);
  int64_t different = 0;
  for (const Size& s : kSizes) {
    auto x = random.Values<float>(s.tokens * s.k);
    auto w = random.Values<float>(s.n * s.k);
    RoundAll(x.data(), s.tokens * s.k, Rounding::kBf16);
    RoundAll(w.data(), s.n * s.k, Rounding::kBf16);
    std::vector<float> y(s.tokens * s.n), chain(s.tokens * s.n);
    Linear<float>(x.data(), w.data(), nullptr, s.tokens, s.n, s.k,
                  Accumulation::kEvenOdd32, y.data());
    Linear<float>(x.data(), w.data(), nullptr, s.tokens, s.n, s.k,
                  Accumulation::kChain, chain.data());
    for (int64_t t = 0; t < s.tokens; ++t)
      for (int64_t j = 0; j < s.n; ++j) {
        float c = 0;
        for (int64_t b = 0; b * 32 < s.k; ++b) {
          float part[2] = {0, 0};
          for (int64_t i = 0; i < 32; ++i) {
            const int64_t at = b * 32 + i;
            const float a = at < s.k ? x[t * s.k + at] : 0.f;
            const float v = at < s.k ? w[j * s.k + at] : 0.f;
            part[i % 2] = fmaf(a, v, part[i % 2]);
          }
          c += part[0] + part[1];
        }
        ASSERT_EQ(y[t * s.n + j], c) << t << " " << j;
        different += c != chain[t * s.n + j];
      }
  }
  EXPECT_GT(different, 0) << "the two orders must be distinguishable";
}

TEST(MatmulOrder, DotIsOneElementOfLinear) {
  Random random(4);
  const auto x = random.Values<float>(77), w = random.Values<float>(77);
  for (auto order : {Accumulation::kChain, Accumulation::kEvenOdd32}) {
    float y = 0;
    Linear<float>(x.data(), w.data(), nullptr, 1, 1, 77, order, &y);
    EXPECT_EQ(Dot(x.data(), w.data(), 77, order), y);
  }
}

TYPED_TEST(Matmul, HeadLinearEqualsLoops) {
  using T = TypeParam;
  Random random(5);
  const int64_t tokens = 5, heads = 3, n = 7, k = 11;
  const auto x = random.Values<T>(tokens * heads * k);
  const auto w = random.Values<T>(heads * n * k);
  std::vector<T> y(tokens * heads * n);
  HeadLinear(x.data(), w.data(), tokens, heads, n, k, Accumulation::kChain,
             y.data());
  const auto xd = Wide(x), wd = Wide(w);
  std::vector<double> want;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t j = 0; j < n; ++j)
        want.push_back(Naive(xd.data() + (t * heads + h) * k,
                             wd.data() + (h * n + j) * k, k, 0));
  Report("head_linear", CompareOp(y, want, k));
}

// Row counts per expert: ragged, empty, one token, all rows on one expert.
const std::vector<std::vector<int32_t>> kCounts = {
    {3, 0, 5, 1},  {0, 0, 0, 0}, {0, 0, 1, 0}, {61, 0, 0, 0},
    {0, 0, 0, 61}, {1, 1, 1, 1}, {17},         {2, 0, 0, 64, 3, 0, 1}};

TYPED_TEST(Matmul, GroupedEqualsLoops) {
  using T = TypeParam;
  Random random(6);
  const int64_t n = 19, k = 37;
  for (const auto& counts : kCounts) {
    const int64_t experts = static_cast<int64_t>(counts.size());
    std::vector<int32_t> offsets(experts + 1, 0);
    std::partial_sum(counts.begin(), counts.end(), offsets.begin() + 1);
    const int64_t rows = offsets.back(), tokens = 9;
    const auto w = random.Values<T>(experts * n * k);
    const auto bias = random.Values<T>(experts * n);
    for (bool gathered : {false, true}) {
      const auto x = random.Values<T>((gathered ? tokens : rows) * k);
      std::vector<int32_t> source(rows);
      for (int64_t r = 0; r < rows; ++r)
        source[r] =
            static_cast<int32_t>(gathered ? random.Int(0, tokens - 1) : r);
      std::vector<T> y(rows * n);
      GroupedMatmul(x.data(), gathered ? source.data() : nullptr,
                    offsets.data(), w.data(), bias.data(), experts, n, k,
                    Accumulation::kChain, y.data());
      const auto xd = Wide(x), wd = Wide(w);
      std::vector<double> want(rows * n);
      for (int64_t e = 0; e < experts; ++e)
        for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r)
          for (int64_t j = 0; j < n; ++j)
            want[r * n + j] =
                Naive(xd.data() + source[r] * k, wd.data() + (e * n + j) * k, k,
                      bias[e * n + j]);
      Report("grouped_matmul " + std::to_string(rows) + " rows",
             CompareOp(y, want, k));
    }
  }
}

// The bits of a row do not depend on the rows around it, nor on the expert's
// share: a grouped product equals a product of each row alone.
TEST(MatmulOrder, RowsAreIndependent) {
  Random random(7);
  const int64_t experts = 4, n = 21, k = 45;
  const int32_t offsets[] = {0, 7, 7, 12, 13};
  const auto x = random.Values<float>(13 * k);
  const auto w = random.Values<float>(experts * n * k);
  std::vector<float> y(13 * n), row(n);
  for (auto order : {Accumulation::kChain, Accumulation::kEvenOdd32}) {
    GroupedMatmul<float>(x.data(), nullptr, offsets, w.data(), nullptr, experts,
                         n, k, order, y.data());
    for (int64_t e = 0; e < experts; ++e)
      for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
        Linear<float>(x.data() + r * k, w.data() + e * n * k, nullptr, 1, n, k,
                      order, row.data());
        EXPECT_TRUE(std::equal(row.begin(), row.end(), y.begin() + r * n));
      }
  }
}

}  // namespace
}  // namespace moe::reference
