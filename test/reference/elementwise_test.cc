// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/elementwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lib/reference/movement.h"
#include "lib/reference/reduce.h"
#include "lib/reference/rounding.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr Activation kAll[] = {Activation::kSilu,     Activation::kGelu,
                               Activation::kGeluTanh, Activation::kRelu,
                               Activation::kSigmoid,  Activation::kTanh,
                               Activation::kIdentity, Activation::kQuickGelu};

template <typename T>
class Elementwise : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Elementwise, Types);

double Naive(Activation act, double x) {
  switch (act) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kIdentity:
      return x;
    case Activation::kQuickGelu:
      return x / (1 + std::exp(-1.702 * x));
  }
  return 0;
}

TYPED_TEST(Elementwise, ActivationsAndGlu) {
  using T = TypeParam;
  Random random(1);
  const int64_t rows = 6, width = 17;
  for (Activation act : kAll) {
    auto x = random.Values<T>(rows * 2 * width);
    for (T& v : x) v *= 8;
    std::vector<T> y(x.size()), gated(rows * width);
    Activate(act, x.data(), static_cast<int64_t>(x.size()), y.data());
    Glu(x.data(), act, rows, width, gated.data());
    std::vector<double> want, want_gated;
    for (T v : x) want.push_back(Naive(act, v));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < width; ++i)
        want_gated.push_back(Naive(act, x[r * 2 * width + i]) *
                             x[r * 2 * width + width + i]);
    const std::string name(ActivationName(act));
    Report("activate " + name, CompareOp(y, want, 1));
    Report("glu " + name, CompareOp(gated, want_gated, 1));
    EXPECT_EQ(ParseActivation(name), act);
  }
  EXPECT_EQ(ParseActivation("swish"), std::nullopt);
}

TYPED_TEST(Elementwise, GluCutAndShifted) {
  using T = TypeParam;
  Random random(3);
  const int64_t rows = 40, width = 5;
  auto x = random.Values<T>(rows * 2 * width);
  for (T& v : x) v *= 20;
  std::vector<T> y(rows * width);
  Glu(x.data(), Activation::kQuickGelu, {.limit = 7, .shift = 1}, rows, width,
      y.data());
  std::vector<double> want;
  int cut = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < width; ++i) {
      const double g = x[r * 2 * width + i], u = x[r * 2 * width + width + i];
      cut += (g > 7) + (std::abs(u) > 7);
      want.push_back(Naive(Activation::kQuickGelu, std::min(g, 7.0)) *
                     (std::clamp(u, -7.0, 7.0) + 1));
    }
  EXPECT_GT(cut, 50);
  Report("glu cut", CompareOp(y, want, 1));
}

TEST(ElementwiseF32, MaximumAndMinimumFollowArith) {
  EXPECT_TRUE(std::isnan(Maximum(kNan, 1.f)));
  EXPECT_TRUE(std::isnan(Maximum(1.f, kNan)));
  EXPECT_TRUE(std::isnan(Minimum(kNan, 1.f)));
  EXPECT_TRUE(std::isnan(Minimum(1.f, kNan)));
  EXPECT_FALSE(std::signbit(Maximum(-0.f, 0.f)));
  EXPECT_FALSE(std::signbit(Maximum(0.f, -0.f)));
  EXPECT_TRUE(std::signbit(Minimum(-0.f, 0.f)));
  EXPECT_TRUE(std::signbit(Minimum(0.f, -0.f)));
  EXPECT_EQ(Maximum(-1.f, 2.f), 2.f);
  EXPECT_EQ(Minimum(-1.f, 2.f), -1.f);
  EXPECT_TRUE(std::isnan(Activate(Activation::kRelu, kNan)));
}

TEST(RoundingBf16, NearestTiesToEven) {
  EXPECT_EQ(Round(1.0f + 0x1p-8f, Rounding::kBf16), 1.0f);
  EXPECT_EQ(Round(1.0f + 0x1p-7f + 0x1p-8f, Rounding::kBf16), 1.0f + 0x1p-6f);
  EXPECT_EQ(Round(1.0f + 0x1.002p-8f, Rounding::kBf16), 1.0f + 0x1p-7f);
  EXPECT_EQ(Round(3.4e38f, Rounding::kBf16), kInf);
  EXPECT_TRUE(std::isnan(Round(kNan, Rounding::kBf16)));
  EXPECT_EQ(Round(0.1f, Rounding::kNone), 0.1f);
}

TYPED_TEST(Elementwise, ReduceEqualsLoops) {
  using T = TypeParam;
  Random random(2);
  struct Case {
    int64_t outer, n, inner;
  };
  for (const Case& c : {Case{1, 1, 1}, Case{5, 33, 1}, Case{3, 7, 4},
                        Case{1, 200, 1}, Case{4, 1, 9}, Case{0, 3, 2}}) {
    const auto x = random.Values<T>(c.outer * c.n * c.inner);
    for (auto kind : {ReduceKind::kSum, ReduceKind::kMean, ReduceKind::kMax,
                      ReduceKind::kMin}) {
      std::vector<T> y(c.outer * c.inner);
      Reduce(kind, x.data(), c.outer, c.n, c.inner, y.data());
      std::vector<double> want;
      for (int64_t o = 0; o < c.outer; ++o)
        for (int64_t i = 0; i < c.inner; ++i) {
          double sum = 0, most = -INFINITY, least = INFINITY;
          for (int64_t j = 0; j < c.n; ++j) {
            const double v = x[(o * c.n + j) * c.inner + i];
            sum += v;
            most = std::max(most, v);
            least = std::min(least, v);
          }
          want.push_back(kind == ReduceKind::kSum    ? sum
                         : kind == ReduceKind::kMean ? sum / c.n
                         : kind == ReduceKind::kMax  ? most
                                                     : least);
        }
      Report("reduce " + std::string(ReduceKindName(kind)),
             CompareOp(y, want, c.n));
      EXPECT_EQ(ParseReduceKind(ReduceKindName(kind)), kind);
    }
    std::vector<T> y(x.size());
    Softmax(x.data(), c.outer, c.n, c.inner, y.data());
    std::vector<double> want(x.size());
    for (int64_t o = 0; o < c.outer; ++o)
      for (int64_t i = 0; i < c.inner; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < c.n; ++j)
          sum += std::exp(double(x[(o * c.n + j) * c.inner + i]));
        for (int64_t j = 0; j < c.n; ++j) {
          const int64_t at = (o * c.n + j) * c.inner + i;
          want[at] = std::exp(double(x[at])) / sum;
        }
      }
    Report("softmax", CompareOp(y, want, c.n));
  }
  EXPECT_EQ(ParseReduceKind("prod"), std::nullopt);
}

TEST(ReduceF32, EmptyNanAndLargeValues) {
  float y = 1;
  Reduce<float>(ReduceKind::kSum, nullptr, 1, 0, 1, &y);
  EXPECT_EQ(y, 0);
  Reduce<float>(ReduceKind::kMax, nullptr, 1, 0, 1, &y);
  EXPECT_EQ(y, -kInf);
  Reduce<float>(ReduceKind::kMin, nullptr, 1, 0, 1, &y);
  EXPECT_EQ(y, kInf);
  const float x[] = {1, kNan, 3};
  Reduce(ReduceKind::kMax, x, 1, 3, 1, &y);
  EXPECT_TRUE(std::isnan(y));
  const float large[] = {3e38f, 3e38f, -kInf};
  float p[3];
  Softmax(large, 1, 3, 1, p);
  EXPECT_EQ(p[0], 0.5f);
  EXPECT_EQ(p[1], 0.5f);
  EXPECT_EQ(p[2], 0.0f);
}

TEST(Movement, CopiesWhatItSays) {
  const float table[] = {0, 1, 10, 11, 20, 21};
  const int32_t ids[] = {2, 0, 2};
  float y[6];
  ASSERT_TRUE(Embedding(ids, table, 3, 3, 2, y));
  EXPECT_EQ(std::vector<float>(y, y + 6),
            (std::vector<float>{20, 21, 0, 1, 20, 21}));
  for (int32_t bad : {-1, 3}) {
    const int32_t wrong[] = {0, bad};
    EXPECT_FALSE(Embedding(wrong, table, 2, 3, 2, y));
    EXPECT_EQ(y[0], 20);
  }
  const int32_t cu[] = {0, 1, 3};
  float last[4];
  LastRows(table, cu, 2, 2, last);
  EXPECT_EQ(std::vector<float>(last, last + 4),
            (std::vector<float>{0, 1, 20, 21}));
  float part[2];
  Slice(table, 2, 3, 1, 1, part);
  EXPECT_EQ(std::vector<float>(part, part + 2), (std::vector<float>{1, 20}));
  int32_t joined[6];
  const int32_t a[] = {1, 2}, b[] = {3, 4, 5, 6};
  ConcatPart(a, 2, 1, 0, 3, joined);
  ConcatPart(b, 2, 2, 1, 3, joined);
  EXPECT_EQ(std::vector<int32_t>(joined, joined + 6),
            (std::vector<int32_t>{1, 3, 4, 2, 5, 6}));
  int32_t wide[8];
  Broadcast(b, 2, 2, 2, wide);
  EXPECT_EQ(std::vector<int32_t>(wide, wide + 8),
            (std::vector<int32_t>{3, 4, 3, 4, 5, 6, 5, 6}));
  const int32_t offsets[] = {0, 1, 1, 3};  // the second expert has no rows
  float rows[6];
  GroupedBroadcast(table, offsets, 3, 2, rows);
  EXPECT_EQ(std::vector<float>(rows, rows + 6),
            (std::vector<float>{0, 1, 20, 21, 20, 21}));
}

}  // namespace
}  // namespace moe::reference
