// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The end of a training step against numbers by hand.
#include <cmath>

#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;

constexpr char kLoss[] = R"(
func.func @loss(%x: tensor<?x2xf32>, %t: tensor<?xi32>, %dy: tensor<?xf32>) -> (tensor<?xf32>, tensor<?x2xf32>) {
  %y = nn.cross_entropy %x, %t : tensor<?x2xf32>, tensor<?xi32>
  %dx = nn.cross_entropy_grad %x, %t, %dy : tensor<?x2xf32>, tensor<?xi32>, tensor<?xf32>
  return %y, %dx : tensor<?xf32>, tensor<?x2xf32>
}
func.func @head(%x: tensor<?x1xf32>, %w: tensor<2x1xf32>, %t: tensor<?xi32>, %dy: tensor<?xf32>) -> (tensor<?xf32>, tensor<?x1xf32>, tensor<2x1xf32>) {
  %y, %dx, %dw = nn.head_loss %x, %w, %t dy(%dy : tensor<?xf32>) scale(0.5) : tensor<?x1xf32>, tensor<2x1xf32>, tensor<?xi32>
  return %y, %dx, %dw : tensor<?xf32>, tensor<?x1xf32>, tensor<2x1xf32>
}
func.func @head_alone(%x: tensor<?x1xf32>, %w: tensor<2x1xf32>, %t: tensor<?xi32>) -> tensor<?xf32> {
  %y = nn.head_loss %x, %w, %t scale(0.5) : tensor<?x1xf32>, tensor<2x1xf32>, tensor<?xi32>
  return %y : tensor<?xf32>
})";

TEST(Training, LossOfRowsWithATarget) {
  Program p(kLoss);
  // Weights 1 : 3; no target; a sure one.
  auto out =
      p.Run<double>("loss", {D({3, 2}, {0, std::log(3.0), 1, 2, 0, 800}),
                             I<double>({3}, {0, -1, 1}), D({3}, {2, 5, 1})});
  EXPECT_THAT(out[0].tensor().values(),
              ElementsAre(DoubleNear(std::log(4.0), 1e-15), 0, 0));
  EXPECT_THAT(
      out[1].tensor().values(),
      ElementsAre(DoubleNear(-1.5, 1e-15), DoubleNear(1.5, 1e-15), 0, 0, 0, 0));
  auto none = p.Run<float>("loss", {F({0, 2}, {}), I({0}, {}), F({0}, {})});
  EXPECT_EQ(none[0].describe(), "0xf32");
  EXPECT_EQ(none[1].describe(), "0x2xf32");
}

TEST(Training, LossRefusesTargetsBeyondTheVocabulary) {
  Program p(kLoss);
  auto x = F({2, 2}, {0, 0, 0, 0}), dy = F({2}, {1, 1});
  EXPECT_THAT(p.Errors("loss", {x, I({2}, {0, 2}), dy}),
              HasSubstr("expects targets below 2, got 2"));
  EXPECT_THAT(p.Errors("loss", {x, I({1}, {0}), dy}),
              HasSubstr("expects 2 numbers for the rows, got 1"));
  EXPECT_THAT(p.Errors("head", {F({2, 1}, {0, 0}), F({2, 1}, {0, 0}),
                                I({2}, {5, 0}), dy}),
              HasSubstr("expects targets below 2, got 5"));
}

// Logits 0.5·2·(0, ln 3): as above, times the scale and the other operand.
TEST(Training, HeadLossAndItsGradients) {
  Program p(kLoss);
  const double l = std::log(3.0);
  auto out = p.Run<double>("head", {D({2, 1}, {2, 7}), D({2, 1}, {0, l}),
                                    I<double>({2}, {0, -3}), D({2}, {2, 9})});
  auto alone = p.Run<double>(
      "head_alone",
      {D({2, 1}, {2, 7}), D({2, 1}, {0, l}), I<double>({2}, {0, -3})});
  EXPECT_THAT(alone[0].tensor().values(),
              ElementsAre(DoubleNear(std::log(4.0), 1e-15), 0));
  EXPECT_THAT(out[0].tensor().values(),
              ElementsAre(DoubleNear(std::log(4.0), 1e-15), 0));
  EXPECT_THAT(out[1].tensor().values(),
              ElementsAre(DoubleNear(0.5 * 1.5 * l, 1e-15), 0));
  EXPECT_THAT(
      out[2].tensor().values(),
      ElementsAre(DoubleNear(-0.5 * 1.5 * 2, 1e-15), DoubleNear(1.5, 1e-15)));
}

constexpr char kUpdate[] = R"(
func.func @norm(%a: tensor<2x2xf32>, %b: tensor<1xf32>) -> tensor<f32> {
  %y = nn.sum_squares %a, %b : tensor<2x2xf32>, tensor<1xf32>
  return %y : tensor<f32>
}
func.func @decayed(%w: tensor<2xf32>, %g: tensor<2xf32>, %m: tensor<2xf32>, %v: tensor<2xf32>, %h: tensor<8xf32>) -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) {
  %nw, %nm, %nv = nn.adamw decayed %w, %g, %m, %v, %h : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<8xf32>
  return %nw, %nm, %nv : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
}
func.func @plain(%w: tensor<2xf32>, %g: tensor<2xf32>, %m: tensor<2xf32>, %v: tensor<2xf32>, %h: tensor<8xf32>) -> (tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) {
  %nw, %nm, %nv = nn.adamw %w, %g, %m, %v, %h : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<8xf32>
  return %nw, %nm, %nv : tensor<2xf32>, tensor<2xf32>, tensor<2xf32>
})";

TEST(Training, SumOfSquares) {
  Program p(kUpdate);
  EXPECT_THAT(p.Values("norm", {F({2, 2}, {1, -2, 3, 0}), F({1}, {5})}),
              ElementsAre(39));
}

// lr 0.5, β 0.5 and 0.75, ε 1, decay 0.25, corrections 0.5 and 0.25, scale 2:
// g = (2, 0), m' = 0.5·m + 0.5·g, v' = 0.75·v + 0.25·g², then
// w' = w·(1 − 0.125) − 1·m'/(√(4·v') + 1).
TEST(Training, Adamw) {
  Program p(kUpdate);
  auto w = F({2}, {8, 16}), g = F({2}, {1, 0}), m = F({2}, {2, 6}),
       v = F({2}, {4, 3}), h = F({8}, {.5, .5, .75, 1, .25, .5, .25, 2});
  auto out = p.Run<float>("decayed", {w, g, m, v, h});
  EXPECT_THAT(out[1].tensor().values(), ElementsAre(2, 3));
  EXPECT_THAT(out[2].tensor().values(), ElementsAre(4, 2.25));
  EXPECT_THAT(out[0].tensor().values(),
              ElementsAre(FloatNear(7 - 2 / 5.0f, 1e-6),
                          FloatNear(14 - 3 / 4.0f, 1e-6)));
  EXPECT_THAT(p.Values("plain", {w, g, m, v, h}),
              ElementsAre(FloatNear(8 - 2 / 5.0f, 1e-6),
                          FloatNear(16 - 3 / 4.0f, 1e-6)));
}

}  // namespace
}  // namespace mlir::moe
