// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Gradients of operations that move rows. Sums have one order: equal bits.

#include <gtest/gtest.h>

#include "lib/reference/rounding.h"
#include "lib/reference/vjp.h"
#include "test/kernels/plans.h"

namespace moe::kernels {
namespace {

void ExpectRounded(const std::string& what, const Array& got,
                   std::vector<float> want) {
  if (got.dtype == DType::kBF16)
    reference::RoundAll(want.data(), static_cast<int64_t>(want.size()),
                        reference::Rounding::kBf16);
  ExpectSame(what, got, want);
}

// A table that many tokens share, and one that most tokens leave alone.
TEST(MoveGrad, Embedding) {
  std::string text;
  auto name = [](DType dtype, int64_t vocab, int64_t width) {
    return "f" + Name(dtype) + Str(vocab) + "_" + Str(width);
  };
  const int64_t widths[] = {1, 5, 16, 17, 33, 64, 96, 100};
  for (DType dtype : kComputeTypes)
    for (int64_t vocab : {3, 200})
      for (int64_t width : widths) {
        const std::string dy = Tensor({-1, width}, dtype);
        const std::string table = Tensor({vocab, width}, DType::kF32);
        text += Entry(name(dtype, vocab, width),
                      "%i: tensor<?xi32>, %dy: " + dy, table,
                      "%y = nn.embedding_grad %i, %dy : tensor<?xi32>, " + dy +
                          " -> " + table);
      }
  const Program program(text);
  Random random(1);
  for (DType dtype : kComputeTypes)
    for (int64_t vocab : {3, 200})
      for (int64_t width : widths)
        for (int64_t tokens : kTokens) {
          std::vector<int32_t> ids(tokens);
          for (int32_t& id : ids)
            id = static_cast<int32_t>(random.Int(0, vocab - 1));
          const Array i(ids), dy = RandomArray(random, dtype, tokens * width);
          Array table(DType::kF32, vocab * width);
          program.Run(name(dtype, vocab, width), {.tokens = tokens}, {&i, &dy},
                      {&table});
          std::vector<float> want(table.size());
          reference::EmbeddingVjp(ids.data(), dy.Floats().data(), tokens, vocab,
                                  width, want.data());
          ExpectSame(name(dtype, vocab, width), table, want);
        }
}

// Sequences of no token share a last row with the one before.
TEST(MoveGrad, LastRows) {
  const std::vector<int32_t> cases[] = {
      {0, 1},    {0, 37},           {0, 1, 8, 10, 37}, {0, 5, 5, 5, 9, 9},
      {0, 2, 2}, {0, 1, 2, 3, 3, 4}};
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (int64_t width : kWidths) {
      const std::string x = Tensor({-1, width}, dtype);
      text += Entry("last" + Str(width),
                    "%l: " + x + ", %dy: " + x +
                        " {nn.rows = \"sequences\"}, %s: tensor<?xi32> "
                        "{nn.name = \"cu_seqlens\"}",
                    x,
                    "%y = nn.last_rows_grad %dy, %s like %l : " + x +
                        ", tensor<?xi32>, " + x + " -> " + x);
    }
    const Program program(text);
    Random random(2);
    for (int64_t width : kWidths)
      for (const std::vector<int32_t>& ends : cases) {
        const int64_t sequences = static_cast<int64_t>(ends.size()) - 1;
        // Tokens of no sequence get 0.
        const int64_t tokens = ends.back() + 3;
        const Array like(dtype, tokens * width), s(ends);
        const Array dy = RandomArray(random, dtype, sequences * width);
        Array dx(dtype, tokens * width);
        program.Run("last" + Str(width),
                    {.tokens = tokens, .sequences = sequences},
                    {&like, &dy, &s}, {&dx});
        std::vector<float> want(tokens * width);
        reference::LastRowsVjp(dy.Floats().data(), ends.data(), tokens,
                               sequences, width, want.data());
        ExpectRounded("last" + Str(width), dx, want);
      }
  }
}

// A rank that has no tokens has a sequence of none; nothing lies in front of a
// first sequence of none.
TEST(MoveGrad, LastRowsOfNothing) {
  const std::string x = Tensor({-1, 17}, DType::kF32);
  const Program program(
      Entry("last",
            "%l: " + x + ", %dy: " + x +
                " {nn.rows = \"sequences\"}, %s: tensor<?xi32> {nn.name = "
                "\"cu_seqlens\"}",
            x,
            "%y = nn.last_rows_grad %dy, %s like %l : " + x +
                ", tensor<?xi32>, " + x + " -> " + x));
  Random random(6);
  for (int64_t tokens : {0, 3}) {
    const Array like(DType::kF32, tokens * 17);
    const Array dy = RandomArray(random, DType::kF32, 2 * 17);
    const Array ends(std::vector<int32_t>{0, 0, static_cast<int32_t>(tokens)});
    Array dx(DType::kF32, tokens * 17);
    program.Run("last", {.tokens = tokens, .sequences = 2}, {&like, &dy, &ends},
                {&dx});
    std::vector<float> want(tokens * 17), rows = dy.Floats();
    if (tokens) std::copy(rows.begin() + 17, rows.end(), want.begin() + 2 * 17);
    ExpectSame("last", dx, want);
  }
}

TEST(MoveGrad, JoinLayers) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kI32}) {
    std::string text;
    for (int64_t width : kWidths) {
      const std::string a = Tensor({2, 3, width}, dtype);
      const std::string b = Tensor({1, 3, width}, dtype);
      text +=
          Entry("join" + Str(width), "%a: " + a + ", %b: " + b,
                Tensor({5, 3, width}, dtype),
                "%y = nn.join_layers %a, %b, %a : " + a + ", " + b + ", " + a);
    }
    const Program program(text);
    Random random(3);
    for (int64_t width : kWidths) {
      auto drawn = [&](int64_t n) {
        if (dtype != DType::kI32) return RandomArray(random, dtype, n);
        std::vector<int32_t> ints(n);
        for (int32_t& i : ints) i = static_cast<int32_t>(random.Int(-9, 99));
        return Array(ints);
      };
      const Array a = drawn(6 * width), b = drawn(3 * width);
      Array y(dtype, 15 * width);
      program.Run("join" + Str(width), {}, {&a, &b}, {&y});
      std::vector<uint8_t> want = a.bytes;
      want.insert(want.end(), b.bytes.begin(), b.bytes.end());
      want.insert(want.end(), a.bytes.begin(), a.bytes.end());
      EXPECT_EQ(y.bytes, want) << width;
    }
  }
}

// Both gradients that go along a plan.
std::string PlanEntry(int64_t experts, int64_t k, int64_t width, DType dtype) {
  const std::string plan = "!moe.plan<" + Str(experts) + ", " + Str(k) + ">";
  const std::string x = Tensor({-1, width}, dtype);
  const std::string idx = Tensor({-1, k}, DType::kI32);
  const std::string w = Tensor({-1, k}, DType::kF32);
  return EntryOf("plan" + Str(experts) + "_" + Str(width),
                 "%i: " + idx + ", %w: " + w + ", %r: " + x + ", %dy: " + x,
                 "(" + x + ", " + x + ", " + w + ")", "%dx, %dr, %dw",
                 "%p = moe.make_plan %i experts(" + Str(experts) +
                     ") : " + idx + "\n%dx = moe.dispatch_grad %r, %p : " + x +
                     ", " + plan + " -> " + x +
                     "\n%dr, %dw = moe.combine_grad %r, %p, %w, %dy : " + x +
                     ", " + plan + ", " + w + ", " + x);
}

TEST(MoveGrad, DispatchAndCombine) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (auto [experts, k] : kPlans)
      for (int64_t width : kWidths) text += PlanEntry(experts, k, width, dtype);
    const Program program(text);
    Random random(4);
    for (auto [experts, k] : kPlans)
      for (int64_t width : kWidths)
        for (const std::string& kind : kKinds)
          for (int64_t tokens : {0, 1, 50}) {
            const std::vector<int32_t> idx =
                Choices(random, tokens, experts, k, kind);
            const auto plan =
                reference::MakePlan(idx.data(), tokens, experts, k);
            const Array i(idx);
            const Array w = RandomArray(random, DType::kF32, tokens * k);
            const Array rows = RandomArray(random, dtype, plan.rows() * width);
            const Array dy = RandomArray(random, dtype, tokens * width);
            Array dx(dtype, tokens * width), drows(dtype, rows.size()),
                dw(DType::kF32, tokens * k);
            program.Run("plan" + Str(experts) + "_" + Str(width),
                        {.tokens = tokens}, {&i, &w, &rows, &dy},
                        {&dx, &drows, &dw});
            std::vector<float> want_x(dx.size()), want_rows(rows.size()),
                want_w(dw.size());
            reference::DispatchVjp(rows.Floats().data(), plan, width,
                                   want_x.data());
            reference::CombineVjp(rows.Floats().data(), plan, w.Floats().data(),
                                  dy.Floats().data(), width, want_rows.data(),
                                  want_w.data());
            const std::string what =
                Str(experts) + "_" + Str(width) + " " + kind;
            ExpectRounded(what + " dx", dx, want_x);
            ExpectRounded(what + " drows", drows, want_rows);
            ExpectSame(what + " dw", dw, want_w);
          }
  }
}

// Rows of a plan by the weights of their choices, and the gradients.
std::string WeighEntry(int64_t experts, int64_t k, int64_t width, DType dtype) {
  const std::string plan = "!moe.plan<" + Str(experts) + ", " + Str(k) + ">";
  const std::string x = Tensor({-1, width}, dtype);
  const std::string idx = Tensor({-1, k}, DType::kI32);
  const std::string w = Tensor({-1, k}, DType::kF32);
  return EntryOf("weigh" + Str(experts) + "_" + Str(width),
                 "%i: " + idx + ", %w: " + w + ", %r: " + x + ", %dy: " + x,
                 "(" + x + ", " + x + ", " + w + ")", "%y, %dr, %dw",
                 "%p = moe.make_plan %i experts(" + Str(experts) +
                     ") : " + idx + "\n%r0 = moe.dispatch %r, %p : " + x +
                     ", " + plan + "\n%dy0 = moe.dispatch %dy, %p : " + x +
                     ", " + plan + "\n%y = moe.weigh %r0, %p, %w : " + x +
                     ", " + plan + ", " + w +
                     "\n%dr, %dw = moe.weigh_grad %r0, %p, %w, %dy0 : " + x +
                     ", " + plan + ", " + w + ", " + x);
}

TEST(MoveGrad, Weigh) {
  for (DType dtype : kComputeTypes) {
    std::string text;
    for (auto [experts, k] : kPlans)
      for (int64_t width : kWidths)
        text += WeighEntry(experts, k, width, dtype);
    const Program program(text);
    Random random(4);
    for (auto [experts, k] : kPlans)
      for (int64_t width : kWidths)
        for (const std::string& kind : kKinds)
          for (int64_t tokens : {0, 1, 50}) {
            const std::vector<int32_t> idx =
                Choices(random, tokens, experts, k, kind);
            const auto plan =
                reference::MakePlan(idx.data(), tokens, experts, k);
            const Array i(idx);
            const Array w = RandomArray(random, DType::kF32, tokens * k);
            const Array x = RandomArray(random, dtype, tokens * width);
            const Array dx = RandomArray(random, dtype, tokens * width);
            const int64_t size = plan.rows() * width;
            Array y(dtype, size), drows(dtype, size), dw(DType::kF32, w.size());
            program.Run("weigh" + Str(experts) + "_" + Str(width),
                        {.tokens = tokens}, {&i, &w, &x, &dx},
                        {&y, &drows, &dw});
            std::vector<float> rows(size), dy(size), want(size),
                want_rows(size), want_w(dw.size());
            reference::Dispatch(x.Floats().data(), plan, width, rows.data());
            reference::Dispatch(dx.Floats().data(), plan, width, dy.data());
            reference::Weigh(rows.data(), plan, w.Floats().data(), width,
                             want.data());
            reference::WeighVjp(rows.data(), plan, w.Floats().data(), dy.data(),
                                width, want_rows.data(), want_w.data());
            const std::string what =
                Str(experts) + "_" + Str(width) + " " + kind;
            ExpectRounded(what + " y", y, want);
            ExpectRounded(what + " drows", drows, want_rows);
            ExpectSame(what + " dw", dw, want_w);
          }
  }
}

struct Groups {
  int64_t experts, groups, keep, top;  // top 0: max
};

TEST(MoveGrad, GroupMask) {
  const Groups cases[] = {{5, 1, 1, 0},  {16, 4, 2, 0},  {16, 4, 2, 2},
                          {64, 8, 3, 0}, {256, 8, 4, 2}, {34, 17, 5, 2}};
  std::string text;
  for (const Groups& c : cases) {
    const std::string s = Tensor({-1, c.experts}, DType::kF32);
    text += Entry("mask" + Str(&c - cases), "%s: " + s + ", %dy: " + s, s,
                  "%y = moe.group_mask_grad %s, %dy groups(" + Str(c.groups) +
                      ") keep(" + Str(c.keep) + ") score(" +
                      (c.top ? "sum_top" : "max") + ") " +
                      (c.top ? "{top = " + Str(c.top) + " : i64} " : "") +
                      ": " + s + ", " + s);
  }
  const Program program(text);
  Random random(5);
  for (const Groups& c : cases)
    for (int64_t tokens : {0, 1, 2, 300}) {
      const std::vector<float> scores = Scores(random, tokens * c.experts);
      const Array s(DType::kF32, scores);
      const Array dy = RandomArray(random, DType::kF32, s.size());
      Array ds(DType::kF32, s.size());
      program.Run("mask" + Str(&c - cases), {.tokens = tokens}, {&s, &dy},
                  {&ds});
      std::vector<float> want(s.size());
      reference::GroupMaskVjp(scores.data(), dy.Floats().data(), tokens,
                              c.experts, c.groups, c.keep, {.sum_top = c.top},
                              want.data());
      ExpectSame("mask" + Str(&c - cases), ds, want);
    }
}

}  // namespace
}  // namespace moe::kernels
