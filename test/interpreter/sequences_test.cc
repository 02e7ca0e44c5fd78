// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Values of whole sequences, mixtures, and rows by choice.
#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Sequences, FillTakesRowsAndElements) {
  Program p(R"(
  func.func @f(%x: tensor<?x3xbf16>) -> (tensor<?x2xf32>, tensor<?xi32>, tensor<2x2xbf16>, tensor<f32>) {
    %0 = nn.fill 0.1 like %x : tensor<?x3xbf16> -> tensor<?x2xf32>
    %1 = nn.fill -3 : i64 like %x : tensor<?x3xbf16> -> tensor<?xi32>
    %2 = nn.fill 2 : i64 like %x : tensor<?x3xbf16> -> tensor<f32>
    %3 = nn.fill 1.0 like %x : tensor<?x3xbf16> -> tensor<2x2xf32>
    %4 = arith.truncf %3 : tensor<2x2xf32> to tensor<2x2xbf16>
    return %0, %1, %4, %2 : tensor<?x2xf32>, tensor<?xi32>, tensor<2x2xbf16>, tensor<f32>
  })");
  auto out = p.Run<float>("f", {F({2, 3}, {1, 2, 3, 4, 5, 6}, Element::BF16)});
  EXPECT_THAT(out[0].tensor().values(), ElementsAre(.1f, .1f, .1f, .1f));
  EXPECT_THAT(out[1].tensor().integers(), ElementsAre(-3, -3));
  EXPECT_THAT(out[2].tensor().values(), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(out[3].tensor().values(), ElementsAre(2));
  EXPECT_EQ(p.Run<float>("f", {F({0, 3}, {}, Element::BF16)})[0].describe(),
            "0x2xf32");
}

constexpr char kSegments[] = R"(
func.func @reduce(%x: tensor<?x2xf32>, %c: tensor<?xi32>) -> (tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>) {
  %0 = nn.segment_reduce sum %x seqs(%c) : tensor<?x2xf32>, tensor<?xi32>
  %1 = nn.segment_reduce mean %x seqs(%c) : tensor<?x2xf32>, tensor<?xi32>
  %2 = nn.segment_reduce max %x seqs(%c) : tensor<?x2xf32>, tensor<?xi32>
  %3 = nn.segment_reduce min %x seqs(%c) : tensor<?x2xf32>, tensor<?xi32>
  return %0, %1, %2, %3 : tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>, tensor<?x2xf32>
}
func.func @broadcast(%x: tensor<?x2xf32>, %n: tensor<?xi32>, %like: tensor<?x5xf32>, %c: tensor<?xi32>) -> (tensor<?x2xf32>, tensor<?xi32>) {
  %0 = nn.segment_broadcast %x like %like seqs(%c) : tensor<?x2xf32>, tensor<?x5xf32>, tensor<?xi32>
  %1 = nn.segment_broadcast %n like %like seqs(%c) : tensor<?xi32>, tensor<?x5xf32>, tensor<?xi32>
  return %0, %1 : tensor<?x2xf32>, tensor<?xi32>
}
func.func @softmax(%x: tensor<?x2xf32>, %c: tensor<?xi32>) -> tensor<?x2xf32> {
  %0 = nn.segment_softmax %x seqs(%c) : tensor<?x2xf32>, tensor<?xi32>
  return %0 : tensor<?x2xf32>
}
func.func @linear(%x: tensor<?x2xf32>, %w: tensor<?x1x2xf32>, %c: tensor<?xi32>) -> tensor<?x1xf32> {
  %0 = nn.segment_linear %x, %w seqs(%c) : tensor<?x2xf32>, tensor<?x1x2xf32>, tensor<?xi32>
  return %0 : tensor<?x1xf32>
})";

TEST(Sequences, Segments) {
  Program p(kSegments);
  constexpr float kInf = std::numeric_limits<float>::infinity();
  auto x = F({3, 2}, {1, 5, 3, 2, 7, 7});
  auto c = I({4}, {0, 2, 2, 3});
  auto out = p.Run<float>("reduce", {x, c});
  EXPECT_THAT(out[0].tensor().values(), ElementsAre(4, 7, 0, 0, 7, 7));
  EXPECT_THAT(out[1].tensor().values(), ElementsAre(2, 3.5, 0, 0, 7, 7));
  EXPECT_THAT(out[2].tensor().values(), ElementsAre(3, 5, -kInf, -kInf, 7, 7));
  EXPECT_THAT(out[3].tensor().values(), ElementsAre(1, 2, kInf, kInf, 7, 7));
  auto like = F({3, 5}, std::vector<float>(15));
  auto spread = p.Run<float>(
      "broadcast", {F({3, 2}, {1, 2, 3, 4, 5, 6}), I({3}, {7, 8, 9}), like, c});
  EXPECT_THAT(spread[0].tensor().values(), ElementsAre(1, 2, 1, 2, 5, 6));
  EXPECT_THAT(spread[1].tensor().integers(), ElementsAre(7, 7, 9));
  auto soft =
      p.Run<double>("softmax", {D({3, 2}, {0, 0, 0, std::log(3.0), 4, 4}),
                                I<double>({4}, {0, 2, 2, 3})});
  EXPECT_THAT(soft[0].tensor().values(),
              testing::Pointwise(testing::DoubleNear(1e-15),
                                 {0.5, 0.25, 0.5, 0.75, 1.0, 1.0}));
  EXPECT_THAT(p.Values("linear", {x, F({3, 1, 2}, {1, 1, 9, 9, 0, 2}), c}),
              ElementsAre(6, 5, 14));
  EXPECT_THAT(p.Errors("linear", {x, F({2, 1, 2}, {1, 1, 9, 9}), c}),
              HasSubstr("expects 3 sequences, got 2"));
  EXPECT_THAT(p.Errors("reduce", {x, I({2}, {0, 4})}),
              HasSubstr("ascending sequence starts of at most 3, got 4"));
}

TEST(Sequences, Mixtures) {
  Program p(R"(
  func.func @f(%a: tensor<?x2xf32>, %x: tensor<?x1xf32>, %c: tensor<?xi32>) -> (tensor<?x2x1xf32>, tensor<?x1xf32>, tensor<?x2xf32>) {
    %s = moe.mix %a, %x seqs(%c) : tensor<?x2xf32>, tensor<?x1xf32>, tensor<?xi32>
    %y = moe.unmix %a, %s seqs(%c) : tensor<?x2xf32>, tensor<?x2x1xf32>, tensor<?xi32>
    %d = moe.mix_dot %x, %s seqs(%c) : tensor<?x1xf32>, tensor<?x2x1xf32>, tensor<?xi32>
    return %s, %y, %d : tensor<?x2x1xf32>, tensor<?x1xf32>, tensor<?x2xf32>
  }
  func.func @merge(%w: tensor<?x2xf32>, %p: tensor<2x1x2xbf16>) -> tensor<?x1x2xf32> {
    %y = moe.merge_params %w, %p : tensor<?x2xf32>, tensor<2x1x2xbf16>
    return %y : tensor<?x1x2xf32>
  })");
  auto a = F({3, 2}, {1, 2, 3, 4, 5, 6}), x = F({3, 1}, {1, 10, 100});
  auto c = I({3}, {0, 2, 3});
  auto out = p.Run<float>("f", {a, x, c});
  EXPECT_THAT(out[0].tensor().values(), ElementsAre(31, 42, 500, 600));
  EXPECT_THAT(out[1].tensor().values(), ElementsAre(115, 261, 6100));
  EXPECT_THAT(out[2].tensor().values(),
              ElementsAre(31, 42, 310, 420, 50000, 60000));
  EXPECT_THAT(p.Values("merge", {F({2, 2}, {1, 0, 0.5, 2}),
                                 F({2, 1, 2}, {1, 2, 3, 4}, Element::BF16)}),
              ElementsAre(1, 2, 6.5, 9));
  EXPECT_THAT(p.Errors("f", {a, F({2, 1}, {1, 2}), c}),
              HasSubstr("expects 3 rows of x, got 2"));
}

TEST(Sequences, RowsByChoiceAndOfOneExpert) {
  Program p(R"(
  func.func @choices(%x: tensor<?x1xf32>, %i: tensor<?x2xi32>) -> (tensor<?x2x1xf32>, tensor<?x1xf32>) {
    %plan = moe.make_plan %i experts(3) : tensor<?x2xi32>
    %rows = moe.dispatch %x, %plan : tensor<?x1xf32>, !moe.plan<3, 2>
    %y = moe.ungroup %rows, %plan : tensor<?x1xf32>, !moe.plan<3, 2>
    %back = moe.group %y, %plan : tensor<?x2x1xf32>, !moe.plan<3, 2>
    return %y, %back : tensor<?x2x1xf32>, tensor<?x1xf32>
  }
  func.func @depths(%i: tensor<?x1xi32>, %at: tensor<?xi32>, %c: tensor<?xi32>) -> (tensor<?xi32>, tensor<?xi32>) {
    %plan = moe.make_plan %i experts(1) : tensor<?x1xi32>
    %rows = moe.dispatch %at, %plan : tensor<?xi32>, !moe.plan<1, 1>
    %cu = moe.plan_seqs %plan seqs(%c) : !moe.plan<1, 1>, tensor<?xi32>
    return %rows, %cu : tensor<?xi32>, tensor<?xi32>
  }
  func.func @wide(%x: tensor<?x1xf32>, %i: tensor<?x3xi32>) -> tensor<?x1xf32> {
    %plan = moe.make_plan %i experts(2) : tensor<?x3xi32>
    %rows = moe.dispatch %x, %plan : tensor<?x1xf32>, !moe.plan<2, 3>
    return %rows : tensor<?x1xf32>
  })");
  auto out = p.Run<float>(
      "choices", {F({3, 1}, {5, 6, 7}), I({3, 2}, {2, 0, 3, 1, 0, 2})});
  EXPECT_THAT(out[0].tensor().values(), ElementsAre(5, 5, 0, 6, 7, 7));
  EXPECT_THAT(out[1].tensor().values(), ElementsAre(5, 7, 6, 5, 7));
  auto rows = p.Run<float>(
      "depths",
      {I({5, 1}, {0, 1, 0, 0, 1}), I({5}, {0, 1, 2, 0, 1}), I({3}, {0, 3, 5})});
  EXPECT_THAT(rows[0].tensor().integers(), ElementsAre(0, 2, 0));
  EXPECT_THAT(rows[1].tensor().integers(), ElementsAre(0, 2, 3));
  // More choices than experts, as by several tables.
  EXPECT_THAT(
      p.Values("wide", {F({2, 1}, {1, 2}), I({2, 3}, {0, 0, 1, 1, 2, 0})}),
      ElementsAre(1, 1, 2, 1, 2));
  EXPECT_THAT(p.Errors("depths",
                       {I({2, 1}, {0, 0}), I({3}, {0, 1, 2}), I({2}, {0, 2})}),
              HasSubstr("expects 2 rows of x, got 3"));
}

TEST(Sequences, ConcatOfIntegers) {
  Program p(R"(
  func.func @f(%a: tensor<?x2xi32>, %b: tensor<?x1xi32>) -> tensor<?x3xi32> {
    %y = nn.concat %a, %b : tensor<?x2xi32>, tensor<?x1xi32>
    return %y : tensor<?x3xi32>
  })");
  EXPECT_THAT(p.Integers("f", {I({2, 2}, {1, 2, 3, 4}), I({2, 1}, {5, 6})}),
              ElementsAre(1, 2, 5, 3, 4, 6));
}

}  // namespace
}  // namespace mlir::moe
