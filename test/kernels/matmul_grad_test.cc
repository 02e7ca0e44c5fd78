// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Gradients of products, to the bit: an output is one chain over ascending
// terms, whatever the rows, blocks or dtypes.
#include <gtest/gtest.h>

#include "lib/reference/rounding.h"
#include "lib/reference/training.h"
#include "lib/reference/vjp.h"
#include "test/kernels/compare.h"
#include "test/kernels/plans.h"

namespace moe::kernels {
namespace {

// The dtypes of rows and weights.
struct Types {
  DType x, w;
  std::string Name() const { return kernels::Name(x) + "_" + kernels::Name(w); }
};
const Types kTypes[] = {{DType::kF32, DType::kF32},
                        {DType::kF32, DType::kF16},
                        {DType::kBF16, DType::kF32},
                        {DType::kBF16, DType::kBF16}};

// Sizes around vectors of 16, panels of 32, blocks of 128 terms, of 96 and 192
// rows and of 6 and 12 panels.
const std::pair<int64_t, int64_t> kSizes[] = {
    {1, 1}, {5, 33}, {33, 16}, {12, 100}, {130, 200}, {256, 32}, {200, 400}};
constexpr int64_t kRows[] = {0, 1, 5, 13, 129, 300};

void ExpectGradient(const std::string& what, const Array& got,
                    std::vector<float> want) {
  reference::RoundAll(want.data(), want.size(),
                      got.dtype == DType::kBF16 ? reference::Rounding::kBf16
                                                : reference::Rounding::kNone);
  ExpectSame(what, got, want);
}

TEST(MatmulGrad, Linear) {
  for (const Types& types : kTypes) {
    std::string text;
    for (auto [n, k] : kSizes) {
      const std::string dy = Tensor({-1, n}, types.x),
                        w = Tensor({n, k}, types.w),
                        x = Tensor({-1, k}, types.x),
                        dw = Tensor({n, k}, DType::kF32);
      text += EntryOf("linear" + Str(n) + "_" + Str(k),
                      "%dy: " + dy + ", %w: " + w + ", %x: " + x,
                      "(" + x + ", " + dw + ")", "%dx, %dw",
                      "%dx = nn.linear_dx %dy, %w : " + dy + ", " + w +
                          "\n%dw = nn.linear_dw %dy, %x : " + dy + ", " + x);
    }
    const Program program(text);
    Random random(1);
    for (auto [n, k] : kSizes)
      for (int64_t rows : kRows) {
        const Array dy = RandomArray(random, types.x, rows * n),
                    w = RandomArray(random, types.w, n * k),
                    x = RandomArray(random, types.x, rows * k);
        Array dx(types.x, rows * k), dw(DType::kF32, n * k);
        const std::string what = "linear" + Str(n) + "_" + Str(k);
        program.Run(what, {.tokens = rows}, {&dy, &w, &x}, {&dx, &dw});
        std::vector<float> want(rows * k), want_w(n * k);
        reference::LinearVjpX(dy.Floats().data(), w.Floats().data(), rows, n, k,
                              want.data());
        reference::LinearVjpW(dy.Floats().data(), x.Floats().data(), rows, n, k,
                              want_w.data());
        const std::string about =
            types.Name() + " " + what + " rows " + Str(rows);
        ExpectGradient(about + " dx", dx, want);
        ExpectGradient(about + " dw", dw, want_w);
      }
  }
}

TEST(MatmulGrad, HeadLinear) {
  const std::pair<int64_t, int64_t> sizes[] = {{5, 33}, {130, 40}, {32, 16}};
  for (const Types& types : kTypes) {
    std::string text;
    for (auto [n, k] : sizes) {
      const std::string dy = Tensor({-1, 3, n}, types.x),
                        w = Tensor({3, n, k}, types.w),
                        x = Tensor({-1, 3, k}, types.x),
                        dw = Tensor({3, n, k}, DType::kF32);
      text +=
          EntryOf("heads" + Str(n) + "_" + Str(k),
                  "%dy: " + dy + ", %w: " + w + ", %x: " + x,
                  "(" + x + ", " + dw + ")", "%dx, %dw",
                  "%dx = nn.head_linear_dx %dy, %w : " + dy + ", " + w +
                      "\n%dw = nn.head_linear_dw %dy, %x : " + dy + ", " + x);
    }
    const Program program(text);
    Random random(2);
    for (auto [n, k] : sizes)
      for (int64_t rows : kRows) {
        const Array dy = RandomArray(random, types.x, rows * 3 * n),
                    w = RandomArray(random, types.w, 3 * n * k),
                    x = RandomArray(random, types.x, rows * 3 * k);
        Array dx(types.x, rows * 3 * k), dw(DType::kF32, 3 * n * k);
        const std::string what = "heads" + Str(n) + "_" + Str(k);
        program.Run(what, {.tokens = rows}, {&dy, &w, &x}, {&dx, &dw});
        std::vector<float> want(rows * 3 * k), want_w(3 * n * k);
        reference::HeadLinearVjpX(dy.Floats().data(), w.Floats().data(), rows,
                                  3, n, k, want.data());
        reference::HeadLinearVjpW(dy.Floats().data(), x.Floats().data(), rows,
                                  3, n, k, want_w.data());
        const std::string about =
            types.Name() + " " + what + " rows " + Str(rows);
        ExpectGradient(about + " dx", dx, want);
        ExpectGradient(about + " dw", dw, want_w);
      }
  }
}

struct Experts {
  int64_t experts, top_k, n, k;
  std::string Name() const {
    return Str(experts) + "_" + Str(top_k) + "_" + Str(n) + "_" + Str(k);
  }
};
const Experts kExperts[] = {{1, 1, 33, 31},
                            {8, 2, 64, 32},
                            {17, 3, 16, 65},
                            {4, 2, 200, 230},
                            {64, 6, 5, 3}};

// An expert of the reference's plan, row by row.
std::vector<float> RowsOf(const std::vector<float>& tokens,
                          const std::vector<int32_t>& source, int64_t width) {
  std::vector<float> rows;
  for (int32_t token : source)
    rows.insert(rows.end(), tokens.begin() + token * width,
                tokens.begin() + (token + 1) * width);
  return rows;
}

// Rows of dy are those of tokens; dx of all rows, dw of rows and of gathered
// tokens, sums.
std::string GroupedEntry(const Types& types, const Experts& e) {
  const std::string dy = Tensor({-1, e.n}, types.x),
                    x = Tensor({-1, e.k}, types.x),
                    w = Tensor({e.experts, e.n, e.k}, types.w),
                    dw = Tensor({e.experts, e.n, e.k}, DType::kF32),
                    sum = Tensor({e.experts, e.n}, DType::kF32),
                    idx = Tensor({-1, e.top_k}, DType::kI32),
                    plan = "!moe.plan<" + Str(e.experts) + ", " + Str(e.top_k) +
                           ">";
  return EntryOf(
      "grouped" + e.Name(),
      "%y: " + dy + ", %i: " + idx + ", %w: " + w + ", %x: " + x,
      "(" + x + ", " + dw + ", " + dw + ", " + sum + ")",
      "%dx, %dw, %gathered, %sum",
      "%p = moe.make_plan %i experts(" + Str(e.experts) + ") : " + idx +
          "\n%dy = moe.dispatch %y, %p : " + dy + ", " + plan +
          "\n%r = moe.dispatch %x, %p : " + x + ", " + plan +
          "\n%dx = moe.grouped_matmul_dx %dy, %p, %w : " + dy + ", " + plan +
          ", " + w + "\n%dw = moe.grouped_matmul_dw %dy, %p, %r : " + dy +
          ", " + plan + ", " + x +
          "\n%gathered = moe.grouped_matmul_dw gather %dy, %p, %x : " + dy +
          ", " + plan + ", " + x + "\n%sum = moe.grouped_sum %dy, %p : " + dy +
          ", " + plan);
}

TEST(MatmulGrad, Grouped) {
  for (const Types& types : kTypes) {
    std::string text;
    for (const Experts& e : kExperts) text += GroupedEntry(types, e);
    const Program program(text);
    Random random(3);
    for (const Experts& e : kExperts)
      for (const std::string& kind : kKinds)
        for (int64_t tokens : {0, 1, 7, 210}) {
          const std::vector<int32_t> idx =
              Choices(random, tokens, e.experts, e.top_k, kind);
          const Array y = RandomArray(random, types.x, tokens * e.n), i(idx),
                      w = RandomArray(random, types.w, e.experts * e.n * e.k),
                      x = RandomArray(random, types.x, tokens * e.k);
          Array dx(types.x, tokens * e.top_k * e.k), dw(DType::kF32, w.size()),
              gathered = dw, sum(DType::kF32, e.experts * e.n);
          program.Run("grouped" + e.Name(), {.tokens = tokens},
                      {&y, &i, &w, &x}, {&dx, &dw, &gathered, &sum});
          const auto plan =
              reference::MakePlan(idx.data(), tokens, e.experts, e.top_k);
          std::vector<int32_t> source(plan.rows());
          reference::PlanTokens(plan, source.data());
          const std::vector<float> dy = RowsOf(y.Floats(), source, e.n);
          const std::string what = types.Name() + " " + e.Name() + " " + kind +
                                   " tokens " + Str(tokens);
          std::vector<float> want(plan.rows() * e.k);
          reference::GroupedMatmulVjpX(dy.data(), plan.offsets.data(),
                                       w.Floats().data(), e.experts, e.n, e.k,
                                       want.data());
          ExpectGradient(what + " dx", dx, want);
          want.resize(w.size());
          reference::GroupedMatmulVjpW(dy.data(), x.Floats().data(),
                                       source.data(), plan.offsets.data(),
                                       e.experts, e.n, e.k, want.data());
          ExpectGradient(what + " dw", dw, want);
          ExpectGradient(what + " dw gathered", gathered, want);
          want.resize(sum.size());
          reference::GroupedMatmulVjpBias(dy.data(), plan.offsets.data(),
                                          e.experts, e.n, want.data());
          ExpectGradient(what + " sum", sum, want);
        }
  }
}

// Chunks of 48 tokens and more; tokens without a target.
TEST(MatmulGrad, HeadLoss) {
  struct Head {
    int64_t vocab, k;
    double scale;
  };
  const Head heads[] = {{1, 1, 1}, {65, 33, 1}, {17, 5, 0.25}, {400, 130, 2}};
  for (const Types& types : kTypes) {
    std::string text;
    for (auto [vocab, k, scale] : heads) {
      const std::string x = Tensor({-1, k}, types.x),
                        w = Tensor({vocab, k}, types.w),
                        dw = Tensor({vocab, k}, DType::kF32);
      text += EntryOf(
          "head" + Str(vocab),
          "%x: " + x + ", %w: " + w + ", %t: tensor<?xi32>, %dy: tensor<?xf32>",
          "(tensor<?xf32>, " + x + ", " + dw + ")", "%y, %dx, %dw",
          "%y, %dx, %dw = nn.head_loss %x, %w, %t dy(%dy : tensor<?xf32>) "
          "scale(" +
              std::to_string(scale) + ") : " + x + ", " + w +
              ", tensor<?xi32>");
      text += EntryOf("alone" + Str(vocab),
                      "%x: " + x + ", %w: " + w + ", %t: tensor<?xi32>",
                      "tensor<?xf32>", "%y",
                      "%y = nn.head_loss %x, %w, %t scale(" +
                          std::to_string(scale) + ") : " + x + ", " + w +
                          ", tensor<?xi32>");
    }
    const Program program(text);
    Random random(4);
    for (auto [vocab, k, scale] : heads)
      for (int64_t tokens : {0, 1, 37, 200, 450}) {
        const Array x = RandomArray(random, types.x, tokens * k, 2),
                    w = RandomArray(random, types.w, vocab * k, 2),
                    dy = RandomArray(random, DType::kF32, tokens);
        std::vector<int32_t> targets(tokens);
        for (int32_t& t : targets)
          t = random.Int(0, 3) ? random.Int(0, vocab - 1) : -1;
        const Array t(targets);
        Array y(DType::kF32, tokens), dx(types.x, x.size()),
            dw(DType::kF32, w.size());
        program.Run("head" + Str(vocab), {.tokens = tokens}, {&x, &w, &t, &dy},
                    {&y, &dx, &dw});
        std::vector<float> want(tokens), want_x(x.size()), want_w(w.size());
        reference::HeadLoss<float>(x.Floats().data(), w.Floats().data(),
                                   targets.data(), dy.Floats().data(), tokens,
                                   k, vocab, scale, want.data(), want_x.data(),
                                   want_w.data());
        const std::string what =
            types.Name() + " head" + Str(vocab) + " tokens " + Str(tokens);
        ExpectClose(what + " loss", y, want, vocab);
        ExpectClose(what + " dx", dx, want_x, vocab);
        ExpectClose(what + " dw", dw, want_w, tokens);
        Array alone(DType::kF32, tokens);
        program.Run("alone" + Str(vocab), {.tokens = tokens}, {&x, &w, &t},
                    {&alone});
        EXPECT_EQ(alone.Floats(), y.Floats()) << what;
        for (int64_t i = 0; i < tokens; ++i)
          if (targets[i] < 0) {
            EXPECT_EQ(y.Floats()[i], 0) << what;
          }
      }
  }
}

}  // namespace
}  // namespace moe::kernels
