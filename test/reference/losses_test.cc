// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Losses against values worked out by hand and against the formulas of their
// papers where these are written differently.
#include "lib/reference/losses.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "test/reference/random.h"

namespace moe::reference {
namespace {

using Kind = BalanceLossShape::Kind;
using Indices = std::vector<int32_t>;

template <typename T>
class Losses : public testing::Test {
 protected:
  static double Balance(const BalanceLossShape& s, const std::vector<T>& p,
                        const Indices& idx, const Indices& seqs = {}) {
    return BalanceLoss(s, p.data(), idx.data(),
                       seqs.empty() ? nullptr : seqs.data(),
                       static_cast<int64_t>(seqs.size()) - 1);
  }
  static void Near(double got, double want) {
    const double tol = sizeof(T) == 8 ? 1e-12 : 1e-6;
    EXPECT_NEAR(got, want, tol * std::max(1.0, std::fabs(want)));
  }
};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Losses, Types);

TYPED_TEST(Losses, BalanceByHand) {
  using T = TypeParam;
  // Two tokens, four experts, two choices; 4 is no choice.
  const std::vector<T> p = {0.5, 0.25, 0.25, 0, 0.25, 0.25, 0.5, 0};
  const Indices idx = {0, 1, 2, 4};
  BalanceLossShape s{Kind::kExpert, 2, 4, 2};
  // f = 4 (1, 1, 1, 0) / 2, P = (3, 2, 3, 0) / 8.
  this->Near(this->Balance(s, p, idx), 2.0);
  s.per_choice = true;
  this->Near(this->Balance(s, p, idx), 1.0);
  s.kind = Kind::kDevice;
  s.devices = 2;
  // f' = ((1 + 1) / 2, (1 + 0) / 2), P' = (5, 3) / 8.
  this->Near(this->Balance(s, p, idx), 1 * 5 / 8.0 + 0.5 * 3 / 8.0);
  s.per_choice = false;
  this->Near(this->Balance(s, p, idx), 2 * 5 / 8.0 + 1 * 3 / 8.0);
  s.kind = Kind::kCommunication;
  // One token reaches each device: f'' = 2 · 1 / (limit · 2).
  this->Near(this->Balance(s, p, idx), 1.0);
  s.limit = 2;
  this->Near(this->Balance(s, p, idx), 0.5);
  // Both choices of token 0 on device 0 count once, token 1 reaches both.
  this->Near(this->Balance(s, p, {0, 1, 2, 0}),
             2 / 2.0 * 5 / 8 + 1 / 2.0 * 3 / 8);
}

TYPED_TEST(Losses, BalanceIsOneWhereBalanced) {
  using T = TypeParam;
  const int64_t tokens = 24, experts = 6, k = 2;
  std::vector<T> p(tokens * experts, T(1) / 6);
  Indices idx;
  for (int64_t t = 0; t < tokens; ++t) {
    idx.push_back(static_cast<int32_t>(t % experts));
    idx.push_back(static_cast<int32_t>((t + 3) % experts));
  }
  BalanceLossShape s{Kind::kExpert, tokens, experts, k};
  this->Near(this->Balance(s, p, idx), 2.0);  // transformers: K
  s.per_choice = true;
  this->Near(this->Balance(s, p, idx), 1.0);
  s.kind = Kind::kDevice;
  s.devices = 3;
  this->Near(this->Balance(s, p, idx), 1.0);
  // Each token reaches two of the three devices.
  s.kind = Kind::kCommunication;
  s.limit = 2;
  this->Near(this->Balance(s, p, idx), 1.0);
}

// E / (K T²) Σ_e (Σ_t p)(Σ_t m), Megatron-Core; per sequence, then the mean.
TYPED_TEST(Losses, BalanceOfSequences) {
  using T = TypeParam;
  Random random(51);
  const int64_t tokens = 30, experts = 5, k = 2;
  std::vector<T> p = random.Values<T>(tokens * experts);
  Indices idx;
  for (int64_t i = 0; i < tokens * k; ++i)
    idx.push_back(static_cast<int32_t>(random.Int(-1, experts)));
  BalanceLossShape s{Kind::kExpert, tokens, experts, k};
  s.per_choice = true;
  const Indices seqs = {0, 4, 4, 29, 30};
  double total = 0;
  for (int b = 0; b < 4; ++b) {
    const double n = seqs[b + 1] - seqs[b];
    for (int64_t e = 0; e < experts && n > 0; ++e) {
      double P = 0, m = 0;
      for (int64_t t = seqs[b]; t < seqs[b + 1]; ++t) {
        P += p[t * experts + e];
        for (int64_t j = 0; j < k; ++j) m += idx[t * k + j] == e;
      }
      total += experts / (k * n * n) * P * m;
    }
  }
  this->Near(this->Balance(s, p, idx, seqs), total / 4);
  this->Near(this->Balance(s, p, idx, {0, 30}), this->Balance(s, p, idx));
  EXPECT_TRUE(std::isnan(this->Balance({Kind::kExpert, 0, 5, 2}, {}, {})));
}

TYPED_TEST(Losses, ZAndVariation) {
  using T = TypeParam;
  const std::vector<T> z = {0, 0, T(1000), T(1000 + std::log(3.0))};
  const double a = std::log(2.0), b = double(z[3]) + std::log1p(1 / 3.0);
  const double got = ZLoss(z.data(), 2, 2), want = (a * a + b * b) / 2;
  EXPECT_NEAR(got / want, 1, sizeof(T) == 8 ? 1e-12 : 1e-6);
  EXPECT_TRUE(std::isnan(ZLoss<T>(nullptr, 0, 2)));

  // v = (4, 2, 6): mean 4, squares 8.
  const std::vector<T> x = {1, 2, 3, 3, 0, 3};
  this->Near(VariationLoss(x.data(), 2, 3, 0.0, false), 8.0 / 3 / 16);
  this->Near(VariationLoss(x.data(), 2, 3, 0.0, true), 8.0 / 2 / 16);
  this->Near(VariationLoss(x.data(), 2, 3, 16.0, false), 8.0 / 3 / 32);
  this->Near(VariationLoss<T>(nullptr, 0, 3, 1e-10, false), 0.0);
}

}  // namespace
}  // namespace moe::reference
