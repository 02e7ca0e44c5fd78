// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ops over sequences and dense mixtures against loops in double over the tokens
// of each sequence, found token by token.
#include "lib/reference/sequences.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "lib/reference/mixture.h"
#include "test/reference/random.h"

namespace moe::reference {
namespace {

struct Packed {
  const char* name;
  int64_t tokens;
  std::vector<int32_t> seqs;
  int64_t sequences() const { return static_cast<int64_t>(seqs.size()) - 1; }
  // The sequence of a token, -1 if none.
  int64_t Of(int64_t t) const {
    for (int64_t b = 0; b < sequences(); ++b)
      if (seqs[b] <= t && t < seqs[b + 1]) return b;
    return -1;
  }
};
const Packed kPacked[] = {{"one", 9, {0, 9}},
                          {"ragged", 70, {0, 1, 30, 33, 70}},
                          {"empty ones", 12, {0, 0, 5, 5, 12, 12}},
                          {"tokens of none", 20, {2, 9, 14}},
                          {"one token", 1, {0, 1}},
                          {"no token", 0, {0, 0}},
                          {"no sequence", 5, {0}}};

template <typename T>
class Sequences : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Sequences, Types);

TYPED_TEST(Sequences, ReduceBroadcastSoftmax) {
  using T = TypeParam;
  Random random(41);
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const int64_t d = 5;
  for (const Packed& p : kPacked) {
    const int64_t B = p.sequences();
    const auto x = random.Values<T>(p.tokens * d);
    std::vector<double> sum(B * d, 0.0), mean, max(B * d, -kInf),
        min(B * d, kInf), size(B, 0.0), total(B * d, 0.0),
        soft(p.tokens * d, 0.0);
    for (int64_t t = 0; t < p.tokens; ++t) {
      const int64_t b = p.Of(t);
      if (b < 0) continue;
      ++size[b];
      for (int64_t i = 0; i < d; ++i) {
        const double v = x[t * d + i];
        sum[b * d + i] += v;
        total[b * d + i] += std::exp(v);
        max[b * d + i] = std::max(max[b * d + i], v);
        min[b * d + i] = std::min(min[b * d + i], v);
      }
    }
    mean = sum;
    for (int64_t i = 0; i < B * d; ++i)
      if (size[i / d] > 0) mean[i] /= size[i / d];
    std::vector<T> y(B * d);
    auto reduce = [&](ReduceKind kind) {
      SegmentReduce(kind, x.data(), p.seqs.data(), B, d, y.data());
      return y;
    };
    const std::string name = std::string(", ") + p.name;
    Report("segment sum" + name,
           CompareOp(reduce(ReduceKind::kSum), sum, p.tokens + 1));
    Report("segment mean" + name,
           CompareOp(reduce(ReduceKind::kMean), mean, p.tokens + 1));
    EXPECT_EQ(Wide(reduce(ReduceKind::kMax)), max);
    EXPECT_EQ(Wide(reduce(ReduceKind::kMin)), min);

    for (int64_t t = 0; t < p.tokens; ++t)
      for (int64_t i = 0; i < d && p.Of(t) >= 0; ++i)
        soft[t * d + i] =
            std::exp(double(x[t * d + i])) / total[p.Of(t) * d + i];
    std::vector<T> s(p.tokens * d, T(-7));
    SegmentSoftmax(x.data(), p.seqs.data(), B, p.tokens, d, s.data());
    Report("segment softmax" + name, CompareOp(s, soft, p.tokens + 1));

    const auto v = random.Values<T>(B * d);
    std::vector<T> spread(p.tokens * d, T(-7)), want(p.tokens * d, T(0));
    std::vector<int32_t> of(p.tokens, -7), number(B);
    for (int64_t b = 0; b < B; ++b) number[b] = static_cast<int32_t>(b + 1);
    SegmentBroadcast(v.data(), p.seqs.data(), B, p.tokens, d, spread.data());
    SegmentBroadcast(number.data(), p.seqs.data(), B, p.tokens, 1, of.data());
    for (int64_t t = 0; t < p.tokens; ++t) {
      EXPECT_EQ(of[t], p.Of(t) + 1);
      for (int64_t i = 0; i < d && p.Of(t) >= 0; ++i)
        want[t * d + i] = v[p.Of(t) * d + i];
    }
    EXPECT_EQ(spread, want);
  }
}

TEST(SequencesF32, OrdersAndSpecialValues) {
  const std::vector<int32_t> seqs = {0, 4};
  float y = 0;
  // Ascending, 1 is lost in 1e8; from the other end it is not.
  const float x[] = {1, 1e8f, -1e8f, 0};
  SegmentReduce(ReduceKind::kSum, x, seqs.data(), 1, 1, &y);
  EXPECT_EQ(y, 0);
  const float nan[] = {1, NAN, 3, 2};
  for (ReduceKind kind : {ReduceKind::kMax, ReduceKind::kMin}) {
    SegmentReduce(kind, nan, seqs.data(), 1, 1, &y);
    EXPECT_TRUE(std::isnan(y));
  }
  // Large logits do not overflow.
  const float z[] = {1000, 1000, -1000, 1000};
  float p[4];
  SegmentSoftmax(z, seqs.data(), 1, 4, 1, p);
  EXPECT_EQ(p[0], 1 / 3.0f);
  EXPECT_EQ(p[2], 0);
}

TYPED_TEST(Sequences, LinearAndMixtures) {
  using T = TypeParam;
  Random random(42);
  const int64_t n = 3, d = 19;
  for (const Packed& p : kPacked) {
    const int64_t B = p.sequences();
    const auto x = random.Values<T>(p.tokens * d);
    const auto a = random.Values<T>(p.tokens * n);
    const auto w = random.Values<T>(B * n * d);
    std::vector<double> mixed(B * n * d, 0.0), unmixed(p.tokens * d, 0.0),
        dots(p.tokens * n, 0.0);
    for (int64_t t = 0; t < p.tokens; ++t) {
      const int64_t b = p.Of(t);
      if (b < 0) continue;
      for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < d; ++i) {
          const int64_t slot = (b * n + j) * d + i;
          mixed[slot] += double(a[t * n + j]) * x[t * d + i];
          unmixed[t * d + i] += double(a[t * n + j]) * w[slot];
          dots[t * n + j] += double(x[t * d + i]) * w[slot];
        }
    }
    std::vector<T> y(B * n * d, T(-7)), u(p.tokens * d, T(-7)),
        m(p.tokens * n, T(-7)), l(p.tokens * n, T(-7));
    Mix(a.data(), x.data(), p.seqs.data(), B, n, d, y.data());
    Unmix(a.data(), w.data(), p.seqs.data(), B, p.tokens, n, d, u.data());
    MixDot(x.data(), w.data(), p.seqs.data(), B, p.tokens, n, d, m.data());
    SegmentLinear(x.data(), w.data(), p.seqs.data(), B, p.tokens, n, d,
                  l.data());
    const std::string name = std::string(", ") + p.name;
    Report("mix" + name, CompareOp(y, mixed, p.tokens + 1));
    Report("unmix" + name, CompareOp(u, unmixed, n));
    Report("mix_dot" + name, CompareOp(m, dots, d));
    Report("segment_linear" + name, CompareOp(l, dots, d));
  }
}

TYPED_TEST(Sequences, MergeParams) {
  using T = TypeParam;
  Random random(43);
  const int64_t size = 14;
  for (int64_t rows : {0, 1, 5})
    for (int64_t experts : {1, 6}) {
      const auto w = random.Values<T>(rows * experts);
      const auto param = random.Values<T>(experts * size);
      std::vector<double> want(rows * size, 0.0);
      for (int64_t b = 0; b < rows; ++b)
        for (int64_t e = 0; e < experts; ++e)
          for (int64_t i = 0; i < size; ++i)
            want[b * size + i] +=
                double(w[b * experts + e]) * param[e * size + i];
      std::vector<T> y(rows * size, T(-7));
      MergeParams(w.data(), param.data(), rows, experts, size, y.data());
      Report("merge_params", CompareOp(y, want, experts));
    }
}

}  // namespace
}  // namespace moe::reference
