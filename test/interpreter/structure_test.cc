// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loops, calls, parameters, and what the interpreter refuses.
#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kLoops[] = R"(
nn.param @scale : tensor<2xf32> layers [2, 5] from [#nn.source<"s.{i}", [2]>]
func.func @forward(%x: tensor<2xf32>) -> (tensor<2xf32>, tensor<3x2xf32>) {
  %y, %kept = nn.layers 2 to 5 (%x) : (tensor<2xf32>) -> (tensor<2xf32>, tensor<3x2xf32>) {
  ^bb0(%i: index, %h: tensor<2xf32>):
    %s = nn.param_get @scale[%i] : tensor<2xf32>
    %n = arith.mulf %h, %s : tensor<2xf32>
    nn.yield %n, %h : tensor<2xf32>, tensor<2xf32>
  }
  return %y, %kept : tensor<2xf32>, tensor<3x2xf32>
}
// From last to first: g <- g·10 + the slice of the layer; keeps g.
func.func @backward(%g: tensor<f32>, %kept: tensor<3xf32>, %ten: tensor<f32>) -> (tensor<f32>, tensor<3xf32>) {
  %y, %all = nn.layers 2 to 5 reverse (%g) slices(%kept : tensor<3xf32>) : (tensor<f32>) -> (tensor<f32>, tensor<3xf32>) {
  ^bb0(%i: index, %a: tensor<f32>, %own: tensor<f32>):
    %m = arith.mulf %a, %ten : tensor<f32>
    %n = arith.addf %m, %own : tensor<f32>
    nn.yield %n, %n : tensor<f32>, tensor<f32>
  }
  return %y, %all : tensor<f32>, tensor<3xf32>
}
!plan = !moe.plan<4, 1>
func.func @plans(%idx: tensor<2x?x1xi32>, %c: tensor<4xi32>) -> (tensor<4xi32>, !nn.stack<2 x !moe.plan<4, 1>>) {
  %y, %plans = nn.layers 0 to 2 (%c) slices(%idx : tensor<2x?x1xi32>) : (tensor<4xi32>) -> (tensor<4xi32>, !nn.stack<2 x !plan>) {
  ^bb0(%i: index, %h: tensor<4xi32>, %own: tensor<?x1xi32>):
    %plan = moe.make_plan %own experts(4) : tensor<?x1xi32>
    nn.yield %h, %plan : tensor<4xi32>, !plan
  }
  %z = nn.layers 0 to 2 (%y) slices(%plans : !nn.stack<2 x !plan>) : (tensor<4xi32>) -> tensor<4xi32> {
  ^bb0(%i: index, %h: tensor<4xi32>, %plan: !plan):
    %n = moe.counts %plan : !plan
    %sum = arith.addi %h, %n : tensor<4xi32>
    nn.yield %sum : tensor<4xi32>
  }
  return %z, %plans : tensor<4xi32>, !nn.stack<2 x !plan>
})";

TEST(Layers, CarryAndStack) {
  Program p(kLoops);
  TensorParams<float> params;
  params.set("scale", F({3, 2}, {2, 1, 3, 1, 5, -1}));
  auto out = p.Run<float>("forward", {F({2}, {1, 1})}, &params);
  EXPECT_THAT(out[0].tensor().values(), ElementsAre(30, -1));
  EXPECT_EQ(out[1].describe(), "3x2xf32");
  EXPECT_THAT(out[1].tensor().values(), ElementsAre(1, 1, 2, 1, 6, 1));
}

TEST(Layers, ReverseStacksByLayer) {
  Program p(kLoops);
  auto out =
      p.Run<float>("backward", {F({}, {0}), F({3}, {1, 2, 3}), F({}, {10})});
  EXPECT_THAT(out[0].tensor().values(), ElementsAre(321));
  EXPECT_THAT(out[1].tensor().values(), ElementsAre(321, 32, 3));
}

TEST(Layers, StackPlans) {
  Program p(kLoops);
  auto out = p.Run<float>(
      "plans", {I({2, 3, 1}, {0, 1, 1, 3, 3, 3}), I({4}, {0, 0, 0, 100})});
  EXPECT_THAT(out[0].tensor().integers(), ElementsAre(1, 2, 0, 103));
  EXPECT_EQ(out[1].stack()[1].plan().rows(), 3);
}

TEST(Params, AreCheckedAgainstTheirDeclaration) {
  Program p(kLoops);
  EXPECT_THAT(p.Errors<float>("forward", {F({2}, {1, 1})}),
              HasSubstr("'nn.param_get' op has no value for @scale"));
  TensorParams<float> params;
  params.set("scale", F({2, 2}, {2, 1, 3, 1}));
  EXPECT_THAT(p.Errors<float>("forward", {F({2}, {1, 1})}, &params),
              HasSubstr("expects @scale of 3 layers, got 2x2xf32"));
  params.set("scale", F({3, 1}, {2, 1, 3}));
  EXPECT_THAT(p.Errors<float>("forward", {F({2}, {1, 1})}, &params),
              HasSubstr("expects @scale of type 'tensor<2xf32>', got 1xf32"));
}

TEST(Calls, SeeTheirArgumentsAlone) {
  Program p(R"(
  func.func @twice(%x: tensor<?xf32>) -> tensor<?xf32> {
    %y = arith.addf %x, %x : tensor<?xf32>
    return %y : tensor<?xf32>
  }
  func.func @f(%x: tensor<?xf32>) -> (tensor<?xf32>, tensor<?xf32>) {
    %y = call @twice(%x) : (tensor<?xf32>) -> tensor<?xf32>
    %z = call @twice(%y) : (tensor<?xf32>) -> tensor<?xf32>
    return %z, %y : tensor<?xf32>, tensor<?xf32>
  }
  func.func @endless(%x: tensor<?xf32>) -> tensor<?xf32> {
    %y = call @endless(%x) : (tensor<?xf32>) -> tensor<?xf32>
    return %y : tensor<?xf32>
  }
  func.func private @elsewhere(%x: tensor<?xf32>) -> tensor<?xf32>)");
  auto out = p.Run<float>("f", {F({1}, {3})});
  EXPECT_THAT(out[0].tensor().values(), ElementsAre(12));
  EXPECT_THAT(out[1].tensor().values(), ElementsAre(6));
  EXPECT_THAT(p.Errors("endless", {F({1}, {3})}),
              HasSubstr("expects at most 256 calls inside each other"));
  EXPECT_THAT(p.Errors("elsewhere", {F({1}, {3})}),
              HasSubstr("expects a body of one block"));
  EXPECT_THAT(
      p.Errors("nothing", {}),
      HasSubstr("expects \"nothing\" to name a function, model or router"));
}

TEST(Refused, OperationsInputsAndPrecision) {
  Program p(R"(
  func.func @unknown(%x: tensor<?xf32>) -> tensor<?xf32> {
    %y = math.atan %x : tensor<?xf32>
    return %y : tensor<?xf32>
  }
  func.func @blocks(%x: tensor<?xf32>) -> tensor<?xf32> {
    return %x : tensor<?xf32>
  ^other:
    return %x : tensor<?xf32>
  }
  func.func @wide(%x: tensor<?xf64>) -> tensor<?xf64> {
    %y = arith.addf %x, %x : tensor<?xf64>
    return %y : tensor<?xf64>
  }
  func.func @same(%x: tensor<2x?xf32>) -> tensor<2x?xf32> {
    return %x : tensor<2x?xf32>
  })");
  EXPECT_THAT(p.Errors("unknown", {F({1}, {3})}),
              HasSubstr("'math.atan' op has no interpretation"));
  EXPECT_THAT(p.Errors("blocks", {F({1}, {3})}),
              HasSubstr("expects a body of one block"));
  EXPECT_THAT(p.Errors("wide", {F({1}, {3}, Element::F64)}),
              HasSubstr("need f64 precision"));
  EXPECT_THAT(p.Values<double>("wide", {D({1}, {0.1}, Element::F64)}),
              ElementsAre(0.2));
  EXPECT_THAT(p.Errors("same", {}), HasSubstr("expects 1 values, got 0"));
  EXPECT_THAT(p.Errors("same", {F({1, 2}, {1, 2})}),
              HasSubstr("of type 'tensor<2x?xf32>', got 1x2xf32"));
  EXPECT_THAT(p.Errors("same", {F({2}, {1, 2})}), HasSubstr("got 2xf32"));
  EXPECT_THAT(p.Errors("same", {I({2, 1}, {1, 2})}), HasSubstr("got 2x1xi32"));
  EXPECT_THAT(p.Errors("same", {::moe::reference::Plan()}),
              HasSubstr("got a plan"));
}

// Every operation of the two dialects has an interpretation.
TEST(Coverage, AllOperationsOfTheDialects) {
  MLIRContext context;
  LoadDialects(context);
  auto known = interpretedOps();
  int64_t count = 0;
  for (RegisteredOperationName name : context.getRegisteredOperations()) {
    llvm::StringRef dialect = name.getDialectNamespace();
    if (dialect != "nn" && dialect != "moe") continue;
    ++count;
    EXPECT_TRUE(llvm::is_contained(known, name.getStringRef()))
        << name.getStringRef().str();
  }
  EXPECT_GE(count, 40);
}

TEST(Values, RowsStacksAndRounding) {
  auto x = F({3, 2}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(x.rows(1, 3).values(), ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(x.rows(1, 2, /*drop=*/true).describe(), "2xf32");
  EXPECT_EQ(Tensor<float>::stacked({x, x}).describe(), "2x3x2xf32");
  EXPECT_EQ(Tensor<float>::joined({x, x.rows(0, 0), x}).describe(), "6x2xf32");
  EXPECT_THAT(F({1}, {1.001f}).converted(Element::BF16).values(), Each(1));
  EXPECT_EQ(roundTo(Element::F16, 65520.0f),
            std::numeric_limits<float>::infinity());
  EXPECT_EQ(wrapTo(Element::I8, 200), -56);
}

}  // namespace
}  // namespace mlir::moe
