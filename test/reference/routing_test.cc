// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/routing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lib/reference/reduce.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
using Indices = std::vector<int32_t>;

template <typename T>
class Routing : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Routing, Types);

Indices SelectAll(const std::vector<float>& s) {
  Indices idx(s.size());
  const int64_t n = static_cast<int64_t>(s.size());
  Select<float>(s.data(), nullptr, 1, n, n, idx.data());
  return idx;
}

TEST(SelectF32, OrderOfSpecialValues) {
  EXPECT_EQ(SelectAll({1, 3, 2, 3}), (Indices{1, 3, 2, 0}));
  EXPECT_EQ(SelectAll({5, 5, 5}), (Indices{0, 1, 2}));
  EXPECT_EQ(SelectAll({-0.f, 0.f, -0.f, 0.f}), (Indices{0, 1, 2, 3}));
  EXPECT_EQ(SelectAll({kInf, kNan, 1, -kNan}), (Indices{1, 3, 0, 2}));
  EXPECT_EQ(SelectAll({-kInf, -1, kInf, 0}), (Indices{2, 3, 1, 0}));
  // Denormal values count as 0, on both sides of it.
  EXPECT_EQ(SelectAll({-1e-40f, 0, 1e-40f}), (Indices{0, 1, 2}));
  EXPECT_EQ(SelectAll({-0x1p-126f, 1e-40f, 0x1p-126f}), (Indices{2, 1, 0}));
}

// Also where they are added to others: nothing comes of two halves.
TEST(SelectF32, DenormalSummandsCountAsZero) {
  constexpr float kHalf = 0x1p-127f, kLeast = 0x1p-126f;
  const float s[] = {-kHalf, kHalf, 0, 0}, bias[] = {kLeast, kHalf, kLeast, 0};
  Indices idx(4);
  Select<float>(s, bias, 1, 4, 4, idx.data());
  EXPECT_EQ(idx, (Indices{0, 2, 1, 3}));
  const float members[] = {0, 0, kHalf, kHalf, kLeast, -kHalf};
  uint8_t kept[3];
  KeptGroups(members, 6, 3, 2, {.sum_top = 2}, kept);
  EXPECT_EQ(std::vector<int>(kept, kept + 3), (std::vector<int>{1, 0, 1}));
}

TEST(SelectF64, DenormalValuesDiffer) {
  const double s[] = {-1e-310, 0.0, 1e-310, -0.0};
  int32_t idx[4];
  Select<double>(s, nullptr, 1, 4, 4, idx);
  EXPECT_EQ(Indices(idx, idx + 4), (Indices{2, 1, 3, 0}));
}

// Keys order as (value, with NaN on top) does.
TYPED_TEST(Routing, KeysOrderValues) {
  using T = TypeParam;
  Random random(1);
  std::vector<T> values = {0,
                           T(-0.0),
                           1,
                           -1,
                           T(kInf),
                           T(-kInf),
                           T(kNan),
                           std::numeric_limits<T>::max(),
                           std::numeric_limits<T>::min()};
  for (T x : random.Values<T>(100)) values.push_back(x);
  for (T a : values)
    for (T b : values) {
      const bool above = (a != a) ? (b == b) : a > b;
      EXPECT_EQ(SelectionKey(a) > SelectionKey(b), above) << a << " " << b;
    }
}

// k rounds of a search for the best remaining expert, with many ties.
TYPED_TEST(Routing, SelectEqualsRepeatedSearch) {
  using T = TypeParam;
  Random random(2);
  for (int64_t experts : {1, 2, 5, 16, 67, 256})
    for (int64_t k : {int64_t{1}, experts / 2, experts}) {
      const int64_t tokens = 20;
      std::vector<T> s(tokens * experts), bias(experts);
      for (T& x : s) x = T(random.Int(-4, 4)) / 4;
      for (T& x : bias) x = T(random.Int(-2, 2)) / 4;
      for (bool biased : {false, true}) {
        Indices idx(tokens * k), want;
        Select(s.data(), biased ? bias.data() : nullptr, tokens, experts, k,
               idx.data());
        for (int64_t t = 0; t < tokens; ++t) {
          std::vector<char> taken(experts, 0);
          for (int64_t j = 0; j < k; ++j) {
            int64_t best = -1;
            auto value = [&](int64_t e) {
              return s[t * experts + e] + (biased ? bias[e] : T(0));
            };
            for (int64_t e = 0; e < experts; ++e)
              if (!taken[e] && (best < 0 || value(e) > value(best))) best = e;
            taken[best] = 1;
            want.push_back(static_cast<int32_t>(best));
          }
        }
        EXPECT_EQ(idx, want);
      }
    }
}

TYPED_TEST(Routing, GroupMaskEqualsLoops) {
  using T = TypeParam;
  Random random(3);
  for (int64_t sum_top : {0, 1, 2, 3})
    for (int64_t keep : {0, 1, 2, 4}) {
      const int64_t tokens = 30, groups = 4, size = 3, experts = 12;
      std::vector<T> s(tokens * experts);
      for (T& x : s) x = T(random.Int(-3, 3)) / 2;
      std::vector<T> y(s.size()), want = s;
      GroupMask(s.data(), tokens, experts, groups, keep, {sum_top}, T(-9),
                y.data());
      for (int64_t t = 0; t < tokens; ++t) {
        std::vector<std::pair<double, int64_t>> order;
        for (int64_t g = 0; g < groups; ++g) {
          std::vector<double> m(&s[t * experts + g * size],
                                &s[t * experts + g * size] + size);
          std::sort(m.rbegin(), m.rend());
          double score = 0;
          for (int64_t i = 0; i < std::max<int64_t>(sum_top, 1); ++i)
            score += m[i];
          order.emplace_back(-score, g);
        }
        std::sort(order.begin(), order.end());
        for (int64_t i = keep; i < groups; ++i)
          std::fill_n(want.begin() + t * experts + order[i].second * size, size,
                      T(-9));
      }
      EXPECT_EQ(y, want) << "sum_top " << sum_top << " keep " << keep;
    }
}

struct Shape {
  const char* name;
  int64_t tokens, experts, k;
};
constexpr Shape kShapes[] = {{"random", 40, 8, 2},  {"one token", 1, 16, 4},
                             {"no token", 0, 4, 2}, {"one expert", 9, 1, 1},
                             {"skew", 300, 64, 3},  {"all experts", 7, 5, 5}};

// Distinct choices per token; with `skew`, nearly all tokens take expert 1
// first; with `holes`, some choices are invalid.
Indices Choices(const Shape& s, bool holes, Random& random) {
  Indices idx;
  const bool skew = std::string(s.name) == "skew";
  for (int64_t t = 0; t < s.tokens; ++t) {
    Indices all;
    for (int64_t e = 0; e < s.experts; ++e)
      all.push_back(static_cast<int32_t>(e));
    for (int64_t i = s.experts - 1; i > 0; --i)
      std::swap(all[i], all[random.Int(0, i)]);
    if (skew && t % 50 != 0) {
      all.erase(std::find(all.begin(), all.end(), 1));
      all.insert(all.begin(), 1);
    }
    for (int64_t j = 0; j < s.k; ++j)
      idx.push_back(holes && random.Int(0, 2) == 0
                        ? static_cast<int32_t>(s.experts)
                        : all[j]);
  }
  return idx;
}

TEST(MakePlan, RowsAreSortedByExpertTokenChoice) {
  Random random(4);
  for (const Shape& s : kShapes)
    for (bool holes : {false, true}) {
      const Indices idx = Choices(s, holes, random);
      const Plan plan = MakePlan(idx.data(), s.tokens, s.experts, s.k);
      Indices want, offsets = {0};
      for (int32_t e = 0; e < s.experts; ++e) {
        for (size_t slot = 0; slot < idx.size(); ++slot)
          if (idx[slot] == e) want.push_back(static_cast<int32_t>(slot));
        offsets.push_back(static_cast<int32_t>(want.size()));
      }
      EXPECT_EQ(plan.row2slot, want) << s.name;
      EXPECT_EQ(plan.offsets, offsets) << s.name;
      EXPECT_EQ(plan.idx, idx);
      for (size_t slot = 0; slot < idx.size(); ++slot) {
        const int32_t r = plan.slot2row[slot];
        EXPECT_EQ(r < 0, idx[slot] == s.experts);
        if (r >= 0) {
          EXPECT_EQ(plan.row2slot[r], static_cast<int32_t>(slot));
        }
      }
      Indices counts(s.experts), tokens(plan.rows());
      Counts(plan, counts.data());
      PlanTokens(plan, tokens.data());
      for (int64_t e = 0; e < s.experts; ++e)
        EXPECT_EQ(counts[e], std::count(idx.begin(), idx.end(), e));
      for (int64_t r = 0; r < plan.rows(); ++r)
        EXPECT_EQ(tokens[r], want[r] / s.k);
    }
}

TEST(MakePlan, AnyIndexOutsideIsInvalid) {
  const int32_t idx[] = {-1, 3, 2, 100};
  const Plan plan = MakePlan(idx, 2, 3, 2);
  EXPECT_EQ(plan.idx, (Indices{3, 3, 2, 3}));
  EXPECT_EQ(plan.rows(), 1);
  EXPECT_EQ(plan.slot2row, (Indices{-1, -1, 0, -1}));
}

TYPED_TEST(Routing, PickDispatchCombineEqualLoops) {
  using T = TypeParam;
  Random random(5);
  const int64_t d = 13;
  for (const Shape& s : kShapes)
    for (bool holes : {false, true}) {
      const Indices idx = Choices(s, holes, random);
      const auto scores = random.Values<T>(s.tokens * s.experts);
      const auto x = random.Values<T>(s.tokens * d);
      std::vector<T> w(s.tokens * s.k);
      Pick(scores.data(), idx.data(), s.tokens, s.experts, s.k, w.data());
      const Plan plan = MakePlan(idx.data(), s.tokens, s.experts, s.k);
      std::vector<T> rows(plan.rows() * d);
      Dispatch(x.data(), plan, d, rows.data());
      // Expert e multiplies by e + 1.
      for (int64_t e = 0; e < s.experts; ++e)
        for (int64_t r = plan.offsets[e]; r < plan.offsets[e + 1]; ++r)
          for (int64_t i = 0; i < d; ++i) rows[r * d + i] *= T(e + 1);
      std::vector<T> y(s.tokens * d);
      Combine(rows.data(), plan, w.data(), d, y.data());
      std::vector<double> want(s.tokens * d, 0.0);
      for (int64_t t = 0; t < s.tokens; ++t)
        for (int64_t j = 0; j < s.k; ++j) {
          const int64_t e = idx[t * s.k + j];
          if (e == s.experts) {
            EXPECT_EQ(w[t * s.k + j], 0);
            continue;
          }
          for (int64_t i = 0; i < d; ++i)
            want[t * d + i] +=
                double(scores[t * s.experts + e]) * (e + 1.0) * x[t * d + i];
        }
      Report(std::string("dispatch to combine, ") + s.name,
             CompareOp(y, want, s.k));
    }
}

// Softmax, then selection, then renormalisation equals softmax over the
// selected logits, but for rounding.
TEST(RoutingF32, OrdersOfSoftmaxAndSelectionAgree) {
  Random random(6);
  const int64_t tokens = 50, experts = 16, k = 4;
  const auto z = random.Values<float>(tokens * experts);
  std::vector<float> p(z.size()), w(tokens * k), u(tokens * k), sum(tokens);
  Indices a(tokens * k), b(tokens * k);
  Softmax(z.data(), tokens, experts, 1, p.data());
  Select<float>(p.data(), nullptr, tokens, experts, k, a.data());
  Pick(p.data(), a.data(), tokens, experts, k, w.data());
  Reduce(ReduceKind::kSum, w.data(), tokens, k, 1, sum.data());
  for (int64_t i = 0; i < tokens * k; ++i) w[i] /= sum[i / k];
  Select<float>(z.data(), nullptr, tokens, experts, k, b.data());
  Pick(z.data(), b.data(), tokens, experts, k, u.data());
  Softmax(u.data(), tokens, k, 1, u.data());
  EXPECT_EQ(a, b);
  Report("softmax and selection",
         CompareOneOp(w.data(), u.data(), tokens * k, experts));
}

}  // namespace
}  // namespace moe::reference
