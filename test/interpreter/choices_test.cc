// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Choices beyond the k best, random numbers, losses and routers that use them:
// that handlers pass operands and attributes on, and what they refuse.
#include "lib/reference/capacity.h"
#include "lib/reference/random.h"
#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Choices, Capacity) {
  Program p(R"(
  func.func @tokens(%i: tensor<?x2xi32>) -> tensor<?x2xi32> {
    %y = moe.capacity %i experts(2) limit(<factor = 1.0, min = 2>) : tensor<?x2xi32>
    return %y : tensor<?x2xi32>
  }
  func.func @choices(%i: tensor<?x2xi32>) -> tensor<?x2xi32> {
    %y = moe.capacity %i experts(2) limit(<factor = 1.0, min = 2>) choice_major : tensor<?x2xi32>
    return %y : tensor<?x2xi32>
  }
  func.func @priority(%i: tensor<?x2xi32>, %p: tensor<?x2xf32>) -> tensor<?x2xi32> {
    %y = moe.capacity %i experts(2) limit(<factor = 1.0, min = 2>) priority(%p : tensor<?x2xf32>) : tensor<?x2xi32>
    return %y : tensor<?x2xi32>
  }
  func.func @seqs(%i: tensor<?x2xi32>, %c: tensor<?xi32>) -> tensor<?x2xi32> {
    %y = moe.capacity %i experts(2) limit(<factor = 1.0, round = floor>) seqs(%c : tensor<?xi32>) : tensor<?x2xi32>
    return %y : tensor<?x2xi32>
  }
  func.func @next(%i: tensor<?x2xi32>) -> tensor<?x1xi32> {
    %y = moe.next_choice %i experts(2) limit(<factor = 0.5>) : tensor<?x2xi32>
    return %y : tensor<?x1xi32>
  })");
  auto i = I({3, 2}, {0, 1, 1, 0, 0, 1});
  EXPECT_THAT(p.Integers("tokens", {i}), ElementsAre(0, 1, 1, 0, 2, 2));
  EXPECT_THAT(p.Integers("choices", {i}), ElementsAre(0, 1, 1, 2, 0, 2));
  EXPECT_THAT(p.Integers("priority", {i, F({3, 2}, {1, 1, 2, 2, 3, 3})}),
              ElementsAre(2, 2, 1, 0, 0, 1));
  // One row for each expert and sequence; the first token is of none.
  EXPECT_THAT(p.Integers("seqs", {i, I({3}, {1, 2, 3})}),
              ElementsAre(2, 2, 1, 0, 0, 1));
  EXPECT_THAT(p.Integers("seqs", {i, I({3}, {0, 2, 3})}),
              ElementsAre(0, 1, 2, 2, 0, 1));
  EXPECT_THAT(p.Integers("next", {I({3, 2}, {0, 1, 0, 1, 0, 1})}),
              ElementsAre(0, 1, 2));
  EXPECT_THAT(p.Integers("tokens", {I({0, 2}, {})}), ElementsAre());
  EXPECT_THAT(p.Errors("seqs", {i, I({3}, {0, 2, 4})}),
              HasSubstr("ascending sequence starts of at most 3, got 4"));
  EXPECT_THAT(p.Errors("priority", {i, F({2, 2}, {1, 2, 3, 4})}),
              HasSubstr("a priority for each choice of 3x2xi32"));
}

// The attribute's own formula, which kernels use, and the reference's.
TEST(Choices, CapacityAttributeCountsAsTheReference) {
  MLIRContext context;
  LoadDialects(context);
  Builder b(&context);
  using Round = ::moe::reference::CapacityLimit::Round;
  int64_t compared = 0;
  for (double factor : {0.1, 0.25, 1.0, 1.25, 2.0, 8.0})
    for (int round = 0; round < 3; ++round)
      for (double times : {0.0, 0.5, 2.0})
        for (int64_t min : {1, 4})
          for (int64_t multiple : {1, 8})
            for (int64_t tokens : {0, 1, 5, 24, 1000})
              for (int64_t experts : {1, 3, 8}) {
                auto attr = CapacityAttr::get(
                    &context, b.getF64FloatAttr(factor),
                    static_cast<CapacityRounding>(round),
                    times == 0 ? FloatAttr() : b.getF64FloatAttr(times), min,
                    multiple, min - 1);
                ::moe::reference::CapacityLimit limit{factor,
                                                      static_cast<Round>(round),
                                                      times == 0 ? 1 : times,
                                                      min,
                                                      multiple,
                                                      min - 1};
                EXPECT_EQ(attr.rows(tokens, experts),
                          CapacityRows(limit, tokens, experts));
                ++compared;
              }
  EXPECT_GT(compared, 1000);
}

TEST(Choices, TokensMasksAndThresholds) {
  Program p(R"(
  func.func @tokens(%s: tensor<?x2xf32>) -> tensor<?x2xi32> {
    %y = moe.select_tokens %s limit(<factor = 1.0, round = floor>) : tensor<?x2xf32>
    return %y : tensor<?x2xi32>
  }
  func.func @seqs(%s: tensor<?x2xf32>, %c: tensor<?xi32>) -> tensor<?x2xi32> {
    %y = moe.select_tokens %s limit(<factor = 1.0, round = floor>) seqs(%c : tensor<?xi32>) : tensor<?x2xf32>
    return %y : tensor<?x2xi32>
  }
  func.func @mask(%s: tensor<?x2xf32>, %i: tensor<?x1xi32>) -> tensor<?x2xf32> {
    %y = moe.mask_choices %s, %i fill(0xFFF0000000000000) : tensor<?x2xf32>, tensor<?x1xi32>
    return %y : tensor<?x2xf32>
  }
  func.func @above(%s: tensor<?x4xf32>, %b: tensor<4xf32>) -> (tensor<?x4xi32>, tensor<?x2xi32>) {
    %y = moe.select %s top_k(4) above(0.0) : tensor<?x4xf32>
    %z = moe.select %s bias(%b : tensor<4xf32>) top_k(2) above(2.5) : tensor<?x4xf32>
    return %y, %z : tensor<?x4xi32>, tensor<?x2xi32>
  })");
  auto s = F({4, 2}, {1, 9, 3, 9, 2, 9, 3, 1});
  EXPECT_THAT(p.Integers("tokens", {s}), ElementsAre(2, 1, 0, 1, 2, 2, 0, 2));
  EXPECT_THAT(p.Integers("seqs", {s, I({4}, {0, 1, 3, 4})}),
              ElementsAre(0, 1, 0, 1, 2, 2, 0, 1));
  EXPECT_THAT(p.Values("mask", {F({2, 2}, {1, 2, 3, 4}), I({2, 1}, {1, 2})}),
              ElementsAre(1, -kInf, 3, 4));
  auto out = p.Run<float>("above", {F({2, 4}, {0, -1, 2, 0.5, -1, -2, 0, -3}),
                                    F({4}, {3, 0, 0, 0})});
  EXPECT_THAT(out[0].tensor().integers(), ElementsAre(2, 3, 4, 4, 4, 4, 4, 4));
  EXPECT_THAT(out[1].tensor().integers(), ElementsAre(0, 4, 4, 4));
  EXPECT_THAT(p.Errors("mask", {F({2, 2}, {1, 2, 3, 4}), I({1, 1}, {1})}),
              HasSubstr("expects 2 rows of idx, got 1"));
}

TEST(Choices, AssignAndSinkhorn) {
  Program p(R"(
  func.func @assign(%s: tensor<?x2xf32>) -> tensor<?x1xi32> {
    %y = moe.assign %s : tensor<?x2xf32>
    return %y : tensor<?x1xi32>
  }
  func.func @exact(%s: tensor<?x2xf32>) -> tensor<?x1xi32> {
    %y = moe.assign %s exact : tensor<?x2xf32>
    return %y : tensor<?x1xi32>
  }
  func.func @sinkhorn(%z: tensor<?x2xf32>) -> tensor<?x2xf32> {
    %y = moe.sinkhorn %z tolerance(0.0) max_iterations(300) : tensor<?x2xf32>
    return %y : tensor<?x2xf32>
  }
  func.func @once(%z: tensor<?x2xf32>) -> tensor<?x2xf32> {
    %y = moe.sinkhorn %z tolerance(0.0) max_iterations(1) : tensor<?x2xf32>
    return %y : tensor<?x2xf32>
  })");
  // All want expert 0; the two that lose least by it go elsewhere.
  EXPECT_THAT(p.Integers("assign", {F({4, 2}, {9, 0, 9, 8, 9, 7, 9, 1})}),
              ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(p.Integers("assign", {F({0, 2}, {})}), ElementsAre());
  EXPECT_THAT(p.Integers("exact", {F({4, 2}, {9, 0, 9, 8, 9, 7, 9, 1})}),
              ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(p.Errors("assign", {F({3, 2}, {1, 2, 3, 4, 5, 6})}),
              HasSubstr("expects tokens that 2 experts divide, got 3"));
  auto z = D({2, 2}, {0, 1, 3, 1});
  auto y = p.Run<double>("sinkhorn", {z})[0].tensor().values().vec();
  EXPECT_NEAR(y[0] + y[1], 0.5, 1e-6);
  EXPECT_NEAR(y[0] + y[2], 0.5, 1e-6);
  EXPECT_NEAR(y[0] * y[3] / (y[1] * y[2]), std::exp(-3.0), 1e-6);
  auto once = p.Run<double>("once", {z})[0].tensor().values().vec();
  EXPECT_GT(std::abs(once[0] - y[0]), 1e-4);
}

TEST(Choices, RandomNumbersOfTheKey) {
  Program p(R"(
  func.func @f(%k: tensor<6xi32>, %like: tensor<?x2x3xf32>) -> (tensor<?x2x3xf32>, tensor<?x2x3xf32>) {
    %n = moe.random normal stream(second_expert) key(%k) like %like : tensor<6xi32>, tensor<?x2x3xf32>
    %u = moe.random uniform stream(jitter) key(%k) like %like : tensor<6xi32>, tensor<?x2x3xf32>
    return %n, %u : tensor<?x2x3xf32>, tensor<?x2x3xf32>
  })");
  namespace ref = ::moe::reference;
  std::vector<int64_t> key = {1, -2, 3, 4, 5, 0};
  auto out =
      p.Run<float>("f", {I({6}, key), F({2, 2, 3}, std::vector<float>(12))});
  std::vector<float> normal(12), uniform(12);
  ref::RandomKey words{uint64_t{0xfffffffe} << 32 | 1, 3, 4, 5};
  ref::RandomValues(words, 2, ref::Distribution::kNormal, 2, 6, normal.data());
  ref::RandomValues(words, 0, ref::Distribution::kUniform, 2, 6,
                    uniform.data());
  EXPECT_EQ(out[0].tensor().values().vec(), normal);
  EXPECT_EQ(out[1].tensor().values().vec(), uniform);
  // The second token alone, on another rank.
  key[4] = 6;
  auto tail =
      p.Run<float>("f", {I({6}, key), F({1, 2, 3}, std::vector<float>(6))});
  EXPECT_EQ(tail[0].tensor().values().vec(),
            std::vector<float>(normal.begin() + 6, normal.end()));
}

TEST(Choices, KeysOfLayers) {
  Program p(R"(
  func.func @f(%k: tensor<6xi32>) -> tensor<2x6xi32> {
    %zero = arith.constant dense<0.0> : tensor<1xf32>
    %r:2 = nn.layers 3 to 5 (%zero) : (tensor<1xf32>) -> (tensor<1xf32>, tensor<2x6xi32>) {
    ^bb0(%i: index, %h: tensor<1xf32>):
      %own = moe.layer_key %k[%i + 10] : tensor<6xi32>
      nn.yield %h, %own : tensor<1xf32>, tensor<6xi32>
    }
    return %r#1 : tensor<2x6xi32>
  })");
  auto out = p.Run<float>("f", {I({6}, {1, -2, 3, 4, 5, 6})});
  EXPECT_THAT(out[0].tensor().integers(),
              ElementsAre(1, -2, 3, 13, 5, 6, 1, -2, 3, 14, 5, 6));
}

TEST(Choices, Losses) {
  Program p(R"(
  func.func @balance(%p: tensor<?x4xf32>, %i: tensor<?x2xi32>, %c: tensor<?xi32>)
      -> (tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>) {
    %0 = moe.balance_loss expert %p, %i coef(0.5) : tensor<?x4xf32>, tensor<?x2xi32> -> tensor<f32>
    %1 = moe.balance_loss device %p, %i coef(1.0) per_choice {devices = 2 : i64} : tensor<?x4xf32>, tensor<?x2xi32> -> tensor<f32>
    %2 = moe.balance_loss communication %p, %i coef(4.0) {devices = 2 : i64, limit = 2 : i64} : tensor<?x4xf32>, tensor<?x2xi32> -> tensor<f32>
    %3 = moe.balance_loss expert %p, %i coef(1.0) seqs(%c : tensor<?xi32>) : tensor<?x4xf32>, tensor<?x2xi32> -> tensor<f32>
    return %0, %1, %2, %3 : tensor<f32>, tensor<f32>, tensor<f32>, tensor<f32>
  }
  func.func @z(%z: tensor<?x2xf32>) -> tensor<f32> {
    %0 = moe.z_loss %z coef(0.1) : tensor<?x2xf32> -> tensor<f32>
    return %0 : tensor<f32>
  }
  func.func @variation(%x: tensor<?x3xf32>) -> (tensor<f32>, tensor<f32>) {
    %0 = moe.variation_loss %x coef(3.0) : tensor<?x3xf32> -> tensor<f32>
    %1 = moe.variation_loss %x coef(1.0) unbiased {eps = 16.0} : tensor<?x3xf32> -> tensor<f32>
    return %0, %1 : tensor<f32>, tensor<f32>
  })");
  auto out = p.Run<double>(
      "balance", {D({2, 4}, {0.5, 0.25, 0.25, 0, 0.25, 0.25, 0.5, 0}),
                  I<double>({2, 2}, {0, 1, 2, 4}), I<double>({3}, {0, 1, 2})});
  auto scalar = [](const Datum<double>& d) { return d.tensor().values()[0]; };
  EXPECT_NEAR(scalar(out[0]), 1, 1e-15);
  EXPECT_NEAR(scalar(out[1]), 5 / 8.0 + 3 / 16.0, 1e-15);
  EXPECT_NEAR(scalar(out[2]), 2, 1e-15);
  // (4 · 0.5 + 4 · 0.25, 4 · 0.5), then the mean.
  EXPECT_NEAR(scalar(out[3]), 2.5, 1e-15);
  EXPECT_NEAR(scalar(p.Run<double>("z", {D({1, 2}, {0, 0})})[0]),
              0.1 * std::log(2.0) * std::log(2.0), 1e-15);
  auto v = p.Run<double>("variation", {D({2, 3}, {1, 2, 3, 3, 0, 3})});
  EXPECT_NEAR(scalar(v[0]), 0.5, 1e-15);
  EXPECT_NEAR(scalar(v[1]), 0.125, 1e-15);
}

// What forward yields, and nothing of backward.
TEST(Choices, CustomVjpRunsForward) {
  Program p(R"(
  func.func @f(%x: tensor<?x2xf32>, %w: tensor<2xf32>) -> (tensor<?x2xf32>, tensor<2xf32>) {
    %0:2 = moe.custom_vjp (%x, %w) : (tensor<?x2xf32>, tensor<2xf32>) -> (tensor<?x2xf32>, tensor<2xf32>) forward {
    ^bb0(%a: tensor<?x2xf32>, %b: tensor<2xf32>):
      %r = nn.activate relu %a : tensor<?x2xf32>
      %s = arith.addf %b, %b : tensor<2xf32>
      moe.yield %r, %s : tensor<?x2xf32>, tensor<2xf32>
    } backward {
    ^bb0(%a: tensor<?x2xf32>, %b: tensor<2xf32>, %r: tensor<?x2xf32>, %s: tensor<2xf32>, %dr: tensor<?x2xf32>, %ds: tensor<2xf32>):
      moe.yield %dr, %ds : tensor<?x2xf32>, tensor<2xf32>
    }
    return %0#0, %0#1 : tensor<?x2xf32>, tensor<2xf32>
  })");
  auto out = p.Run<float>("f", {F({1, 2}, {-1, 3}), F({2}, {4, 5})});
  EXPECT_THAT(out[0].tensor().values(), ElementsAre(0, 3));
  EXPECT_THAT(out[1].tensor().values(), ElementsAre(8, 10));
}

TEST(Choices, RoutersWithInputsLossesStatesAndDenseOnes) {
  Program p(R"(
  moe.router @hash(%x: tensor<?x2xf32>, %ids: tensor<?xi32> {moe.input = "ids"}, %t: tensor<4x2xi32>, %b: tensor<3xf32>)
      -> (!moe.plan<3, 2>, tensor<?x2xf32>, tensor<f32> {moe.loss = "z"}, tensor<3xf32> {moe.state = 3 : i64}) {
    %idx = nn.embedding %ids, %t : tensor<?xi32>, tensor<4x2xi32> -> tensor<?x2xi32>
    %one = nn.fill 1.0 like %x : tensor<?x2xf32> -> tensor<?x2xf32>
    %l = moe.z_loss %x coef(1.0) : tensor<?x2xf32> -> tensor<f32>
    %s = arith.addf %b, %b : tensor<3xf32>
    %plan = moe.make_plan %idx experts(3) : tensor<?x2xi32>
    moe.return %plan, %one, %l, %s : !moe.plan<3, 2>, tensor<?x2xf32>, tensor<f32>, tensor<3xf32>
  }
  moe.router @dense(%x: tensor<?x2xf32>) -> tensor<?x2xf32> {
    moe.return %x : tensor<?x2xf32>
  }
  func.func @f(%x: tensor<?x2xf32>, %ids: tensor<?xi32>, %t: tensor<4x2xi32>, %b: tensor<3xf32>)
      -> (!moe.plan<3, 2>, tensor<?x2xf32>, tensor<f32>, tensor<3xf32>, tensor<?x2xf32>) {
    %0:4 = moe.route @hash(%x, %ids, %t, %b) : (tensor<?x2xf32>, tensor<?xi32>, tensor<4x2xi32>, tensor<3xf32>) -> (!moe.plan<3, 2>, tensor<?x2xf32>, tensor<f32>, tensor<3xf32>)
    %1 = moe.route @dense(%x) : (tensor<?x2xf32>) -> tensor<?x2xf32>
    return %0#0, %0#1, %0#2, %0#3, %1 : !moe.plan<3, 2>, tensor<?x2xf32>, tensor<f32>, tensor<3xf32>, tensor<?x2xf32>
  })");
  std::vector<Datum<float>> inputs = {F({2, 2}, {0, 0, 0, 0}), I({2}, {3, 1}),
                                      I({4, 2}, {0, 0, 1, 2, 0, 0, 2, 0}),
                                      F({3}, {1, 2, 3})};
  auto out = p.Run<float>("f", inputs);
  EXPECT_THAT(out[0].plan().idx, ElementsAre(2, 0, 1, 2));
  EXPECT_THAT(out[1].tensor().values(), Each(1));
  EXPECT_NEAR(out[2].tensor().values()[0], std::log(2.0) * std::log(2.0), 1e-6);
  EXPECT_THAT(out[3].tensor().values(), ElementsAre(2, 4, 6));
  EXPECT_THAT(out[4].tensor().values(), Each(0));
  EXPECT_EQ(p.Run<float>("hash", inputs)[0].plan().idx, out[0].plan().idx);
  inputs[1] = I({2}, {3, 4});
  EXPECT_THAT(p.Errors("f", inputs), HasSubstr("expects ids below 4, got 4"));
}

// A layer in a loop gives its router the inputs of the model: expert and weight
// by id, by position, and by the number of sequences.
TEST(Choices, LayersGiveRoutersTheInputsOfTheModel) {
  const std::string text = R"(
  nn.param @table : tensor<4x1xi32> from [#nn.source<"table", [4, 1]>]
  nn.param @scale : tensor<3x1x1xf32> layers [0, 2] from [#nn.source<"{i}.{e}", [1, 1]>]
  moe.router @r(%x: tensor<?x1xf32>, %at: tensor<?xi32> {moe.input = "positions"}, %t: tensor<4x1xi32>, %ids: tensor<?xi32> {moe.input = "ids"}, %c: tensor<?xi32> {moe.input = "seqs"})
      -> (!moe.plan<3, 1>, tensor<?x1xf32>) {
    %idx = nn.embedding %ids, %t : tensor<?xi32>, tensor<4x1xi32> -> tensor<?x1xi32>
    %a = nn.reshape %at : tensor<?xi32> -> tensor<?x1xi32>
    %w = arith.sitofp %a : tensor<?x1xi32> to tensor<?x1xf32>
    %one = nn.fill 1.0 like %x : tensor<?x1xf32> -> tensor<?x1xf32>
    %n = nn.segment_reduce sum %one seqs(%c) : tensor<?x1xf32>, tensor<?xi32>
    %l = nn.segment_broadcast %n like %x seqs(%c) : tensor<?x1xf32>, tensor<?x1xf32>, tensor<?xi32>
    %wl = arith.mulf %w, %l : tensor<?x1xf32>
    %plan = moe.make_plan %idx experts(3) : tensor<?x1xi32>
    moe.return %plan, %wl : !moe.plan<3, 1>, tensor<?x1xf32>
  }
  nn.model @model(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x1xf32> {
    %x = nn.fill 1.0 like %ids : tensor<?xi32> -> tensor<?x1xf32>
    %y = nn.layers 0 to 2 (%x) : (tensor<?x1xf32>) -> tensor<?x1xf32> {
    ^bb0(%i: index, %h: tensor<?x1xf32>):
      %m = moe.layer %h layer(%i) router(@r, [PARAMS]) experts(3, segments = 1, [@scale]) : tensor<?x1xf32> -> tensor<?x1xf32> body {
      ^bb0(%t: tensor<?x1xf32>, %own: tensor<1x1xf32>):
        %r = nn.linear %t, %own : tensor<?x1xf32>, tensor<1x1xf32>
        moe.yield %r : tensor<?x1xf32>
      } shared_body {
      }
      nn.yield %m : tensor<?x1xf32>
    }
    nn.return %y : tensor<?x1xf32>
  })";
  auto with = [&](const std::string& params) {
    std::string filled = text;
    return filled.replace(filled.find("PARAMS"), 6, params);
  };
  TensorParams<float> params;
  params.set("table", I({4, 1}, {0, 2, 1, 0}));
  params.set("scale", F({2, 3, 1, 1}, {1, 10, 100, 2, 3, 5}));
  const std::vector<Datum<float>> inputs = {
      I({3}, {1, 2, 3}), I({3}, {4, 1, 2}), I({3}, {0, 1, 3})};
  // Per layer: scale of the expert times position times tokens of the sequence.
  Program p(with("@table"));
  EXPECT_THAT(p.Values("model", inputs, &params),
              ElementsAre(100 * 4 * 5 * 4, 10 * 2 * 3 * 2, 1 * 4 * 2 * 4));
  Program more(with("@table, @table"));
  EXPECT_THAT(more.Errors("model", inputs, &params),
              HasSubstr("expects 1 router parameters, got 2"));
  Program none(with(""));
  EXPECT_THAT(none.Errors("model", inputs, &params),
              HasSubstr("a parameter for each argument of the router"));
}

}  // namespace
}  // namespace mlir::moe
