// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/training.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lib/reference/matmul.h"
#include "lib/reference/vjp.h"
#include "test/reference/finite_difference.h"

namespace moe::reference {
namespace {

// Two rows have no target; one has a logit that leaves nothing to the others.
TEST(Training, CrossEntropyByDifferences) {
  Random random(1);
  const int64_t rows = 6;
  for (int64_t vocab : {1, 7, 40}) {
    std::vector<int32_t> targets(rows);
    for (int32_t& t : targets)
      t = static_cast<int32_t>(random.Int(0, vocab - 1));
    targets[1] = -1;
    targets[4] = -100;
    Vec logits = random.Values<double>(rows * vocab);
    for (double& x : logits) x *= 4;
    logits[2 * vocab] = 50;
    CheckVjp(
        "cross_entropy of " + std::to_string(vocab), {logits}, rows,
        [&](const Inputs& in, double* y) {
          CrossEntropyRows(in[0].data(), targets.data(), rows, vocab, y);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          CrossEntropyRowsVjp(in[0].data(), targets.data(), dy, rows, vocab,
                              g[0].data());
        },
        random);
  }
}

TEST(Training, CrossEntropyByHand) {
  // log(1 + 3) of weights 1 : 3, and a row of which no target is asked.
  const double x[] = {0, std::log(3.0), 5, 5, 1000, 0};
  const int32_t targets[] = {0, -1, 0};
  double y[3], dx[6];
  const double dy[] = {2, 7, 1};
  CrossEntropyRows(x, targets, 3, 2, y);
  EXPECT_NEAR(y[0], std::log(4.0), 1e-15);
  EXPECT_EQ(y[1], 0);
  EXPECT_EQ(y[2], 0);
  CrossEntropyRowsVjp(x, targets, dy, 3, 2, dx);
  EXPECT_NEAR(dx[0], 2 * (0.25 - 1), 1e-15);
  EXPECT_NEAR(dx[1], 2 * 0.75, 1e-15);
  EXPECT_EQ(dx[2], 0);
  EXPECT_EQ(dx[3], 0);
}

struct Head {
  int64_t tokens, k, vocab;
  double scale;
};

template <typename T>
void CheckHeadLoss(const Head& h, Random& random) {
  const std::vector<T> x = random.Values<T>(h.tokens * h.k),
                       w = random.Values<T>(h.vocab * h.k),
                       dy = random.Values<T>(h.tokens);
  const T scale = static_cast<T>(h.scale);
  std::vector<int32_t> targets(h.tokens);
  for (int32_t& t : targets)
    t = static_cast<int32_t>(random.Int(-1, h.vocab - 1));
  std::vector<T> y(h.tokens), dx(x.size()), dw(w.size());
  HeadLoss(x.data(), w.data(), targets.data(), dy.data(), h.tokens, h.k,
           h.vocab, scale, y.data(), dx.data(), dw.data());
  // The same of the functions that it is made of: equal bits.
  std::vector<T> logits(h.tokens * h.vocab), dlogits(logits.size()),
      want_y(y.size()), want_dx(dx.size()), want_dw(dw.size());
  Linear<T>(x.data(), w.data(), nullptr, h.tokens, h.vocab, h.k,
            Accumulation::kChain, logits.data());
  for (T& z : logits) z *= scale;
  CrossEntropyRows(logits.data(), targets.data(), h.tokens, h.vocab,
                   want_y.data());
  CrossEntropyRowsVjp(logits.data(), targets.data(), dy.data(), h.tokens,
                      h.vocab, dlogits.data());
  for (T& z : dlogits) z *= scale;
  LinearVjpX(dlogits.data(), w.data(), h.tokens, h.vocab, h.k, want_dx.data());
  LinearVjpW(dlogits.data(), x.data(), h.tokens, h.vocab, h.k, want_dw.data());
  EXPECT_EQ(y, want_y);
  EXPECT_EQ(dx, want_dx);
  EXPECT_EQ(dw, want_dw);
}

const Head kHeads[] = {{1, 1, 1, 1}, {5, 3, 7, 1}, {9, 17, 33, 0.125}};

TEST(Training, HeadLossIsItsComposition) {
  Random random(2);
  for (const Head& h : kHeads) {
    CheckHeadLoss<float>(h, random);
    CheckHeadLoss<double>(h, random);
  }
}

TEST(Training, HeadLossByDifferences) {
  Random random(3);
  for (const Head& h : kHeads) {
    std::vector<int32_t> targets(h.tokens);
    for (int64_t t = 0; t < h.tokens; ++t)
      targets[t] = static_cast<int32_t>(t % 4 == 3 ? -1 : t * 5 % h.vocab);
    const auto run = [&](const Inputs& in, const double* dy, double* y,
                         double* dx, double* dw) {
      Vec own_y(h.tokens), own_dx(h.tokens * h.k), own_dw(h.vocab * h.k);
      const Vec ones(h.tokens, 1);
      HeadLoss(in[0].data(), in[1].data(), targets.data(),
               dy != nullptr ? dy : ones.data(), h.tokens, h.k, h.vocab,
               h.scale, y != nullptr ? y : own_y.data(),
               dx != nullptr ? dx : own_dx.data(),
               dw != nullptr ? dw : own_dw.data());
    };
    CheckVjp(
        "head_loss of " + std::to_string(h.vocab),
        {random.Values<double>(h.tokens * h.k),
         random.Values<double>(h.vocab * h.k)},
        h.tokens,
        [&](const Inputs& in, double* y) {
          run(in, nullptr, y, nullptr, nullptr);
        },
        [&](const Inputs& in, const double* dy, Inputs& g) {
          run(in, dy, nullptr, g[0].data(), g[1].data());
        },
        random);
  }
}

TEST(Training, SumOfSquares) {
  Random random(4);
  for (int64_t n : {0, 1, 15, 4096, 4097, 10000}) {
    const std::vector<double> x = random.Values<double>(n);
    double want = 0.5;
    for (double v : x) want += v * v;
    EXPECT_NEAR(SumSquares(x.data(), n, 0.5), want, 1e-12 * want) << n;
  }
  // Blocks are added in order, none is mixed with the next: 2^24 swallows a
  // single 1 but not the 4096 of a block.
  std::vector<float> x(3 * kSumBlock, 0.0f);
  x[0] = 4096.0f;
  std::fill_n(x.begin() + kSumBlock, kSumBlock, 1.0f);
  x[2 * kSumBlock] = 1.0f;
  EXPECT_EQ(SumSquares<float>(x.data(), 3 * kSumBlock, 0), 0x1p24f + 4096);
  // Within a block, 16 lanes: 15 of them are not swallowed.
  std::vector<float> y(16, 1.0f);
  y[0] = 4096.0f;
  EXPECT_EQ(SumSquares<float>(y.data(), 16, 0), 0x1p24f + 14);
}

// The final w, m and v of torch 2.15, in double:
//   opt = torch.optim.AdamW([w], lr=1, betas=(0.9, 0.95), eps=1e-8,
//                           weight_decay=decay)
//   for t in range(1, 21):
//     opt.param_groups[0]["lr"] = 0.02 * (1 - t / 40)
//     w.grad = 0.5 * a * (w.detach() - b); opt.step()
// and m = opt.state[w]["exp_avg"], v = opt.state[w]["exp_avg_sq"].
struct Steps {
  double decay;
  std::vector<double> w, m, v;
};
const Steps kTorch[] = {{0.1,
                         {0.5773352850155468, -1.260635226400247,
                          2.2337968870596288, 0.2811431814711211},
                         {-0.11105905732635138, 1.5972378445651854,
                          -0.18254433246791774, -0.017483850148936973},
                         {0.011391178306165954, 2.1720845847637813,
                          0.02714164885200561, 0.0002544309196201634}},
                        {0.0,
                         {0.5898177626243031, -1.293638125974402,
                          2.2963095313933835, 0.28494050411843336},
                         {-0.10927362278071154, 1.5775960273352923,
                          -0.18724331869332608, -0.01748297771522263},
                         {0.01111515183929149, 2.1266863329345638,
                          0.028430605441127865, 0.00025440989838956953}}};

template <typename T>
void CheckAdamw(const Steps& want, double tolerance) {
  const double a[] = {0.5, 2.0, -0.25, 1e-3}, b[] = {1.0, -3.0, 0.5, 40.0};
  std::vector<T> w = {T(0.3), T(-1.0), T(2.0), T(-0.01)}, m(4), v(4), grad(4);
  for (int t = 1; t <= 20; ++t) {
    for (int i = 0; i < 4; ++i) grad[i] = T(a[i]) * (w[i] - T(b[i]));
    const AdamwStep<T> step{
        .lr = T(0.02 * (1 - t / 40.0)),
        .beta1 = T(0.9),
        .beta2 = T(0.95),
        .eps = T(1e-8),
        .decay = T(want.decay),
        .correction1 = T(1 - std::pow(0.9, t)),
        .correction2 = T(1 - std::pow(0.95, t)),
        .scale = T(0.5),
    };
    // In the place of the operands.
    Adamw(step, 4, w.data(), grad.data(), m.data(), v.data(), w.data(),
          m.data(), v.data());
  }
  const std::string what = std::string(sizeof(T) == 8 ? "double" : "float") +
                           ", decay " + std::to_string(want.decay);
  const std::pair<const char*,
                  std::pair<const std::vector<T>*, const std::vector<double>*>>
      results[] = {
          {"w", {&w, &want.w}}, {"m", {&m, &want.m}}, {"v", {&v, &want.v}}};
  for (const auto& [name, pair] : results) {
    Comparison c =
        CompareRelative(pair.first->data(), pair.second->data(), 4, tolerance);
    Report("adamw " + what + ", " + name, c);
  }
}

TEST(Training, AdamwTakesTheStepsOfTorch) {
  for (const Steps& want : kTorch) {
    CheckAdamw<double>(want, 1e-14);
    CheckAdamw<float>(want, 1e-6);
  }
}

}  // namespace
}  // namespace moe::reference
