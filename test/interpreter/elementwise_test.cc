// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Upstream's elementwise operations, on tensors and scalars.
#include <cmath>
#include <limits>

#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;

// func.func @f(%a, %b: `type`) -> `result` { op }
Program Binary(const std::string& op, const std::string& type,
               const std::string& result) {
  return Program("func.func @f(%a: " + type + ", %b: " + type + ") -> " +
                 result + " {\n  %y = " + op + "\n  return %y : " + result +
                 "\n}");
}

TEST(Floats, OneOfEachKind) {
  const std::string type = "tensor<?xf32>";
  auto f = [&](const std::string& op) {
    return Binary(op + " %a, %b : " + type, type, type)
        .Values("f", {F({2}, {6, -1.5}), F({2}, {4, 2})});
  };
  EXPECT_THAT(f("arith.addf"), ElementsAre(10, 0.5));
  EXPECT_THAT(f("arith.subf"), ElementsAre(2, -3.5));
  EXPECT_THAT(f("arith.mulf"), ElementsAre(24, -3));
  EXPECT_THAT(f("arith.divf"), ElementsAre(1.5, -0.75));
  EXPECT_THAT(f("arith.maximumf"), ElementsAre(6, 2));
  EXPECT_THAT(f("arith.minimumf"), ElementsAre(4, -1.5));
  EXPECT_THAT(f("math.powf"), ElementsAre(1296, 2.25));
  auto g = [&](const std::string& op) {
    return Binary(op + " %a : " + type, type, type)
        .Values("f", {F({2}, {6.25, 0.5}), F({0}, {})});
  };
  EXPECT_THAT(g("arith.negf"), ElementsAre(-6.25, -0.5));
  EXPECT_THAT(g("math.sqrt"), ElementsAre(2.5, FloatEq(std::sqrt(0.5f))));
  EXPECT_THAT(g("math.rsqrt"), ElementsAre(0.4f, FloatEq(std::sqrt(2.0f))));
  EXPECT_THAT(g("math.floor"), ElementsAre(6, 0));
  EXPECT_THAT(g("math.roundeven"), ElementsAre(6, 0));
  EXPECT_THAT(g("math.round"), ElementsAre(6, 1));
  for (auto [name, fn] :
       {std::pair<const char*, float (*)(float)>{"math.exp", std::exp},
        {"math.exp2", std::exp2},
        {"math.log", std::log},
        {"math.log1p", std::log1p},
        {"math.tanh", std::tanh},
        {"math.erf", std::erf},
        {"math.sin", std::sin},
        {"math.cos", std::cos}})
    EXPECT_THAT(g(name), ElementsAre(FloatEq(fn(6.25f)), FloatEq(fn(0.5f))))
        << name;
}

TEST(Floats, FmaRoundsOnce) {
  Program p(R"(func.func @f(%a: f32, %b: f32, %c: f32) -> f32 {
    %y = math.fma %a, %b, %c : f32
    return %y : f32
  })");
  float a = 1 + std::ldexp(1.0f, -12);
  EXPECT_THAT(p.Values("f", {F({}, {a}), F({}, {a}), F({}, {-1})}),
              ElementsAre(std::fma(a, a, -1.0f)));
}

TEST(Floats, ComparisonsWithNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  auto f = [&](const std::string& predicate) {
    return Binary("arith.cmpf " + predicate + ", %a, %b : tensor<4xf32>",
                  "tensor<4xf32>", "tensor<4xi1>")
        .Integers("f", {F({4}, {1, 2, 1, nan}), F({4}, {2, 1, 1, 1})});
  };
  EXPECT_THAT(f("olt"), ElementsAre(1, 0, 0, 0));
  EXPECT_THAT(f("ult"), ElementsAre(1, 0, 0, 1));
  EXPECT_THAT(f("oge"), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(f("one"), ElementsAre(1, 1, 0, 0));
  EXPECT_THAT(f("une"), ElementsAre(1, 1, 0, 1));
  EXPECT_THAT(f("uno"), ElementsAre(0, 0, 0, 1));
}

TEST(Floats, CastsRoundInF32Alone) {
  Program p(R"(func.func @f(%a: tensor<?xf32>) -> tensor<?xbf16> {
    %y = arith.truncf %a : tensor<?xf32> to tensor<?xbf16>
    return %y : tensor<?xbf16>
  })");
  EXPECT_THAT(p.Values<float>("f", {F({2}, {1.001f, 257})}),
              ElementsAre(1, 256));
  EXPECT_THAT(p.Values<double>("f", {D({1}, {1.001})}), ElementsAre(1.001));
}

TEST(Floats, DenormalsAreZeroInF32) {
  auto p = Binary("arith.mulf %a, %b : tensor<1xf32>", "tensor<1xf32>",
                  "tensor<1xf32>");
  EXPECT_THAT(p.Values<float>("f", {F({1}, {1e-30f}), F({1}, {1e-10f})}),
              ElementsAre(0));
  EXPECT_THAT(p.Values<float>("f", {F({1}, {1e-40f}), F({1}, {1e10f})}),
              ElementsAre(0));
  EXPECT_THAT(p.Values<double>("f", {D({1}, {1e-30}), D({1}, {1e-10})}),
              ElementsAre(1e-30 * 1e-10));
  // The mode ends with the run.
  volatile float small = 1e-30f, factor = 1e-10f;
  EXPECT_NE(small * factor, 0);
}

TEST(Floats, SelectByElementAndAsAWhole) {
  Program p(R"(
  func.func @each(%c: tensor<2xi1>, %a: tensor<2xf32>, %b: tensor<2xf32>) -> tensor<2xf32> {
    %y = arith.select %c, %a, %b : tensor<2xi1>, tensor<2xf32>
    return %y : tensor<2xf32>
  }
  func.func @all(%c: i1, %a: tensor<2xi32>, %b: tensor<2xi32>) -> tensor<2xi32> {
    %y = arith.select %c, %a, %b : tensor<2xi32>
    return %y : tensor<2xi32>
  })");
  EXPECT_THAT(p.Values("each", {I({2}, {0, 1}, Element::I1), F({2}, {1, 2}),
                                F({2}, {3, 4})}),
              ElementsAre(3, 2));
  EXPECT_THAT(p.Integers("all", {I({}, {1}, Element::I1), I({2}, {1, 2}),
                                 I({2}, {3, 4})}),
              ElementsAre(1, 2));
}

TEST(Integers, WrapDivideAndCompare) {
  auto f = [&](const std::string& op, int64_t a, int64_t b,
               const std::string& type = "i32") {
    Element element = type == "i8" ? Element::I8 : Element::I32;
    return Binary(op + " %a, %b : " + type, type, type)
        .Integers("f", {I({}, {a}, element), I({}, {b}, element)})[0];
  };
  EXPECT_EQ(f("arith.addi", 127, 1, "i8"), -128);
  EXPECT_EQ(f("arith.muli", 1 << 20, 1 << 12), 0);
  EXPECT_EQ(f("arith.subi", 3, 5), -2);
  EXPECT_EQ(f("arith.divsi", -7, 2), -3);
  EXPECT_EQ(f("arith.floordivsi", -7, 2), -4);
  EXPECT_EQ(f("arith.ceildivsi", 7, 2), 4);
  EXPECT_EQ(f("arith.remsi", -7, 2), -1);
  EXPECT_EQ(f("arith.divui", -1, 2), 0x7fffffff);
  EXPECT_EQ(f("arith.shrui", -1, 28), 15);
  EXPECT_EQ(f("arith.shrsi", -8, 1), -4);
  EXPECT_EQ(f("arith.shli", 1, 31), std::numeric_limits<int32_t>::min());
  EXPECT_EQ(f("arith.maxsi", -1, 1), 1);
  EXPECT_EQ(f("arith.maxui", -1, 1), -1);
  auto g = [&](const std::string& predicate) {
    return Binary("arith.cmpi " + predicate + ", %a, %b : i32", "i32", "i1")
        .Integers("f", {I({}, {-1}), I({}, {1})})[0];
  };
  EXPECT_EQ(g("slt"), 1);
  EXPECT_EQ(g("ult"), 0);
  EXPECT_EQ(g("ne"), 1);
  auto zero = Binary("arith.divsi %a, %b : i32", "i32", "i32");
  EXPECT_THAT(zero.Errors("f", {I({}, {1}), I({}, {0})}),
              HasSubstr("expects no division by zero"));
}

TEST(Integers, Casts) {
  auto f = [](const std::string& op, const std::string& from,
              const std::string& to) {
    return Program("func.func @f(%a: " + from + ") -> " + to +
                   " {\n  %y = " + op + " %a : " + from + " to " + to +
                   "\n  return %y : " + to + "\n}");
  };
  EXPECT_THAT(
      f("arith.extsi", "i1", "i32").Integers("f", {I({}, {1}, Element::I1)}),
      ElementsAre(-1));
  EXPECT_THAT(
      f("arith.extui", "i1", "i32").Integers("f", {I({}, {1}, Element::I1)}),
      ElementsAre(1));
  EXPECT_THAT(f("arith.trunci", "i32", "i8").Integers("f", {I({}, {300})}),
              ElementsAre(44));
  EXPECT_THAT(
      f("arith.index_cast", "i32", "index").Integers("f", {I({}, {-3})}),
      ElementsAre(-3));
  EXPECT_THAT(f("arith.sitofp", "i32", "f32").Values("f", {I({}, {-3})}),
              ElementsAre(-3));
  EXPECT_THAT(
      f("arith.uitofp", "i1", "f32").Values("f", {I({}, {1}, Element::I1)}),
      ElementsAre(1));
  EXPECT_THAT(f("arith.fptosi", "f32", "i32").Integers("f", {F({}, {-2.7f})}),
              ElementsAre(-2));
  EXPECT_THAT(f("arith.fptosi", "f32", "i32").Integers("f", {F({}, {1e30f})}),
              ElementsAre(0x7fffffff));
  EXPECT_THAT(f("arith.fptoui", "f32", "i8").Integers("f", {F({}, {255})}),
              ElementsAre(-1));
}

TEST(Constants, SplatDenseAndScalar) {
  Program p(R"(
  func.func @splat() -> tensor<2x2xbf16> {
    %y = arith.constant dense<1.5> : tensor<2x2xbf16>
    return %y : tensor<2x2xbf16>
  }
  func.func @dense() -> tensor<3xi32> {
    %y = arith.constant dense<[1, -2, 3]> : tensor<3xi32>
    return %y : tensor<3xi32>
  }
  func.func @scalar() -> i1 {
    %y = arith.constant true
    return %y : i1
  }
  func.func @wide() -> f32 {
    %y = arith.constant 0.1 : f32
    return %y : f32
  })");
  EXPECT_THAT(p.Values("splat", {}), ElementsAre(1.5, 1.5, 1.5, 1.5));
  EXPECT_THAT(p.Integers("dense", {}), ElementsAre(1, -2, 3));
  EXPECT_THAT(p.Integers("scalar", {}), ElementsAre(1));
  EXPECT_THAT(p.Values<double>("wide", {}), ElementsAre(double(0.1f)));
}

TEST(Elementwise, ShapesMustAgree) {
  auto p = Binary("arith.addf %a, %b : tensor<?xf32>", "tensor<?xf32>",
                  "tensor<?xf32>");
  EXPECT_THAT(p.Errors("f", {F({2}, {1, 2}), F({1}, {1})}),
              HasSubstr("operands of one shape, got 2xf32 and 1xf32"));
}

}  // namespace
}  // namespace mlir::moe
