// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Selection, plans and experts: ragged, empty and single.
#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Selection, SelectPickGroupMaskScatter) {
  Program p(R"(
  func.func @select(%s: tensor<?x4xf32>, %b: tensor<4xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
    %i = moe.select %s bias(%b : tensor<4xf32>) top_k(2) : tensor<?x4xf32>
    %y = moe.pick %s, %i : tensor<?x4xf32>, tensor<?x2xi32>
    return %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  func.func @mask(%s: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %y = moe.group_mask %s groups(2) keep(1) score(max) fill(-1.0) : tensor<?x4xf32>
    return %y : tensor<?x4xf32>
  }
  func.func @mask2(%s: tensor<?x4xf32>) -> tensor<?x4xf32> {
    %y = moe.group_mask %s groups(2) keep(1) score(sum_top) fill(0.0) {top = 2 : i64} : tensor<?x4xf32>
    return %y : tensor<?x4xf32>
  }
  func.func @scatter(%g: tensor<?x2xf32>, %i: tensor<?x2xi32>) -> tensor<?x3xf32> {
    %y = moe.scatter_pick %g, %i experts(3) : tensor<?x2xf32>, tensor<?x2xi32>
    return %y : tensor<?x3xf32>
  })");
  // Ties go to the lower index; the bias chooses but does not weigh.
  auto out = p.Run<float>(
      "select", {F({2, 4}, {1, 3, 3, 2, 5, 1, 1, 1}), F({4}, {0, 0, 0, 10})});
  EXPECT_THAT(out[0].tensor().integers(), ElementsAre(3, 1, 3, 0));
  EXPECT_THAT(out[1].tensor().values(), ElementsAre(2, 3, 1, 5));
  auto s = F({1, 4}, {5, 0, 3, 4});
  EXPECT_THAT(p.Values("mask", {s}), ElementsAre(5, 0, -1, -1));
  EXPECT_THAT(p.Values("mask2", {s}), ElementsAre(0, 0, 3, 4));
  EXPECT_THAT(
      p.Values("scatter", {F({2, 2}, {1, 2, 3, 4}), I({2, 2}, {2, 0, 1, 3})}),
      ElementsAre(2, 0, 1, 0, 3, 0));
}

// Experts that scale their rows by 10^e.
constexpr char kScale[] = R"(
func.func @f(%x: tensor<?x1xf32>, %idx: tensor<?x2xi32>, %w: tensor<?x2xf32>, %p: tensor<4x1x1xf32>)
    -> (tensor<?x1xf32>, tensor<4xi32>, tensor<?x1xf32>, tensor<?x2xi32>) {
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  %n = moe.counts %plan : !moe.plan<4, 2>
  %i = moe.plan_indices %plan : !moe.plan<4, 2>
  %rows = moe.dispatch %x, %plan : tensor<?x1xf32>, !moe.plan<4, 2>
  %r = moe.experts %rows, %plan params(%p) : (tensor<?x1xf32>, !moe.plan<4, 2>, tensor<4x1x1xf32>) -> tensor<?x1xf32> {
  ^bb0(%t: tensor<?x1xf32>, %own: tensor<1x1xf32>):
    %y = nn.linear %t, %own : tensor<?x1xf32>, tensor<1x1xf32>
    moe.yield %y : tensor<?x1xf32>
  }
  %y = moe.combine %r, %plan, %w : tensor<?x1xf32>, !moe.plan<4, 2>, tensor<?x2xf32>
  return %y, %n, %r, %i : tensor<?x1xf32>, tensor<4xi32>, tensor<?x1xf32>, tensor<?x2xi32>
})";

TEST(Experts, RaggedWithEmptyExpertsAndDroppedPairs) {
  Program p(kScale);
  auto scale = F({4, 1, 1}, {1, 10, 100, 1000});
  // Expert 2 has no row; 4 marks an invalid choice.
  auto out =
      p.Run<float>("f", {F({3, 1}, {1, 2, 3}), I({3, 2}, {3, 0, 0, 4, 1, 3}),
                         F({3, 2}, {1, 1, 2, 5, 1, 0.5}), scale});
  EXPECT_THAT(out[1].tensor().integers(), ElementsAre(2, 1, 0, 2));
  EXPECT_THAT(out[2].tensor().values(), ElementsAre(1, 2, 30, 1000, 3000));
  EXPECT_THAT(out[0].tensor().values(), ElementsAre(1001, 4, 1530));
  EXPECT_THAT(out[3].tensor().integers(), ElementsAre(3, 0, 0, 4, 1, 3));
}

TEST(Experts, OneTokenAndNone) {
  Program p(kScale);
  auto scale = F({4, 1, 1}, {1, 10, 100, 1000});
  auto one = p.Run<float>(
      "f", {F({1, 1}, {7}), I({1, 2}, {2, 1}), F({1, 2}, {1, 1}), scale});
  EXPECT_THAT(one[0].tensor().values(), ElementsAre(770));
  auto none =
      p.Run<float>("f", {F({0, 1}, {}), I({0, 2}, {}), F({0, 2}, {}), scale});
  EXPECT_EQ(none[0].describe(), "0x1xf32");
  EXPECT_EQ(none[2].describe(), "0x1xf32");
  // All pairs dropped: tokens without rows are 0.
  auto dropped = p.Run<float>(
      "f", {F({1, 1}, {7}), I({1, 2}, {4, 4}), F({1, 2}, {1, 1}), scale});
  EXPECT_THAT(dropped[0].tensor().values(), ElementsAre(0));
}

TEST(Experts, LengthsMustAgree) {
  Program p(kScale);
  auto scale = F({4, 1, 1}, {1, 10, 100, 1000});
  EXPECT_THAT(p.Errors("f", {F({2, 1}, {1, 2}), I({1, 2}, {0, 1}),
                             F({1, 2}, {1, 1}), scale}),
              HasSubstr("'moe.dispatch' op expects 1 rows of x, got 2"));
  EXPECT_THAT(
      p.Errors("f", {F({1, 1}, {1}), I({1, 2}, {0, 1}), F({2, 2}, {1, 1, 1, 1}),
                     scale}),
      HasSubstr("'moe.combine' op expects 1 rows of the weights, got 2"));
}

TEST(Grouped, MatmulAndBroadcastAreWhatExpertsDo) {
  Program p(R"(
  !plan = !moe.plan<3, 2>
  func.func @experts(%x: tensor<?x5xf32>, %idx: tensor<?x2xi32>, %w: tensor<3x4x5xf32>, %b: tensor<3x4xf32>) -> tensor<?x4xf32> {
    %plan = moe.make_plan %idx experts(3) : tensor<?x2xi32>
    %rows = moe.dispatch %x, %plan : tensor<?x5xf32>, !plan
    %y = moe.experts %rows, %plan params(%w, %b) : (tensor<?x5xf32>, !plan, tensor<3x4x5xf32>, tensor<3x4xf32>) -> tensor<?x4xf32> {
    ^bb0(%t: tensor<?x5xf32>, %own: tensor<4x5xf32>, %bias: tensor<4xf32>):
      %y = nn.linear %t, %own bias(%bias : tensor<4xf32>) : tensor<?x5xf32>, tensor<4x5xf32>
      moe.yield %y : tensor<?x4xf32>
    }
    return %y : tensor<?x4xf32>
  }
  func.func @gather(%x: tensor<?x5xf32>, %idx: tensor<?x2xi32>, %w: tensor<3x4x5xf32>, %b: tensor<3x4xf32>) -> tensor<?x4xf32> {
    %plan = moe.make_plan %idx experts(3) : tensor<?x2xi32>
    %y = moe.grouped_matmul gather %x, %plan, %w bias(%b : tensor<3x4xf32>) : tensor<?x5xf32>, !plan, tensor<3x4x5xf32>
    return %y : tensor<?x4xf32>
  }
  func.func @rows(%x: tensor<?x5xf32>, %idx: tensor<?x2xi32>, %w: tensor<3x4x5xf32>, %b: tensor<3x4xf32>) -> tensor<?x4xf32> {
    %plan = moe.make_plan %idx experts(3) : tensor<?x2xi32>
    %rows = moe.dispatch %x, %plan : tensor<?x5xf32>, !plan
    %y = moe.grouped_matmul %rows, %plan, %w : tensor<?x5xf32>, !plan, tensor<3x4x5xf32>
    %all = moe.grouped_broadcast %b, %plan : tensor<3x4xf32>, !plan
    %sum = arith.addf %y, %all : tensor<?x4xf32>
    return %sum : tensor<?x4xf32>
  })");
  Random random(1);
  std::vector<Datum<float>> inputs = {
      random.Floats<float>({6, 5}),
      I({6, 2}, {0, 2, 2, 0, 3, 2, 0, 3, 2, 0, 2, 3}),
      random.Floats<float>({3, 4, 5}), random.Floats<float>({3, 4})};
  auto want = p.Values("experts", inputs);
  EXPECT_EQ(want.size(), 9 * 4);
  EXPECT_EQ(p.Values("gather", inputs), want);
  EXPECT_EQ(p.Values("rows", inputs), want);
}

TEST(Routers, AreCalledWithTheirParameters) {
  Program p(R"(
  moe.router @r(%x: tensor<?x2xf32>, %w: tensor<3x2xf32>) -> (!moe.plan<3, 1>, tensor<?x1xf32>) {
    %z = nn.linear %x, %w : tensor<?x2xf32>, tensor<3x2xf32>
    %idx = moe.select %z top_k(1) : tensor<?x3xf32>
    %s = moe.pick %z, %idx : tensor<?x3xf32>, tensor<?x1xi32>
    %t = moe.stop_gradient %s : tensor<?x1xf32>
    %plan = moe.make_plan %idx experts(3) : tensor<?x1xi32>
    moe.return %plan, %t : !moe.plan<3, 1>, tensor<?x1xf32>
  }
  func.func @f(%x: tensor<?x2xf32>, %w: tensor<3x2xf32>) -> (!moe.plan<3, 1>, tensor<?x1xf32>) {
    %plan, %s = moe.route @r(%x, %w) : (tensor<?x2xf32>, tensor<3x2xf32>) -> (!moe.plan<3, 1>, tensor<?x1xf32>)
    return %plan, %s : !moe.plan<3, 1>, tensor<?x1xf32>
  })");
  for (const char* name : {"f", "r"}) {
    auto out = p.Run<float>(
        name, {F({2, 2}, {1, 0, 0, 1}), F({3, 2}, {1, 2, 3, 0, 0, 5})});
    EXPECT_THAT(out[0].plan().idx, ElementsAre(1, 2));
    EXPECT_THAT(out[0].plan().offsets, ElementsAre(0, 0, 1, 2));
    EXPECT_THAT(out[1].tensor().values(), ElementsAre(3, 5));
  }
}

}  // namespace
}  // namespace mlir::moe
