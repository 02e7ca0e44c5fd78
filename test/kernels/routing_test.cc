// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/routing.h"

#include <gtest/gtest.h>

#include <limits>

#include "test/kernels/plans.h"

namespace moe::kernels {
namespace {

const std::vector<std::pair<int64_t, int64_t>> kChoices = {
    {1, 1}, {5, 2}, {16, 16}, {17, 3}, {33, 8}, {64, 6}, {100, 1}, {256, 8}};

TEST(Routing, SelectsInOrder) {
  std::string text;
  for (auto [experts, k] : kChoices) {
    const std::string s = Tensor({-1, experts}, DType::kF32);
    const std::string result = Tensor({-1, k}, DType::kI32);
    const std::string bias = Tensor({experts}, DType::kBF16);
    text += Entry("plain" + Str(experts), "%s: " + s, result,
                  "%y = moe.select %s top_k(" + Str(k) + ") : " + s);
    text += Entry("bias" + Str(experts), "%s: " + s + ", %b: " + bias, result,
                  "%y = moe.select %s bias(%b : " + bias + ") top_k(" + Str(k) +
                      ") : " + s);
  }
  const Program program(text);
  Random random(1);
  for (auto [experts, k] : kChoices)
    for (int64_t tokens : {0, 1, 2, 300}) {
      const std::vector<float> scores = Scores(random, tokens * experts);
      const Array s(DType::kF32, scores);
      const Array b = RandomArray(random, DType::kBF16, experts);
      Array y(DType::kI32, tokens * k);
      std::vector<int32_t> want(tokens * k);
      program.Run("plain" + Str(experts), {.tokens = tokens}, {&s}, {&y});
      reference::Select<float>(scores.data(), nullptr, tokens, experts, k,
                               want.data());
      EXPECT_EQ(y.Ints(), want) << experts;
      program.Run("bias" + Str(experts), {.tokens = tokens}, {&s, &b}, {&y});
      reference::Select(scores.data(), b.Floats().data(), tokens, experts, k,
                        want.data());
      EXPECT_EQ(y.Ints(), want) << experts << " with bias";
    }
}

struct Groups {
  int64_t experts, groups, keep, top;  // top 0: max
};

TEST(Routing, GroupMask) {
  const Groups cases[] = {{5, 1, 1, 0},   {16, 4, 2, 0}, {16, 4, 2, 2},
                          {100, 5, 3, 0}, {64, 8, 3, 0}, {256, 8, 4, 2},
                          {34, 17, 5, 2}, {40, 2, 1, 3}};
  std::string text;
  for (const Groups& c : cases) {
    const std::string s = Tensor({-1, c.experts}, DType::kF32);
    text += Entry("mask" + Str(&c - cases), "%s: " + s, s,
                  "%y = moe.group_mask %s groups(" + Str(c.groups) + ") keep(" +
                      Str(c.keep) + ") score(" + (c.top ? "sum_top" : "max") +
                      ") fill(-2.5) " +
                      (c.top ? "{top = " + Str(c.top) + " : i64} " : "") +
                      ": " + s);
  }
  const Program program(text);
  Random random(2);
  for (const Groups& c : cases)
    for (int64_t tokens : {0, 1, 2, 300}) {
      std::vector<float> scores = Scores(random, tokens * c.experts);
      if (tokens == 2) scores = random.Values<float>(tokens * c.experts);
      const Array s(DType::kF32, scores);
      Array y(DType::kF32, s.size());
      program.Run("mask" + Str(&c - cases), {.tokens = tokens}, {&s}, {&y});
      std::vector<float> want(s.size());
      reference::GroupMask(scores.data(), tokens, c.experts, c.groups, c.keep,
                           {.sum_top = c.top}, -2.5f, want.data());
      ExpectSame("mask" + Str(&c - cases), y, want);
    }
}

TEST(Routing, PickAndItsTranspose) {
  std::string text;
  for (auto [experts, k] : kPlans) {
    const std::string all = Tensor({-1, experts}, DType::kF32);
    const std::string few = Tensor({-1, k}, DType::kF32);
    const std::string idx = Tensor({-1, k}, DType::kI32);
    text += Entry("pick" + Str(experts), "%s: " + all + ", %i: " + idx, few,
                  "%y = moe.pick %s, %i : " + all + ", " + idx);
    text += Entry("scatter" + Str(experts), "%g: " + few + ", %i: " + idx, all,
                  "%y = moe.scatter_pick %g, %i experts(" + Str(experts) +
                      ") : " + few + ", " + idx);
  }
  const Program program(text);
  Random random(3);
  for (auto [experts, k] : kPlans)
    for (const std::string& kind : kKinds)
      for (int64_t tokens : kTokens) {
        const std::vector<int32_t> idx =
            Choices(random, tokens, experts, k, kind);
        const Array i(idx);
        const Array s = RandomArray(random, DType::kF32, tokens * experts);
        const Array g = RandomArray(random, DType::kF32, tokens * k);
        Array few(DType::kF32, tokens * k), all(DType::kF32, tokens * experts);
        program.Run("pick" + Str(experts), {.tokens = tokens}, {&s, &i},
                    {&few});
        std::vector<float> want(tokens * k);
        reference::Pick(s.Floats().data(), idx.data(), tokens, experts, k,
                        want.data());
        ExpectSame("pick", few, want);
        program.Run("scatter" + Str(experts), {.tokens = tokens}, {&g, &i},
                    {&all});
        std::vector<float> sums(tokens * experts, 0.0f);
        for (int64_t at = 0; at < tokens * k; ++at)
          if (idx[at] >= 0 && idx[at] < experts)
            sums[at / k * experts + idx[at]] += g.Floats()[at];
        ExpectSame("scatter", all, sums);
      }
}

// Everything that reads a plan, in one entry per plan and width.
std::string PlanEntry(int64_t experts, int64_t k, int64_t width, DType dtype) {
  const std::string name = "plan" + Str(experts) + "_" + Str(width);
  const std::string plan = "!moe.plan<" + Str(experts) + ", " + Str(k) + ">";
  const std::string x = Tensor({-1, width}, dtype);
  const std::string idx = Tensor({-1, k}, DType::kI32);
  const std::string w = Tensor({-1, k}, DType::kF32);
  const std::string v = Tensor({experts, width}, DType::kBF16);
  const std::string vectors = Tensor({-1, width}, DType::kBF16);
  const std::string counts = Tensor({experts}, DType::kI32);
  const std::string results =
      "(" + idx + ", " + counts + ", " + x + ", " + x + ", " + vectors + ")";
  return "func.func @" + name + "(%x: " + x + ", %i: " + idx + ", %w: " + w +
         ", %v: " + v + ") -> " + results + " attributes {nn.entry = \"" +
         name + "\"} {\n%p = moe.make_plan %i experts(" + Str(experts) +
         ") : " + idx + "\n%j = moe.plan_indices %p : " + plan +
         "\n%c = moe.counts %p : " + plan +
         "\n%r = moe.dispatch %x, %p : " + x + ", " + plan +
         "\n%y = moe.combine %r, %p, %w : " + x + ", " + plan + ", " + w +
         "\n%b = moe.grouped_broadcast %v, %p : " + v + ", " + plan +
         "\nreturn %j, %c, %r, %y, %b : " +
         results.substr(1, results.size() - 2) + "\n}\n";
}

TEST(Routing, PlansDispatchAndCombine) {
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
            const std::string name = "plan" + Str(experts) + "_" + Str(width);
            const std::vector<int32_t> idx =
                Choices(random, tokens, experts, k, kind);
            const Array x = RandomArray(random, dtype, tokens * width);
            const Array w = RandomArray(random, DType::kF32, tokens * k);
            const Array v = RandomArray(random, DType::kBF16, experts * width);
            const Array i(idx);
            Array indices(DType::kI32, tokens * k);
            Array counts(DType::kI32, experts);
            Array rows(dtype, tokens * k * width), y(dtype, tokens * width);
            Array vectors(DType::kBF16, tokens * k * width);
            program.Run(name, {.tokens = tokens}, {&x, &i, &w, &v},
                        {&indices, &counts, &rows, &y, &vectors});
            const auto plan =
                reference::MakePlan(idx.data(), tokens, experts, k);
            EXPECT_EQ(indices.Ints(), plan.idx);
            std::vector<int32_t> many(experts);
            reference::Counts(plan, many.data());
            EXPECT_EQ(counts.Ints(), many);
            std::vector<float> moved(plan.rows() * width);
            reference::Dispatch(x.Floats().data(), plan, width, moved.data());
            ExpectSame(name + kind + " rows", rows, moved);
            std::vector<float> sums(tokens * width);
            reference::Combine(moved.data(), plan, w.Floats().data(), width,
                               sums.data());
            if (dtype == DType::kF32)
              ExpectSame(name + kind + " combined", y, sums);
            else
              ExpectClose(name + kind + " combined", y, sums, k);
            std::vector<float> repeated;
            const std::vector<float> given = v.Floats();
            for (int64_t r = 0; r < plan.rows(); ++r) {
              const auto from = given.begin() + idx[plan.row2slot[r]] * width;
              repeated.insert(repeated.end(), from, from + width);
            }
            ExpectSame(name + kind + " vectors", vectors, repeated);
          }
  }
}

TEST(Routing, PlanUsedTwice) {
  constexpr int64_t kExperts = 5, kK = 3;
  const std::string plan = "!moe.plan<5, 3>";
  const std::string i = Tensor({-1, kK}, DType::kI32);
  std::string text;
  for (DType dtype : kComputeTypes)
    for (int64_t width : kWidths) {
      const std::string x = Tensor({-1, width}, dtype);
      const std::string y = Tensor({-1, kK, width}, dtype);
      text += "func.func @f" + Name(dtype) + Str(width) + "(%x: " + x +
              ", %i: " + i + ") -> (" + y + ", " + x +
              ") attributes {nn.entry = \"f\"} {\n%p = moe.make_plan %i "
              "experts(5) : " +
              i + "\n%r = moe.dispatch %x, %p : " + x + ", " + plan +
              "\n%y = moe.ungroup %r, %p : " + x + ", " + plan +
              "\n%g = moe.group %y, %p : " + y + ", " + plan +
              "\nreturn %y, %g : " + y + ", " + x + "\n}\n";
    }
  const Program program(text);
  Random random(5);
  for (DType dtype : kComputeTypes)
    for (int64_t width : kWidths)
      for (const std::string& kind : kKinds)
        for (int64_t tokens : {0, 1, 50}) {
          const auto idx = Choices(random, tokens, kExperts, kK, kind);
          const Array x = RandomArray(random, dtype, tokens * width), in(idx);
          Array y(dtype, tokens * kK * width), rows(dtype, y.size());
          program.Run("f" + Name(dtype) + Str(width), {.tokens = tokens},
                      {&x, &in}, {&y, &rows});
          const auto plan =
              reference::MakePlan(idx.data(), tokens, kExperts, kK);
          std::vector<float> moved(plan.rows() * width), want(y.size());
          reference::Dispatch(x.Floats().data(), plan, width, moved.data());
          for (int64_t slot = 0; slot < tokens * kK; ++slot)
            if (const int64_t row = plan.slot2row[slot]; row >= 0)
              std::copy_n(moved.begin() + row * width, width,
                          want.begin() + slot * width);
          ExpectSame("ungroup" + kind, y, want);
          ExpectSame("group" + kind, rows, moved);
        }
}

// The tokens one expert took, as sequences of their own.
TEST(Routing, RowsOfOneExpertAsSequences) {
  const Program program(R"(
    func.func @f(%i: tensor<?x1xi32>, %t: tensor<?xi32>, %c: tensor<?xi32> {nn.name = "cu_seqlens"})
        -> (tensor<?xi32>, tensor<?xi32>) attributes {nn.entry = "f"} {
      %p = moe.make_plan %i experts(1) : tensor<?x1xi32>
      %r = moe.dispatch %t, %p : tensor<?xi32>, !moe.plan<1, 1>
      %s = moe.plan_seqs %p seqs(%c) : !moe.plan<1, 1>, tensor<?xi32>
      return %r, %s : tensor<?xi32>, tensor<?xi32>
    })");
  Random random(6);
  for (int64_t tokens : {0, 1, 40})
    for (int round = 0; round < 5; ++round) {
      std::vector<int32_t> idx(tokens), positions(tokens);
      for (int32_t& e : idx) e = static_cast<int32_t>(random.Int(0, 1));
      for (int32_t& p : positions) p = static_cast<int32_t>(random.Int(0, 99));
      const int32_t end = static_cast<int32_t>(tokens);
      const std::vector<int32_t> cu = {0, end / 3, end / 3, end};
      const Array i(idx), t(positions), c(cu);
      Array rows(DType::kI32, tokens), seqs(DType::kI32, 4);
      program.Run("f", {.tokens = tokens, .sequences = 3}, {&i, &t, &c},
                  {&rows, &seqs});
      std::vector<int32_t> taken, bounds = {0};
      for (int64_t b = 0; b < 3; ++b) {
        for (int64_t at = cu[b]; at < cu[b + 1]; ++at)
          if (idx[at] == 0) taken.push_back(positions[at]);
        bounds.push_back(static_cast<int32_t>(taken.size()));
      }
      std::vector<int32_t> got = rows.Ints();
      got.resize(taken.size());
      EXPECT_EQ(got, taken);
      EXPECT_EQ(seqs.Ints(), bounds);
    }
}

// A plan of constants counts its own tokens, not those of the call.
TEST(Routing, PlanOfConstants) {
  const Program program(R"(
    func.func @f(%x: tensor<3x4xf32>, %t: tensor<?xi32>) -> tensor<3x4xf32> attributes {nn.entry = "f"} {
      %i = arith.constant dense<[[0, 1], [1, 2], [2, 3]]> : tensor<3x2xi32>
      %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
      %p = moe.make_plan %i experts(3) : tensor<3x2xi32>
      %r = moe.dispatch %x, %p : tensor<3x4xf32>, !moe.plan<3, 2>
      %y = moe.combine %r, %p, %w : tensor<?x4xf32>, !moe.plan<3, 2>, tensor<3x2xf32>
      return %y : tensor<3x4xf32>
    })");
  Random random(8);
  const std::vector<float> values = random.Values<float>(12);
  for (int64_t tokens : {0, 1, 50}) {
    const Array x(DType::kF32, values), t(std::vector<int32_t>(tokens, 0));
    Array y(DType::kF32, 12);
    program.Run("f", {.tokens = tokens}, {&x, &t}, {&y});
    std::vector<float> want(12);
    for (int64_t i = 0; i < 12; ++i) {
      const float sum[] = {1 + 2, 3 + 4, 5};
      want[i] = values[i] * sum[i / 4];
    }
    ExpectClose("constants", y, want, 2);
  }
}

}  // namespace
}  // namespace moe::kernels
