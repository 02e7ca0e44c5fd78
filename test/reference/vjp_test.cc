// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/vjp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lib/reference/matmul.h"
#include "lib/reference/movement.h"
#include "lib/reference/norm.h"
#include "test/reference/finite_difference.h"

namespace moe::reference {
namespace {

constexpr auto kChain = Accumulation::kChain;

TEST(Vjp, Linear) {
  Random random(1);
  for (int64_t tokens : {1, 5}) {
    const int64_t n = 4, k = 7;
    CheckVjp(
        "linear",
        {random.Values<double>(tokens * k), random.Values<double>(n * k),
         random.Values<double>(n)},
        tokens * n,
        [&](const Inputs& in, double* y) {
          Linear(in[0].data(), in[1].data(), in[2].data(), tokens, n, k, kChain,
                 y);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          LinearVjpX(dy, in[1].data(), tokens, n, k, g[0].data());
          LinearVjpW(dy, in[0].data(), tokens, n, k, g[1].data());
          LinearVjpBias(dy, tokens, n, g[2].data());
        },
        random);
  }
}

TEST(Vjp, HeadLinear) {
  Random random(2);
  const int64_t tokens = 3, heads = 2, n = 4, k = 5;
  CheckVjp(
      "head_linear",
      {random.Values<double>(tokens * heads * k),
       random.Values<double>(heads * n * k)},
      tokens * heads * n,
      [&](const Inputs& in, double* y) {
        HeadLinear(in[0].data(), in[1].data(), tokens, heads, n, k, kChain, y);
      },
      [&](const Inputs& in, const double* dy, Inputs& g) {
        HeadLinearVjpX(dy, in[1].data(), tokens, heads, n, k, g[0].data());
        HeadLinearVjpW(dy, in[0].data(), tokens, heads, n, k, g[1].data());
      },
      random);
}

// An empty expert, one with one row, one with most of them.
TEST(Vjp, GroupedMatmul) {
  Random random(3);
  const int32_t offsets[] = {0, 5, 5, 6};
  const int64_t experts = 3, rows = 6, n = 3, k = 4;
  CheckVjp(
      "grouped_matmul",
      {random.Values<double>(rows * k), random.Values<double>(experts * n * k),
       random.Values<double>(experts * n)},
      rows * n,
      [&](const Inputs& in, double* y) {
        GroupedMatmul(in[0].data(), nullptr, offsets, in[1].data(),
                      in[2].data(), experts, n, k, kChain, y);
      },
      [&](const Inputs& in, const double* dy, Inputs& g) {
        GroupedMatmulVjpX(dy, offsets, in[1].data(), experts, n, k,
                          g[0].data());
        GroupedMatmulVjpW(dy, in[0].data(), nullptr, offsets, experts, n, k,
                          g[1].data());
        GroupedMatmulVjpBias(dy, offsets, experts, n, g[2].data());
      },
      random);
}

// Rows gathered from tokens: the gradient of a token is the sum over its rows.
TEST(Vjp, GroupedMatmulOfGatheredRows) {
  Random random(4);
  const int64_t tokens = 4, experts = 3, top_k = 2, n = 3, k = 5;
  const int32_t idx[] = {0, 2, 2, 3, 2, 0, 3, 3};  // 3 is invalid
  const Plan plan = MakePlan(idx, tokens, experts, top_k);
  std::vector<int32_t> source(plan.rows());
  PlanTokens(plan, source.data());
  CheckVjp(
      "grouped_matmul gathered",
      {random.Values<double>(tokens * k),
       random.Values<double>(experts * n * k)},
      plan.rows() * n,
      [&](const Inputs& in, double* y) {
        GroupedMatmul<double>(in[0].data(), source.data(), plan.offsets.data(),
                              in[1].data(), nullptr, experts, n, k, kChain, y);
      },
      [&](const Inputs& in, const double* dy, Inputs& g) {
        Vec drows(plan.rows() * k);
        GroupedMatmulVjpX(dy, plan.offsets.data(), in[1].data(), experts, n, k,
                          drows.data());
        DispatchVjp(drows.data(), plan, k, g[0].data());
        GroupedMatmulVjpW(dy, in[0].data(), source.data(), plan.offsets.data(),
                          experts, n, k, g[1].data());
      },
      random);
}

TEST(Vjp, Norms) {
  Random random(5);
  for (int64_t d : {1, 6, 35}) {
    const int64_t rows = 3;
    const double eps = 1e-2;
    CheckVjp(
        "rms_norm", {random.Values<double>(rows * d), random.Values<double>(d)},
        rows * d,
        [&](const Inputs& in, double* y) {
          RmsNorm(in[0].data(), in[1].data(), rows, d, eps, Rounding::kNone, y);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          RmsNormVjp(in[0].data(), in[1].data(), dy, rows, d, eps, g[0].data(),
                     g[1].data());
        },
        random);
    CheckVjp(
        "layer_norm",
        {random.Values<double>(rows * d), random.Values<double>(d),
         random.Values<double>(d)},
        rows * d,
        [&](const Inputs& in, double* y) {
          LayerNorm(in[0].data(), in[1].data(), in[2].data(), rows, d, eps, y);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          LayerNormVjp(in[0].data(), in[1].data(), dy, rows, d, eps,
                       g[0].data(), g[1].data(), g[2].data());
        },
        random);
    CheckVjp(
        "weightless norms", {random.Values<double>(rows * d)}, 2 * rows * d,
        [&](const Inputs& in, double* y) {
          RmsNorm<double>(in[0].data(), nullptr, rows, d, eps, Rounding::kNone,
                          y);
          LayerNorm<double>(in[0].data(), nullptr, nullptr, rows, d, eps,
                            y + rows * d);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          Vec other(rows * d);
          RmsNormVjp<double>(in[0].data(), nullptr, dy, rows, d, eps,
                             g[0].data(), nullptr);
          LayerNormVjp<double>(in[0].data(), nullptr, dy + rows * d, rows, d,
                               eps, other.data(), nullptr, nullptr);
          for (int64_t i = 0; i < rows * d; ++i) g[0][i] += other[i];
        },
        random);
  }
}

TEST(Vjp, SoftmaxAndReduce) {
  Random random(6);
  for (int64_t inner : {1, 3}) {
    const int64_t outer = 2, n = 5, size = outer * n * inner;
    CheckVjp(
        "softmax", {random.Values<double>(size)}, size,
        [&](const Inputs& in, double* y) {
          Softmax(in[0].data(), outer, n, inner, y);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          Vec y(size);
          Softmax(in[0].data(), outer, n, inner, y.data());
          SoftmaxVjp(y.data(), dy, outer, n, inner, g[0].data());
        },
        random);
    for (auto kind : {ReduceKind::kSum, ReduceKind::kMean, ReduceKind::kMax,
                      ReduceKind::kMin})
      CheckVjp(
          "reduce " + std::string(ReduceKindName(kind)),
          {random.Values<double>(size)}, outer * inner,
          [&](const Inputs& in, double* y) {
            Reduce(kind, in[0].data(), outer, n, inner, y);
          },
          [&](const Inputs& in, const double* dy, Inputs& g) {
            Vec y(outer * inner);
            Reduce(kind, in[0].data(), outer, n, inner, y.data());
            ReduceVjp(kind, in[0].data(), y.data(), dy, outer, n, inner,
                      g[0].data());
          },
          random);
  }
}

TEST(Vjp, ActivationsAndGlu) {
  Random random(7);
  for (auto act : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh,
                   Activation::kRelu, Activation::kSigmoid, Activation::kTanh,
                   Activation::kIdentity, Activation::kQuickGelu}) {
    const int64_t rows = 3, width = 4, size = rows * 2 * width;
    Vec x = random.Values<double>(size);
    for (double& v : x) v = 3 * v + (v > 0 ? 0.01 : -0.01);  // off relu's kink
    CheckVjp(
        "activate " + std::string(ActivationName(act)), {x}, size,
        [&](const Inputs& in, double* y) {
          Activate(act, in[0].data(), size, y);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          ActivateVjp(act, in[0].data(), dy, size, g[0].data());
        },
        random);
    CheckVjp(
        "glu " + std::string(ActivationName(act)), {x}, rows * width,
        [&](const Inputs& in, double* y) {
          Glu(in[0].data(), act, rows, width, y);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          GluVjp(in[0].data(), dy, act, rows, width, g[0].data());
        },
        random);
  }
}

TEST(Vjp, GluCutAndShifted) {
  Random random(12);
  const GluLimits limits{.limit = 0.4, .shift = 1};
  const int64_t rows = 5, width = 4;
  Vec x = random.Values<double>(rows * 2 * width);
  // Off the kinks.
  for (double& v : x)
    if (std::abs(std::abs(v) - 0.4) < 0.02) v = 0.3;
  CheckVjp(
      "glu cut", {x}, rows * width,
      [&](const Inputs& in, double* y) {
        Glu(in[0].data(), Activation::kQuickGelu, limits, rows, width, y);
      },
      [&](const Inputs& in, const double* dy, Inputs& g) {
        GluVjp(in[0].data(), dy, Activation::kQuickGelu, limits, rows, width,
               g[0].data());
      },
      random);
}

TEST(Vjp, Rope) {
  Random random(8);
  const int64_t tokens = 3, heads = 2, head_dim = 9, d = 6, start = 2;
  const Vec table = random.Values<double>(tokens * d);
  for (auto pairing : {RopePairing::kHalf, RopePairing::kInterleaved})
    CheckVjp(
        "rope", {random.Values<double>(tokens * heads * head_dim)},
        tokens * heads * head_dim,
        [&](const Inputs& in, double* y) {
          Rope(in[0].data(), table.data(), tokens, heads, head_dim, d, start,
               pairing, y);
        },
        [&](const Inputs&, const double* dy, Inputs& g) {
          RopeVjp(dy, table.data(), tokens, heads, head_dim, d, start, pairing,
                  g[0].data());
        },
        random);
}

TEST(Vjp, Attend) {
  Random random(9);
  const int32_t cu[] = {0, 4, 5, 11};
  for (bool latent : {false, true})
    for (int64_t window : {0, 3}) {
      const AttendShape shape{.tokens = 11,
                              .sequences = 3,
                              .heads = 4,
                              .kv_heads = 2,
                              .key_dims = 5,
                              .value_dims = 3,
                              .scale = 0.7,
                              .window = window};
      Inputs inputs = {random.Values<double>(11 * 4 * 5),
                       random.Values<double>(11 * 2 * 5)};
      if (!latent) inputs.push_back(random.Values<double>(11 * 2 * 3));
      CheckVjp(
          latent ? "attend latent" : "attend", inputs, 11 * 4 * 3,
          [&](const Inputs& in, double* y) {
            Attend(shape, in[0].data(), in[1].data(),
                   latent ? nullptr : in[2].data(), cu, y);
          },
          [&](const Inputs& in, const double* dy, Inputs& g) {
            AttendVjp(shape, in[0].data(), in[1].data(),
                      latent ? nullptr : in[2].data(), cu, dy, g[0].data(),
                      g[1].data(), latent ? nullptr : g[2].data());
          },
          random);
    }
}

TEST(Vjp, Embedding) {
  Random random(10);
  const int32_t ids[] = {2, 0, 2, 2};
  CheckVjp(
      "embedding", {random.Values<double>(4 * 3)}, 4 * 3,
      [&](const Inputs& in, double* y) {
        ASSERT_TRUE(Embedding(ids, in[0].data(), 4, 4, 3, y));
      },
      [&](const Inputs&, const double* dy, Inputs& g) {
        EmbeddingVjp(ids, dy, 4, 4, 3, g[0].data());
      },
      random);
}

TEST(Vjp, LastRows) {
  Random random(14);
  const int32_t cu[] = {0, 2, 2, 5};  // two sequences end at one row
  CheckVjp(
      "last_rows", {random.Values<double>(5 * 3)}, 3 * 3,
      [&](const Inputs& in, double* y) { LastRows(in[0].data(), cu, 3, 3, y); },
      [&](const Inputs&, const double* dy, Inputs& g) {
        LastRowsVjp(dy, cu, 5, 3, 3, g[0].data());
      },
      random);
}

TEST(Vjp, GroupMaskAndPick) {
  Random random(11);
  const int64_t tokens = 5, experts = 6, k = 2;
  const int32_t idx[] = {0, 5, 3, 6, 1, 2, 6, 6, 4, 0};
  CheckVjp(
      "pick", {random.Values<double>(tokens * experts)}, tokens * k,
      [&](const Inputs& in, double* y) {
        Pick(in[0].data(), idx, tokens, experts, k, y);
      },
      [&](const Inputs&, const double* dy, Inputs& g) {
        PickVjp(idx, dy, tokens, experts, k, g[0].data());
      },
      random);
  for (int64_t sum_top : {0, 2})
    CheckVjp(
        "group_mask", {random.Values<double>(tokens * experts)},
        tokens * experts,
        [&](const Inputs& in, double* y) {
          GroupMask(in[0].data(), tokens, experts, 3, 2, {sum_top}, 0.0, y);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          GroupMaskVjp(in[0].data(), dy, tokens, experts, 3, 2, {sum_top},
                       g[0].data());
        },
        random);
}

TEST(Vjp, DispatchAndCombine) {
  Random random(12);
  const int64_t tokens = 5, experts = 4, k = 2, d = 3;
  const int32_t idx[] = {0, 3, 3, 4, 3, 0, 4, 4, 3, 2};
  const Plan plan = MakePlan(idx, tokens, experts, k);
  CheckVjp(
      "dispatch", {random.Values<double>(tokens * d)}, plan.rows() * d,
      [&](const Inputs& in, double* y) { Dispatch(in[0].data(), plan, d, y); },
      [&](const Inputs&, const double* dy, Inputs& g) {
        DispatchVjp(dy, plan, d, g[0].data());
      },
      random);
  CheckVjp(
      "combine",
      {random.Values<double>(plan.rows() * d),
       random.Values<double>(tokens * k)},
      tokens * d,
      [&](const Inputs& in, double* y) {
        Combine(in[0].data(), plan, in[1].data(), d, y);
      },
      [&](const Inputs& in, const double* dy, Inputs& g) {
        CombineVjp(in[0].data(), plan, in[1].data(), dy, d, g[0].data(),
                   g[1].data());
      },
      random);
  CheckVjp(
      "weigh",
      {random.Values<double>(plan.rows() * d),
       random.Values<double>(tokens * k)},
      plan.rows() * d,
      [&](const Inputs& in, double* y) {
        Weigh(in[0].data(), plan, in[1].data(), d, y);
      },
      [&](const Inputs& in, const double* dy, Inputs& g) {
        WeighVjp(in[0].data(), plan, in[1].data(), dy, d, g[0].data(),
                 g[1].data());
      },
      random);
}

TEST(Vjp, CrossEntropy) {
  Random random(13);
  const int64_t rows = 4, vocab = 6;
  const int32_t targets[] = {3, -1, 0, 5};
  CheckVjp(
      "cross_entropy", {random.Values<double>(rows * vocab)}, 1,
      [&](const Inputs& in, double* y) {
        *y = CrossEntropy<double>(in[0].data(), targets, rows, vocab, nullptr);
      },
      [&](const Inputs& in, const double* dy, Inputs& g) {
        CrossEntropy(in[0].data(), targets, rows, vocab, g[0].data());
        for (double& x : g[0]) x *= *dy;
      },
      random);
  const int32_t none[] = {-1, -1};
  const float z[] = {1, 2};
  float dz[] = {7, 7};
  EXPECT_EQ(CrossEntropy(z, none, 2, 1, dz), 0);
  EXPECT_EQ(dz[0], 0);
}

}  // namespace
}  // namespace moe::reference
