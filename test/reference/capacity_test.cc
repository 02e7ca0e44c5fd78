// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/capacity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lib/reference/routing.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

using Indices = std::vector<int32_t>;
using Round = CapacityLimit::Round;

template <typename T>
class CapacityOf : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CapacityOf, Types);

// The formulas of the literature, by their sources.
TEST(CapacityRows, FormulasInCirculation) {
  for (int64_t tokens : {1, 7, 24, 100, 4096})
    for (int64_t experts : {1, 3, 8, 64})
      for (double cf : {0.25, 0.5, 1.0, 1.25, 2.0}) {
        const double share = cf * double(tokens) / double(experts);
        // Mesh-TensorFlow, for all but its bound by the tokens.
        EXPECT_EQ(CapacityRows({cf, Round::kFloor, 1, 4}, tokens, experts),
                  std::max<int64_t>(4, int64_t(share)));
        // flaxformer: Python's round, ties to even.
        EXPECT_EQ(CapacityRows({cf, Round::kNearest, 1, 4}, tokens, experts),
                  std::max<int64_t>(4, int64_t(std::nearbyint(share))));
        // V-MoE: up to a multiple of 4.
        EXPECT_EQ(CapacityRows({cf, Round::kCeil, 1, 1, 4}, tokens, experts),
                  (int64_t(std::ceil(share)) + 3) / 4 * 4);
        // fairseq: 2 ceil(S / E), and torchscale: int(cf ceil(S / E)).
        EXPECT_EQ(CapacityRows({1, Round::kCeil, 2}, tokens, experts),
                  2 * ((tokens + experts - 1) / experts));
        EXPECT_EQ(
            CapacityRows({1, Round::kCeil, cf}, tokens, experts),
            std::max<int64_t>(
                1, int64_t(cf * double((tokens + experts - 1) / experts))));
      }
  EXPECT_EQ(CapacityRows({1, Round::kNearest}, 5, 2), 2);  // 2.5
  EXPECT_EQ(CapacityRows({1, Round::kNearest}, 7, 2), 4);  // 3.5
  EXPECT_EQ(CapacityRows({1, Round::kCeil, 1, 1, 4, 3}, 9, 2), 11);
  EXPECT_EQ(CapacityRows({1}, 0, 2), 1);
  EXPECT_GT(CapacityRows({1e300}, 9, 2), int64_t{1} << 40);
}

struct Case {
  const char* name;
  int64_t tokens, experts, k;
  double factor;
  Indices seqs;
};
const Case kCases[] = {{"random", 40, 8, 2, 1, {0, 40}},
                       {"three sequences", 40, 5, 3, 2, {0, 1, 17, 40}},
                       {"tokens of none", 30, 4, 2, 1, {3, 11, 11, 25}},
                       {"one token", 1, 16, 4, 1, {0, 1}},
                       {"no token", 0, 4, 2, 1, {0, 0}},
                       {"one expert", 9, 1, 1, 0.5, {0, 9}},
                       {"more choices than experts", 12, 2, 5, 1, {0, 12}},
                       {"skew", 300, 16, 2, 1.25, {0, 300}},
                       {"room for all", 20, 4, 2, 100, {0, 20}}};

Indices Choices(const Case& c, Random& random) {
  Indices idx;
  const bool skew = std::string(c.name) == "skew";
  for (int64_t i = 0; i < c.tokens * c.k; ++i) {
    int32_t e = static_cast<int32_t>(random.Int(-1, c.experts + 1));
    if (skew && random.Int(0, 9) != 0) e = 3;
    idx.push_back(e);
  }
  return idx;
}

// Choices in one order of all experts, each with a counter: what is first among
// the remaining choices is searched again and again.
template <typename T>
Indices Counted(const Case& c, const Indices& idx, const std::vector<T>* rank,
                const CapacityLimit& limit, bool choice_major) {
  Indices kept(idx.size(), static_cast<int32_t>(c.experts));
  for (size_t b = 0; b + 1 < c.seqs.size(); ++b) {
    const int64_t begin = c.seqs[b] * c.k, end = c.seqs[b + 1] * c.k;
    const int64_t rows =
        CapacityRows(limit, c.seqs[b + 1] - c.seqs[b], c.experts);
    std::vector<int64_t> used(c.experts, 0);
    std::vector<char> done(idx.size(), 0);
    auto better = [&](int64_t a, int64_t o) {
      if (choice_major && a % c.k != o % c.k) return a % c.k < o % c.k;
      if (rank) {
        const T x = (*rank)[a], y = (*rank)[o];
        if ((x != x) != (y != y)) return x != x;
        if (x == x && x != y) return x > y;
      }
      return a < o;
    };
    for (int64_t n = begin; n < end; ++n) {
      int64_t best = -1;
      for (int64_t i = begin; i < end; ++i)
        if (!done[i] && (best < 0 || better(i, best))) best = i;
      done[best] = 1;
      const int32_t e = idx[best];
      if (e < 0 || e >= c.experts || used[e] == rows) continue;
      ++used[e];
      kept[best] = e;
    }
  }
  return kept;
}

TYPED_TEST(CapacityOf, EqualsCounters) {
  using T = TypeParam;
  Random random(11);
  int64_t dropped = 0, total = 0;
  for (const Case& c : kCases)
    for (bool choice_major : {false, true})
      for (int kind : {0, 1, 2}) {  // no priority, many ties, NaN among them
        const Indices idx = Choices(c, random);
        std::vector<T> rank(idx.size());
        for (T& x : rank)
          x = kind == 2 && random.Int(0, 4) == 0
                  ? std::numeric_limits<T>::quiet_NaN()
                  : T(random.Int(-2, 2)) / 2;
        const CapacityLimit limit{.factor = c.factor};
        Indices kept(idx.size(), -7);
        Capacity(idx.data(), kind ? rank.data() : nullptr, c.seqs.data(),
                 c.seqs.size() - 1, c.tokens, c.experts, c.k, limit,
                 choice_major, kept.data());
        EXPECT_EQ(kept,
                  Counted(c, idx, kind ? &rank : nullptr, limit, choice_major))
            << c.name << " choice major " << choice_major << " kind " << kind;
        for (size_t i = 0; i < idx.size(); ++i) {
          total += idx[i] >= 0 && idx[i] < c.experts;
          dropped += kept[i] == c.experts && idx[i] >= 0 && idx[i] < c.experts;
        }
      }
  std::printf("%-44s %ld of %ld choices dropped\n", "capacity", long(dropped),
              long(total));
  EXPECT_GT(dropped, total / 10);
  EXPECT_LT(dropped, total);
}

TEST(CapacityF32, OrdersDiffer) {
  // Three tokens want expert 0, the last one as its second choice; two fit.
  const Indices idx = {0, 1, 1, 0, 0, 1}, seqs = {0, 3};
  const CapacityLimit limit{.factor = 1, .min = 2};
  auto kept = [&](bool choice_major, std::vector<float> rank) {
    Indices y(6);
    Capacity(idx.data(), rank.empty() ? nullptr : rank.data(), seqs.data(), 1,
             3, 2, 2, limit, choice_major, y.data());
    return y;
  };
  EXPECT_EQ(kept(false, {}), (Indices{0, 1, 1, 0, 2, 2}));
  EXPECT_EQ(kept(true, {}), (Indices{0, 1, 1, 2, 0, 2}));
  EXPECT_EQ(kept(false, {1, 1, 2, 2, 3, 3}), (Indices{2, 2, 1, 0, 0, 1}));
  // Denormal priorities are equal: tokens in order.
  EXPECT_EQ(kept(false, {0, 0, 1e-40f, 1e-40f, 0, 0}),
            (Indices{0, 1, 1, 0, 2, 2}));
}

// Rounds over all tokens, as they are told.
TEST(NextChoice, EqualsRounds) {
  Random random(12);
  for (const Case& c : kCases) {
    const Indices idx = Choices(c, random);
    const CapacityLimit limit{.factor = c.factor / 2};
    const int64_t rows = CapacityRows(limit, c.tokens, c.experts);
    Indices placed(c.tokens), want(c.tokens, static_cast<int32_t>(c.experts));
    NextChoice(idx.data(), c.tokens, c.experts, c.k, limit, placed.data());
    for (int64_t j = 0; j < c.k; ++j)
      for (int64_t t = 0; t < c.tokens; ++t) {
        const int32_t e = idx[t * c.k + j];
        const bool valid = 0 <= e && e < c.experts;
        if (want[t] == c.experts && valid &&
            std::count(want.begin(), want.end(), e) < rows)
          want[t] = e;
      }
    EXPECT_EQ(placed, want) << c.name;
  }
  // The second token's first choice is full, so is the third's second.
  const Indices idx = {0, 1, 0, 1, 0, 1};
  Indices placed(3);
  NextChoice(idx.data(), 3, 2, 2, {.factor = 0.5}, placed.data());
  EXPECT_EQ(placed, (Indices{0, 1, 2}));
}

// A token is taken iff fewer than C tokens of its sequence come before it.
TYPED_TEST(CapacityOf, SelectTokensEqualsRanks) {
  using T = TypeParam;
  Random random(13);
  for (const Case& c : kCases)
    for (bool nans : {false, true}) {
      std::vector<T> s(c.tokens * c.experts);
      for (T& x : s)
        x = nans && random.Int(0, 5) == 0 ? std::numeric_limits<T>::quiet_NaN()
                                          : T(random.Int(-3, 3)) / 4;
      const CapacityLimit limit{.factor = c.factor};
      Indices idx(s.size(), -7), want(s.size(), int32_t(c.experts));
      SelectTokens(s.data(), c.seqs.data(), c.seqs.size() - 1, c.tokens,
                   c.experts, limit, idx.data());
      for (size_t b = 0; b + 1 < c.seqs.size(); ++b) {
        const int64_t rows =
            CapacityRows(limit, c.seqs[b + 1] - c.seqs[b], c.experts);
        for (int64_t t = c.seqs[b]; t < c.seqs[b + 1]; ++t)
          for (int64_t e = 0; e < c.experts; ++e) {
            int64_t before = 0;
            const T mine = s[t * c.experts + e];
            for (int64_t o = c.seqs[b]; o < c.seqs[b + 1]; ++o) {
              const T other = s[o * c.experts + e];
              const bool above = other != other ? mine == mine : other > mine;
              const bool below = mine != mine ? other == other : mine > other;
              before += above || (!below && o < t);
            }
            if (before < rows)
              want[t * c.experts + e] = static_cast<int32_t>(e);
          }
      }
      EXPECT_EQ(idx, want) << c.name;
    }
}

}  // namespace
}  // namespace moe::reference
