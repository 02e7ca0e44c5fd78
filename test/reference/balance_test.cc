// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The auction against the best assignment, Sinkhorn against its fixed point.
#include "lib/reference/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "test/reference/random.h"

namespace moe::reference {
namespace {

using Indices = std::vector<int32_t>;

// The largest total of s[tokens, experts] when each expert takes tokens /
// experts tokens: the Hungarian method (shortest augmenting paths) on costs -s,
// each expert standing in as many columns.
double BestTotal(const std::vector<double>& s, int64_t tokens,
                 int64_t experts) {
  const int64_t n = tokens;
  auto cost = [&](int64_t row, int64_t column) {
    return -s[(row - 1) * experts + (column - 1) / (n / experts)];
  };
  std::vector<double> u(n + 1, 0.0), v(n + 1, 0.0);
  std::vector<int64_t> row_of(n + 1, 0), from(n + 1, 0);
  for (int64_t row = 1; row <= n; ++row) {
    row_of[0] = row;
    int64_t column = 0;
    std::vector<double> least(n + 1, std::numeric_limits<double>::infinity());
    std::vector<char> seen(n + 1, 0);
    do {
      seen[column] = 1;
      int64_t next = 0;
      double delta = std::numeric_limits<double>::infinity();
      for (int64_t j = 1; j <= n; ++j) {
        if (seen[j]) continue;
        const double reduced =
            cost(row_of[column], j) - u[row_of[column]] - v[j];
        if (reduced < least[j]) {
          least[j] = reduced;
          from[j] = column;
        }
        if (least[j] < delta) {
          delta = least[j];
          next = j;
        }
      }
      for (int64_t j = 0; j <= n; ++j) {
        if (seen[j]) {
          u[row_of[j]] += delta;
          v[j] -= delta;
        } else {
          least[j] -= delta;
        }
      }
      column = next;
    } while (row_of[column] != 0);
    for (; column != 0; column = from[column])
      row_of[column] = row_of[from[column]];
  }
  double total = 0;
  for (int64_t j = 1; j <= n; ++j) total -= cost(row_of[j], j);
  return total;
}

double BestOfAll(const std::vector<double>& s, int64_t tokens, int64_t experts,
                 Indices room, int64_t t = 0) {
  if (t == tokens) return 0;
  double best = -std::numeric_limits<double>::infinity();
  for (int64_t e = 0; e < experts; ++e) {
    if (room[e] == 0) continue;
    --room[e];
    best = std::max(
        best, s[t * experts + e] + BestOfAll(s, tokens, experts, room, t + 1));
    ++room[e];
  }
  return best;
}

TEST(BestTotal, EqualsAllAssignments) {
  Random random(21);
  for (int64_t experts : {1, 2, 3})
    for (int64_t share : {1, 2}) {
      const auto s = random.Values<double>(experts * share * experts);
      EXPECT_NEAR(BestTotal(s, experts * share, experts),
                  BestOfAll(s, experts * share, experts,
                            Indices(experts, int32_t(share))),
                  1e-12);
    }
}

// Total of an assignment, which must be balanced.
double Total(const std::vector<double>& s, int64_t experts,
             const Indices& idx) {
  Indices counts(experts, 0);
  double total = 0;
  for (size_t t = 0; t < idx.size(); ++t) {
    EXPECT_TRUE(0 <= idx[t] && idx[t] < experts) << idx[t];
    if (idx[t] < 0 || idx[t] >= experts) return NAN;
    ++counts[idx[t]];
    total += s[t * experts + idx[t]];
  }
  EXPECT_EQ(counts, Indices(experts, int32_t(idx.size() / experts)));
  return total;
}

template <typename T>
class Balance : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Balance, Types);

// In practice within 1 % of the best total, of which a token's share is counted
// from the least score; with coarse ties, where winners keep what others value
// more, within 5 %.
TYPED_TEST(Balance, AuctionIsNearTheBestTotal) {
  using T = TypeParam;
  Random random(22);
  double worst[2] = {};
  int64_t most_rounds = 0, equal = 0, runs = 0;
  auto check = [&](const std::vector<T>& scores, int64_t tokens,
                   int64_t experts, bool ties) {
    const std::vector<double> s = Wide(scores);
    Indices idx(tokens, -1);
    const int64_t rounds = Assign(scores.data(), tokens, experts, idx.data());
    most_rounds = std::max(most_rounds, rounds);
    const double got = Total(s, experts, idx);
    const double best = BestTotal(s, tokens, experts);
    const double least = *std::min_element(s.begin(), s.end());
    const double below = (best - got) / (best - double(tokens) * least);
    EXPECT_GE(below, -1e-12);
    worst[ties] = std::max(worst[ties], below);
    equal += below < 1e-12;
    ++runs;
  };
  for (int n = 0; n < 150; ++n) {
    // Experts alike, experts of different popularity, coarse scores.
    std::vector<T> s = random.Values<T>(64 * 8);
    if (n % 3 == 1)
      for (int64_t i = 0; i < 64 * 8; ++i) s[i] = s[i] / 4 + T(i % 8) / 8;
    if (n % 3 == 2)
      for (T& x : s) x = std::round(x * 3);
    check(s, 64, 8, n % 3 == 2);
  }
  std::printf("%-44s %.2g, coarse %.2g; best in %ld of %ld; %ld rounds\n",
              "auction below the best total, 64 x 8", worst[0], worst[1],
              long(equal), long(runs), long(most_rounds));
  EXPECT_LT(worst[0], 0.01);
  EXPECT_LT(worst[1], 0.05);
  for (int64_t experts : {2, 3, 7, 16})
    for (int64_t share : {1, 2, 5})
      check(random.Values<T>(experts * share * experts), experts * share,
            experts, true);
  EXPECT_LT(worst[1], 0.05);
}

// Bidding for places finds the best total of random scores, and one within
// tokens * eps of it where many are close.
TYPED_TEST(Balance, PlacesAreAssignedAtTheBestTotal) {
  using T = TypeParam;
  Random random(24);
  double worst = 0;
  int64_t equal = 0, runs = 0;
  auto check = [&](const std::vector<T>& scores, int64_t tokens,
                   int64_t experts) {
    const std::vector<double> s = Wide(scores);
    Indices idx(tokens, -1);
    AssignExactly(scores.data(), tokens, experts, idx.data());
    const auto [least, most] = std::minmax_element(s.begin(), s.end());
    const double below = BestTotal(s, tokens, experts) - Total(s, experts, idx);
    worst = std::max(worst, below);
    const double eps = sizeof(T) == 4 ? 0x1p-18 : 0x1p-30;
    EXPECT_LE(below, double(tokens) * eps * (*most - *least) + 1e-12);
    equal += below < 1e-9;
    ++runs;
  };
  for (int n = 0; n < 150; ++n) {
    std::vector<T> s = random.Values<T>(64 * 8);
    if (n % 3 == 1)
      for (int64_t i = 0; i < 64 * 8; ++i) s[i] = s[i] / 4 + T(i % 8) / 8;
    if (n % 3 == 2)
      for (T& x : s) x = std::round(x * 3);
    check(s, 64, 8);
  }
  for (int64_t experts : {1, 2, 3, 7, 16})
    for (int64_t share : {1, 2, 5})
      check(random.Values<T>(experts * share * experts), experts * share,
            experts);
  std::printf("%-44s %.2g; best in %ld of %ld\n", "places below the best total",
              worst, long(equal), long(runs));
  // All alike, one special, nothing finite.
  constexpr T kInf = std::numeric_limits<T>::infinity();
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
  for (const T x :
       {T(0), T(7), kInf, -kInf, kNan, std::numeric_limits<T>::max()}) {
    std::vector<T> s(12 * 4, x);
    s[5] = T(1);
    s[40] = std::numeric_limits<T>::lowest();
    Indices idx(12, -1);
    AssignExactly(s.data(), 12, 4, idx.data());
    Total(std::vector<double>(12 * 4, 0.0), 4, idx);
  }
}

// Where totals differ by more than tokens * eps, the best one is found.
TYPED_TEST(Balance, AuctionFindsAClearBestTotal) {
  using T = TypeParam;
  Random random(23);
  for (int n = 0; n < 40; ++n) {
    Indices order(64);
    for (int64_t t = 0; t < 64; ++t) order[t] = static_cast<int32_t>(t % 8);
    for (int64_t t = 63; t > 0; --t)
      std::swap(order[t], order[random.Int(0, t)]);
    std::vector<T> s(64 * 8);
    for (int64_t t = 0; t < 64; ++t)
      for (int64_t e = 0; e < 8; ++e)
        s[t * 8 + e] = T(e == order[t] ? 2 : 0) +
                       T(random.Uniform() * (n % 2 ? 0.5 : 1.5));
    Indices idx(64);
    Assign(s.data(), 64, 8, idx.data());
    const std::vector<double> wide = Wide(s);
    EXPECT_NEAR(Total(wide, 8, idx), BestTotal(wide, 64, 8), 1e-9);
  }
}

// What fairseq's procedure gives, tie for tie and round for round.
TEST(BalanceF64, AuctionOfItsRelease) {
  struct Case {
    int64_t tokens, experts, by_token, by_expert, modulus, rounds;
    Indices want;
  };
  const Case cases[] = {
      {8, 2, 7, 5, 11, 5, {1, 1, 1, 0, 0, 1, 0, 0}},
      {12, 4, 7, 3, 13, 26, {1, 3, 3, 0, 0, 2, 0, 2, 1, 1, 2, 3}},
      {16, 4, 5, 9, 17, 21, {1, 0, 2, 3, 0, 0, 3, 1, 1, 2, 2, 3, 0, 2, 3, 1}}};
  for (const Case& c : cases) {
    std::vector<double> s;
    for (int64_t t = 0; t < c.tokens; ++t)
      for (int64_t e = 0; e < c.experts; ++e)
        s.push_back(double((t * c.by_token + e * c.by_expert) *
                           (t + 2 * e + 1) % c.modulus));
    Indices idx(c.tokens);
    EXPECT_EQ(Assign(s.data(), c.tokens, c.experts, idx.data()), c.rounds);
    EXPECT_EQ(idx, c.want);
  }
}

TYPED_TEST(Balance, AuctionOfSpecialInputs) {
  using T = TypeParam;
  constexpr T kInf = std::numeric_limits<T>::infinity();
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
  auto assign = [](std::vector<T> s, int64_t experts) {
    Indices idx(s.size() / experts, -1);
    Assign(s.data(), static_cast<int64_t>(idx.size()), experts, idx.data());
    Total(Wide(s), experts, idx);
    return idx;
  };
  EXPECT_EQ(assign({}, 4), Indices());
  EXPECT_EQ(assign({3, 1, 2}, 1), (Indices{0, 0, 0}));
  EXPECT_EQ(assign({1, 0, 0, 1}, 2), (Indices{0, 1}));
  EXPECT_EQ(assign({1, 0, 0.5, 0}, 2), (Indices{0, 1}));
  // All equal, all without a number, both infinities: still balanced.
  assign(std::vector<T>(64 * 8, T(1e6)), 8);
  assign(std::vector<T>(64 * 8, T(1e30)), 8);
  assign(std::vector<T>(64 * 8, kNan), 8);
  assign(std::vector<T>(8 * 4, -kInf), 4);
  EXPECT_EQ(assign({kNan, 1, 3, kInf}, 2), (Indices{1, 0}));
  // Everybody wants the same, at sizes where a step is below rounding.
  const T huge = std::numeric_limits<T>::max();
  std::vector<T> s(32 * 4);
  for (size_t i = 0; i < s.size(); ++i)
    s[i] = i % 4 == 0 ? huge : i % 4 == 1 ? -huge : T(1e6) + T(i % 4);
  assign(s, 4);
}

// Rows sum to 1/T and columns to 1/E at the fixed point.
TYPED_TEST(Balance, SinkhornUsesTokensAndExpertsEqually) {
  using T = TypeParam;
  Random random(24);
  const double tol = sizeof(T) == 8 ? 1e-6 : 1e-5;
  double worst = 0;
  for (auto [tokens, experts] :
       {std::pair<int64_t, int64_t>{1, 4}, {24, 8}, {50, 3}, {7, 1}}) {
    auto z = random.Values<T>(tokens * experts);
    for (T& v : z) v *= 3;
    std::vector<T> y(z.size());
    Sinkhorn(z.data(), tokens, experts, 0.0, 500, y.data());
    for (int64_t t = 0; t < tokens; ++t) {
      double sum = 0;
      for (int64_t e = 0; e < experts; ++e) sum += y[t * experts + e];
      worst = std::max(worst, std::fabs(sum * double(tokens) - 1));
    }
    for (int64_t e = 0; e < experts; ++e) {
      double sum = 0;
      for (int64_t t = 0; t < tokens; ++t) sum += y[t * experts + e];
      worst = std::max(worst, std::fabs(sum * double(experts) - 1));
    }
    // y = d1 c d0 keeps the cross ratios of c = exp(z).
    for (int64_t t = 1; t < tokens; ++t)
      for (int64_t e = 1; e < experts; ++e) {
        const double ratio =
            double(y[0]) * y[t * experts + e] / (double(y[e]) * y[t * experts]);
        const double want =
            std::exp(double(z[0]) + z[t * experts + e] - z[e] - z[t * experts]);
        worst = std::max(worst, std::fabs(ratio / want - 1));
      }
  }
  std::printf("%-44s %.3g (tolerance %g)\n", "sinkhorn, sums and cross ratios",
              worst, tol);
  EXPECT_LT(worst, tol);
}

// One iteration, written out; the iterations counted.
TYPED_TEST(Balance, SinkhornIterations) {
  using T = TypeParam;
  const std::vector<T> z = {0, 1, 2, 0.5, -1, 0};
  std::vector<T> y(6);
  EXPECT_EQ(Sinkhorn(z.data(), 3, 2, 0.0, 1, y.data()), 1);
  std::vector<double> c(6), d0(3), d1(2);
  for (int i = 0; i < 6; ++i) c[i] = std::exp(double(z[i]));
  for (int t = 0; t < 3; ++t)
    d0[t] = 1 / (3 * (c[2 * t] + c[2 * t + 1] + 1e-8));
  for (int e = 0; e < 2; ++e)
    d1[e] =
        1 / (2 * (d0[0] * c[e] + d0[1] * c[2 + e] + d0[2] * c[4 + e] + 1e-8));
  std::vector<double> want(6);
  for (int i = 0; i < 6; ++i) want[i] = d1[i % 2] * c[i] * d0[i / 2];
  Report("sinkhorn, one iteration", CompareOp(y, want, 8));
  // A loose tolerance ends after one iteration, none goes to the limit.
  EXPECT_EQ(Sinkhorn(z.data(), 3, 2, 1e9, 50, y.data()), 1);
  EXPECT_EQ(Sinkhorn(z.data(), 3, 2, 1e-4, 50, y.data()), 7);
  // The mean change is 0.0973 at first, then 0.0257.
  EXPECT_EQ(Sinkhorn(z.data(), 3, 2, 0.1, 50, y.data()), 1);
  EXPECT_EQ(Sinkhorn(z.data(), 3, 2, 0.09, 50, y.data()), 2);
  EXPECT_EQ(Sinkhorn(z.data(), 3, 2, 0.025, 50, y.data()), 3);
  const std::vector<T> bad(6, std::numeric_limits<T>::quiet_NaN());
  EXPECT_EQ(Sinkhorn(bad.data(), 3, 2, 1e-4, 9, y.data()), 9);
  EXPECT_EQ(Sinkhorn(z.data(), 0, 2, 1e-4, 9, y.data()), 2);
}

}  // namespace
}  // namespace moe::reference
