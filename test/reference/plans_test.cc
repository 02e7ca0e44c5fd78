// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Choices with a threshold and without some experts; rows by choice and back.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "lib/reference/movement.h"
#include "lib/reference/routing.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

using Indices = std::vector<int32_t>;

template <typename T>
class Plans : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Plans, Types);

// Choices above a threshold are the first of the sorted choices.
TYPED_TEST(Plans, ChoicesAboveAThreshold) {
  using T = TypeParam;
  Random random(61);
  int64_t kept = 0, all = 0;
  for (int64_t tokens : {0, 1, 30})
    for (bool biased : {false, true}) {
      const int64_t experts = 7, k = 5;
      std::vector<T> s(tokens * experts), bias(experts);
      for (T& x : s) x = T(random.Int(-4, 4)) / 4;
      for (T& x : bias) x = T(random.Int(-1, 1)) / 4;
      const T* b = biased ? bias.data() : nullptr;
      Indices sorted(tokens * k), idx;
      Select(s.data(), b, tokens, experts, k, sorted.data());
      idx = sorted;
      DropNotAbove(s.data(), b, T(0.25), tokens, experts, k, idx.data());
      for (int64_t i = 0; i < tokens * k; ++i) {
        const T value =
            s[i / k * experts + sorted[i]] + (biased ? bias[sorted[i]] : T(0));
        EXPECT_EQ(idx[i], value > T(0.25) ? sorted[i] : experts);
        kept += idx[i] != experts;
        ++all;
      }
    }
  EXPECT_GT(kept, 0);
  EXPECT_LT(kept, all);
  // The order of selection: NaN is larger than all, -0 and 0 are equal.
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
  const std::vector<T> s = {kNan, T(-0.0), 0, 1};
  Indices idx = {0, 1, 2, 3, 4, -1};
  DropNotAbove<T>(s.data(), nullptr, T(0), 1, 4, 6, idx.data());
  EXPECT_EQ(idx, (Indices{0, 4, 4, 3, 4, -1}));
  idx = {0, 3};
  DropNotAbove<T>(s.data(), nullptr, kNan, 1, 4, 2, idx.data());
  EXPECT_EQ(idx, (Indices{4, 4}));
}

TEST(PlansF32, DenormalsAreNotAboveZero) {
  const float s[] = {1e-40f, 0x1p-126f};
  Indices idx = {0, 1};
  DropNotAbove<float>(s, nullptr, 0, 1, 2, 2, idx.data());
  EXPECT_EQ(idx, (Indices{2, 1}));
}

TYPED_TEST(Plans, MaskedChoicesAreNotChosenAgain) {
  using T = TypeParam;
  Random random(62);
  const int64_t tokens = 20, experts = 9, k = 3;
  const auto s = random.Values<T>(tokens * experts);
  Indices all(tokens * experts), idx(tokens * k);
  Select<T>(s.data(), nullptr, tokens, experts, experts, all.data());
  Select<T>(s.data(), nullptr, tokens, experts, k, idx.data());
  const auto first = idx;
  for (int64_t t = 0; t < tokens; ++t) idx[t * k + 1] = t % 2 ? -1 : 9;
  std::vector<T> y(s.size());
  MaskChoices(s.data(), idx.data(), tokens, experts, k, T(-5), y.data());
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t e = 0; e < experts; ++e) {
      const auto* row = idx.data() + t * k;
      EXPECT_EQ(y[t * experts + e],
                std::count(row, row + k, e) ? T(-5) : s[t * experts + e]);
    }
  // In place, and k picks one after another are the k best.
  y = s;
  Indices pick(tokens);
  for (int64_t j = 0; j < k; ++j) {
    Select<T>(y.data(), nullptr, tokens, experts, 1, pick.data());
    for (int64_t t = 0; t < tokens; ++t) EXPECT_EQ(pick[t], first[t * k + j]);
    MaskChoices(y.data(), pick.data(), tokens, experts, 1, T(-5), y.data());
  }
}

TYPED_TEST(Plans, GroupAndUngroup) {
  using T = TypeParam;
  Random random(63);
  const int64_t d = 3;
  for (int64_t tokens : {0, 1, 25})
    for (int64_t experts : {1, 4}) {
      const int64_t k = 2;
      Indices idx(tokens * k);
      for (int32_t& e : idx) e = static_cast<int32_t>(random.Int(-1, experts));
      const Plan plan = MakePlan(idx.data(), tokens, experts, k);
      const auto rows = random.Values<T>(plan.rows() * d);
      std::vector<T> y(tokens * k * d, T(-7)), back(rows.size());
      Ungroup(rows.data(), plan, d, y.data());
      for (int64_t i = 0; i < tokens * k * d; ++i) {
        const int32_t row = plan.slot2row[i / d];
        EXPECT_EQ(y[i], row < 0 ? T(0) : rows[row * d + i % d]);
      }
      Group(y.data(), plan, d, back.data());
      EXPECT_EQ(back, rows);
      // What dispatch gives is each token for all of its choices.
      const auto x = random.Values<T>(tokens * d);
      std::vector<T> copies(tokens * k * d), a(rows.size()), b(rows.size());
      for (int64_t i = 0; i < tokens * k * d; ++i)
        copies[i] = x[i / (k * d) * d + i % d];
      Dispatch(x.data(), plan, d, a.data());
      Group(copies.data(), plan, d, b.data());
      EXPECT_EQ(a, b);
    }
}

TEST(PlansI32, PositionsAndSequencesOfOneExpert) {
  // Tokens 1, 2, 5 and 6 of seven are taken.
  const Indices idx = {1, 0, 0, -1, 1, 0, 0};
  const Plan plan = MakePlan(idx.data(), 7, 1, 1);
  const Indices positions = {0, 1, 2, 3, 0, 1, 2};
  Indices rows(4);
  Dispatch(positions.data(), plan, 1, rows.data());
  EXPECT_EQ(rows, (Indices{1, 2, 1, 2}));
  const Indices seqs = {0, 0, 2, 4, 7};
  Indices y(5);
  PlanSeqs(plan, seqs.data(), 4, y.data());
  EXPECT_EQ(y, (Indices{0, 0, 1, 2, 4}));
  // Two choices of one token are two rows.
  const Indices twice = {0, 0, 1, 0};
  const Indices ends = {0, 1, 2};
  PlanSeqs(MakePlan(twice.data(), 2, 1, 2), ends.data(), 2, y.data());
  EXPECT_EQ(Indices(y.begin(), y.begin() + 3), (Indices{0, 2, 3}));
}

TEST(PlansI32, TablesOfExpertsAndFill) {
  const Indices table = {0, 3, 1, 2, 2, 0}, ids = {2, 0, 2};
  Indices y(6);
  EXPECT_TRUE(Embedding(ids.data(), table.data(), 3, 3, 2, y.data()));
  EXPECT_EQ(y, (Indices{2, 0, 0, 3, 2, 0}));
  double z[3] = {1, 2, 3};
  Fill(0.5, 2, z);
  EXPECT_EQ(std::vector<double>(z, z + 3), (std::vector<double>{0.5, 0.5, 3}));
}

}  // namespace
}  // namespace moe::reference
