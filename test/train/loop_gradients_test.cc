// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loops in all their forms: carried, captured, stacked and sliced values, and
// parameters that several loops, or all layers, read.

#include "test/train/gradient_check.h"

namespace mlir::moe {
namespace {

TEST(LoopGradients, TwoLoopsReadOneParameter) {
  GradientCheck check(R"(
    nn.param @w : tensor<3x3xf32> layers [0, 5] from [#nn.source<"{i}.w", [3, 3]>]
    func.func @f(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
      %y = nn.layers 0 to 1 (%x) : (tensor<?x3xf32>) -> tensor<?x3xf32> {
      ^bb0(%i: index, %h: tensor<?x3xf32>):
        %w = nn.param_get @w[%i] : tensor<3x3xf32>
        %n = nn.linear %h, %w : tensor<?x3xf32>, tensor<3x3xf32>
        nn.yield %n : tensor<?x3xf32>
      }
      // Layers 1 and 4 are read by no loop.
      %z = nn.layers 2 to 4 (%y) : (tensor<?x3xf32>) -> tensor<?x3xf32> {
      ^bb0(%i: index, %h: tensor<?x3xf32>):
        %w = nn.param_get @w[%i] : tensor<3x3xf32>
        %n = nn.linear %h, %w : tensor<?x3xf32>, tensor<3x3xf32>
        %t = math.tanh %n : tensor<?x3xf32>
        nn.yield %t : tensor<?x3xf32>
      }
      return %z : tensor<?x3xf32>
    })",
                      {"0"});
  check.SetParam("w", {5, 3, 3});
  check.Run("one parameter, two loops", {check.Floats({2, 3})});
}

TEST(LoopGradients, ParameterOfAllLayers) {
  GradientCheck check(R"(
    nn.param @w : tensor<3x3xf32> from [#nn.source<"w", [3, 3]>]
    func.func @f(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
      %w = nn.param_get @w : tensor<3x3xf32>
      %a = nn.linear %x, %w : tensor<?x3xf32>, tensor<3x3xf32>
      %y = nn.layers 0 to 3 (%a) : (tensor<?x3xf32>) -> tensor<?x3xf32> {
      ^bb0(%i: index, %h: tensor<?x3xf32>):
        %v = nn.param_get @w : tensor<3x3xf32>
        %n = nn.linear %h, %v : tensor<?x3xf32>, tensor<3x3xf32>
        %t = math.tanh %n : tensor<?x3xf32>
        nn.yield %t : tensor<?x3xf32>
      }
      %z = nn.linear %y, %w : tensor<?x3xf32>, tensor<3x3xf32>
      return %z : tensor<?x3xf32>
    })",
                      {"0"});
  check.SetParam("w", {3, 3});
  check.Run("parameter of all layers", {check.Floats({2, 3})});
}

TEST(LoopGradients, CapturedStackedAndSliced) {
  // The first loop yields what the second, downwards, slices; both read %b of
  // the outside, and %a reaches the result outside of loops too.
  GradientCheck check(R"(
    nn.param @w : tensor<3xf32> layers [1, 4] from [#nn.source<"{i}.w", [3]>]
    func.func @f(%a: tensor<?x3xf32>, %b: tensor<?x3xf32>, %c: tensor<3x3xf32>) -> tensor<?x3xf32> {
      %b2 = arith.mulf %b, %a : tensor<?x3xf32>
      %y:2 = nn.layers 1 to 4 (%a) : (tensor<?x3xf32>) -> (tensor<?x3xf32>, tensor<3x?x3xf32>) {
      ^bb0(%i: index, %h: tensor<?x3xf32>):
        %w = nn.param_get @w[%i] : tensor<3xf32>
        %n = nn.rms_norm %h, %w eps(1.0e-5) : tensor<?x3xf32>, tensor<3xf32>
        %m = arith.mulf %n, %b2 : tensor<?x3xf32>
        %s = arith.addf %h, %m : tensor<?x3xf32>
        nn.yield %s, %m : tensor<?x3xf32>, tensor<?x3xf32>
      }
      %z:2 = nn.layers 1 to 4 reverse (%y#0, %b) slices(%y#1, %c : tensor<3x?x3xf32>, tensor<3x3xf32>)
          : (tensor<?x3xf32>, tensor<?x3xf32>) -> (tensor<?x3xf32>, tensor<?x3xf32>) {
      ^bb0(%i: index, %g: tensor<?x3xf32>, %k: tensor<?x3xf32>, %m: tensor<?x3xf32>, %v: tensor<3xf32>):
        %n = nn.rms_norm %g, %v eps(1.0e-5) : tensor<?x3xf32>, tensor<3xf32>
        %p = arith.mulf %n, %m : tensor<?x3xf32>
        %q = arith.addf %p, %b2 : tensor<?x3xf32>
        %t = math.tanh %k : tensor<?x3xf32>
        nn.yield %t, %q : tensor<?x3xf32>, tensor<?x3xf32>
      }
      %r = arith.addf %z#0, %a : tensor<?x3xf32>
      return %r : tensor<?x3xf32>
    })",
                      {"0", "1", "2"});
  check.SetParam("w", {3, 3});
  check.Run("captured, stacked, sliced, downwards",
            {check.Floats({2, 3}), check.Floats({2, 3}), check.Floats({3, 3})});
}

TEST(LoopGradients, LoopInALoop) {
  // The inner loop reads parameters of both loops' layers.
  GradientCheck check(R"(
    nn.param @w : tensor<3x3xf32> layers [0, 2] from [#nn.source<"{i}.w", [3, 3]>]
    nn.param @v : tensor<3xf32> layers [0, 3] from [#nn.source<"{i}.v", [3]>]
    func.func @f(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
      %y = nn.layers 0 to 3 (%x) : (tensor<?x3xf32>) -> tensor<?x3xf32> {
      ^bb0(%i: index, %h: tensor<?x3xf32>):
        %z = nn.layers 0 to 2 (%h) : (tensor<?x3xf32>) -> tensor<?x3xf32> {
        ^bb1(%j: index, %g: tensor<?x3xf32>):
          %w = nn.param_get @w[%j] : tensor<3x3xf32>
          %v = nn.param_get @v[%i] : tensor<3xf32>
          %n = nn.rms_norm %g, %v eps(1.0e-3) : tensor<?x3xf32>, tensor<3xf32>
          %l = nn.linear %n, %w : tensor<?x3xf32>, tensor<3x3xf32>
          %t = arith.mulf %l, %h : tensor<?x3xf32>
          nn.yield %t : tensor<?x3xf32>
        }
        %s = arith.addf %z, %h : tensor<?x3xf32>
        nn.yield %s : tensor<?x3xf32>
      }
      return %y : tensor<?x3xf32>
    })",
                      {"0"});
  check.SetParam("w", {2, 3, 3});
  check.SetParam("v", {3, 3});
  check.Run("a loop in a loop", {check.Floats({2, 3})});
}

TEST(LoopGradients, NothingReached) {
  // %b reaches no result, nor does @w past the stop.
  GradientCheck check(R"(
    nn.param @w : tensor<3xf32> layers [0, 2] from [#nn.source<"{i}.w", [3]>]
    func.func @f(%a: tensor<?x3xf32>, %b: tensor<?x3xf32>) -> tensor<?x3xf32> {
      %y = nn.layers 0 to 2 (%a) : (tensor<?x3xf32>) -> tensor<?x3xf32> {
      ^bb0(%i: index, %h: tensor<?x3xf32>):
        %w = nn.param_get @w[%i] : tensor<3xf32>
        %u = nn.broadcast %w like %h : tensor<?x3xf32> axis(0) : tensor<3xf32> -> tensor<?x3xf32>
        %v = moe.stop_gradient %u : tensor<?x3xf32>
        %m = arith.mulf %h, %v : tensor<?x3xf32>
        nn.yield %m : tensor<?x3xf32>
      }
      return %y : tensor<?x3xf32>
    })",
                      {"1"});
  const std::string text = check.Text();
  EXPECT_EQ(text.find("reverse"), std::string::npos) << text;
  EXPECT_THAT(text,
              testing::HasSubstr(
                  "arith.constant dense<0.000000e+00> : tensor<2x3xf32>"));
}

}  // namespace
}  // namespace mlir::moe
