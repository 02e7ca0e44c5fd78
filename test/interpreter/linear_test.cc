// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Matrix products, norms, activations and moves against numbers by hand.
#include <cmath>

#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::FloatEq;
using testing::HasSubstr;

TEST(Linear, MultipliesByTheTransposeAndAddsTheBias) {
  Program p(
      R"(func.func @f(%x: tensor<?x2xf32>, %w: tensor<3x2xf32>, %b: tensor<3xf32>) -> tensor<?x3xf32> {
    %y = nn.linear %x, %w bias(%b : tensor<3xf32>) : tensor<?x2xf32>, tensor<3x2xf32>
    return %y : tensor<?x3xf32>
  })");
  auto y =
      p.Run<float>("f", {F({2, 2}, {1, 2, 3, 4}), F({3, 2}, {1, 0, 0, 1, 2, 3}),
                         F({3}, {10, 20, 30})})[0];
  EXPECT_EQ(y.describe(), "2x3xf32");
  EXPECT_THAT(y.tensor().values(), ElementsAre(11, 22, 38, 13, 24, 48));
  // No rows at all.
  EXPECT_EQ(p.Run<float>("f", {F({0, 2}, {}), F({3, 2}, {1, 0, 0, 1, 2, 3}),
                               F({3}, {10, 20, 30})})[0]
                .describe(),
            "0x3xf32");
}

TEST(Linear, RoundsBf16ResultsOnce) {
  Program p(
      R"(func.func @f(%x: tensor<?x2xbf16>, %w: tensor<1x2xbf16>) -> tensor<?x1xbf16> {
    %y = nn.linear %x, %w : tensor<?x2xbf16>, tensor<1x2xbf16>
    return %y : tensor<?x1xbf16>
  })");
  // 1·1 + 2^-9: not a bf16 number; the next below is 1.
  float small = std::ldexp(1.0f, -9);
  EXPECT_THAT(p.Values<float>("f", {F({1, 2}, {1, small}, Element::BF16),
                                    F({1, 2}, {1, 1}, Element::BF16)}),
              ElementsAre(1));
  EXPECT_THAT(p.Values<double>("f", {D({1, 2}, {1, small}, Element::BF16),
                                     D({1, 2}, {1, 1}, Element::BF16)}),
              ElementsAre(1.0 + small));
}

TEST(HeadLinear, GivesEachHeadItsOwnMap) {
  Program p(
      R"(func.func @f(%x: tensor<?x2x2xf32>, %w: tensor<2x1x2xf32>) -> tensor<?x2x1xf32> {
    %y = nn.head_linear %x, %w : tensor<?x2x2xf32>, tensor<2x1x2xf32>
    return %y : tensor<?x2x1xf32>
  })");
  EXPECT_THAT(
      p.Values("f", {F({1, 2, 2}, {1, 2, 3, 4}), F({2, 1, 2}, {1, 1, 1, -1})}),
      ElementsAre(3, -1));
}

TEST(Norms, ScaleByTheRootMeanSquareAndTheDeviation) {
  Program p(R"(
  func.func @rms(%x: tensor<?x2xf32>, %w: tensor<2xf32>) -> tensor<?x2xf32> {
    %y = nn.rms_norm %x, %w eps(0.5) : tensor<?x2xf32>, tensor<2xf32>
    return %y : tensor<?x2xf32>
  }
  func.func @layer(%x: tensor<?x2xf32>, %w: tensor<2xf32>, %b: tensor<2xf32>) -> tensor<?x2xf32> {
    %y = nn.layer_norm %x, %w bias(%b : tensor<2xf32>) eps(0.0) : tensor<?x2xf32>, tensor<2xf32>
    return %y : tensor<?x2xf32>
  })");
  // mean(x²) + eps = 12.5 + 0.5 = 13
  float r = 1 / std::sqrt(13.0f);
  EXPECT_THAT(p.Values("rms", {F({1, 2}, {3, 4}), F({2}, {1, 2})}),
              ElementsAre(FloatEq(3 * r), FloatEq(8 * r)));
  EXPECT_THAT(
      p.Values("layer", {F({1, 2}, {3, 5}), F({2}, {1, 2}), F({2}, {0, 10})}),
      ElementsAre(-1, 12));
}

TEST(Norms, RoundBf16BeforeTheWeight) {
  Program p(R"(
  func.func @rms(%x: tensor<?x2xbf16>, %w: tensor<2xf32>) -> tensor<?x2xbf16> {
    %y = nn.rms_norm %x, %w eps(0.5) : tensor<?x2xbf16>, tensor<2xf32>
    return %y : tensor<?x2xbf16>
  }
  func.func @layer(%x: tensor<?x3xbf16>, %w: tensor<3xf32>) -> tensor<?x3xbf16> {
    %y = nn.layer_norm %x, %w eps(0.0) : tensor<?x3xbf16>, tensor<3xf32>
    return %y : tensor<?x3xbf16>
  })");
  auto round = [](float x) { return roundTo(Element::BF16, x); };
  float r = 1 / std::sqrt(13.0f), d = 1 / std::sqrt(14.0f / 3);
  EXPECT_THAT(
      p.Values("rms", {F({1, 2}, {3, 4}, Element::BF16), F({2}, {1, 3})}),
      ElementsAre(round(3 * r), round(3 * round(4 * r))));
  EXPECT_THAT(p.Values("layer", {F({1, 3}, {0, 1, 5}, Element::BF16),
                                 F({3}, {1, 3, 3})}),
              ElementsAre(round(-2 * d), round(3 * round(-1 * d)),
                          round(3 * round(3 * d))));
}

TEST(Activations, OfHalvesAndElements) {
  Program p(R"(
  func.func @glu(%x: tensor<?x4xf32>) -> tensor<?x2xf32> {
    %y = nn.glu relu %x : tensor<?x4xf32>
    return %y : tensor<?x2xf32>
  }
  func.func @glu16(%x: tensor<?x2xbf16>) -> tensor<?x1xbf16> {
    %y = nn.glu silu %x : tensor<?x2xbf16>
    return %y : tensor<?x1xbf16>
  }
  func.func @silu(%x: tensor<?xf32>) -> tensor<?xf32> {
    %y = nn.activate silu %x : tensor<?xf32>
    return %y : tensor<?xf32>
  })");
  EXPECT_THAT(p.Values("glu", {F({2, 4}, {1, -1, 5, 6, 2, 3, 7, 8})}),
              ElementsAre(5, 0, 14, 24));
  EXPECT_THAT(p.Values("silu", {F({1}, {1})}),
              ElementsAre(FloatEq(1 / (1 + std::exp(-1.0f)))));
  auto round = [](float x) { return roundTo(Element::BF16, x); };
  float gate = round(1 / (1 + std::exp(-1.0f)));
  EXPECT_THAT(p.Values("glu16", {F({1, 2}, {1, 3}, Element::BF16)}),
              ElementsAre(round(gate * 3)));
}

TEST(Axes, SoftmaxReduceBroadcast) {
  Program p(R"(
  func.func @softmax(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
    %y = nn.softmax %x axis(0) : tensor<2x2xf32>
    return %y : tensor<2x2xf32>
  }
  func.func @sum(%x: tensor<?x3xf32>) -> tensor<?xf32> {
    %y = nn.reduce sum %x axis(1) : tensor<?x3xf32>
    return %y : tensor<?xf32>
  }
  func.func @max(%x: tensor<?x3xf32>) -> tensor<3xf32> {
    %y = nn.reduce max %x axis(0) : tensor<?x3xf32>
    return %y : tensor<3xf32>
  }
  func.func @columns(%x: tensor<?xi32>) -> tensor<?x2xi32> {
    %y = nn.broadcast %x axis(1) : tensor<?xi32> -> tensor<?x2xi32>
    return %y : tensor<?x2xi32>
  }
  func.func @rows(%x: tensor<2xf32>, %like: tensor<?x7xf32>) -> tensor<?x2xf32> {
    %y = nn.broadcast %x like %like : tensor<?x7xf32> axis(0) : tensor<2xf32> -> tensor<?x2xf32>
    return %y : tensor<?x2xf32>
  })");
  EXPECT_THAT(p.Values("softmax", {F({2, 2}, {0, 5, std::log(3.0f), 5})}),
              ElementsAre(FloatEq(0.25f), 0.5f, FloatEq(0.75f), 0.5f));
  EXPECT_THAT(p.Values("sum", {F({2, 3}, {1, 2, 3, 4, 5, 6})}),
              ElementsAre(6, 15));
  EXPECT_THAT(p.Values("max", {F({2, 3}, {1, 5, 3, 4, 2, 6})}),
              ElementsAre(4, 5, 6));
  EXPECT_THAT(p.Integers("columns", {I({2}, {7, 8})}), ElementsAre(7, 7, 8, 8));
  EXPECT_THAT(
      p.Values("rows", {F({2}, {1, 2}), F({3, 7}, std::vector<float>(21))}),
      ElementsAre(1, 2, 1, 2, 1, 2));
}

TEST(Moves, EmbeddingSliceConcatReshapeLastRows) {
  Program p(R"(
  func.func @embedding(%ids: tensor<?xi32>, %t: tensor<3x2xbf16>) -> tensor<?x2xf32> {
    %y = nn.embedding %ids, %t : tensor<?xi32>, tensor<3x2xbf16> -> tensor<?x2xf32>
    return %y : tensor<?x2xf32>
  }
  func.func @swap(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
    %a = nn.slice %x[0, 1] : tensor<?x3xf32>
    %b = nn.slice %x[1, 2] : tensor<?x3xf32>
    %y = nn.concat %b, %a : tensor<?x2xf32>, tensor<?x1xf32>
    return %y : tensor<?x3xf32>
  }
  func.func @regroup(%x: tensor<?x6xf32>) -> tensor<?x3x2xf32> {
    %y = nn.reshape %x : tensor<?x6xf32> -> tensor<?x3x2xf32>
    return %y : tensor<?x3x2xf32>
  }
  func.func @last(%x: tensor<?x1xf32>, %cu: tensor<?xi32>) -> tensor<?x1xf32> {
    %y = nn.last_rows %x, %cu : tensor<?x1xf32>, tensor<?xi32> -> tensor<?x1xf32>
    return %y : tensor<?x1xf32>
  })");
  auto table = F({3, 2}, {1, 2, 3, 4, 5, 6}, Element::BF16);
  EXPECT_THAT(p.Values("embedding", {I({2}, {2, 0}), table}),
              ElementsAre(5, 6, 1, 2));
  EXPECT_THAT(p.Errors("embedding", {I({1}, {3}), table}),
              HasSubstr("expects ids below 3, got 3"));
  EXPECT_THAT(p.Values("swap", {F({2, 3}, {1, 2, 3, 4, 5, 6})}),
              ElementsAre(2, 3, 1, 5, 6, 4));
  EXPECT_EQ(
      p.Run<float>("regroup", {F({1, 6}, {1, 2, 3, 4, 5, 6})})[0].describe(),
      "1x3x2xf32");
  EXPECT_THAT(p.Values("last", {F({3, 1}, {1, 2, 3}), I({3}, {0, 2, 3})}),
              ElementsAre(2, 3));
  EXPECT_THAT(p.Errors("last", {F({3, 1}, {1, 2, 3}), I({3}, {0, 0, 3})}),
              HasSubstr("a row before the end"));
  EXPECT_THAT(p.Errors("last", {F({3, 1}, {1, 2, 3}), I({3}, {0, 2, 4})}),
              HasSubstr("at most 3, got 4 after 2"));
}

}  // namespace
}  // namespace mlir::moe
