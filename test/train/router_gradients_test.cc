// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The rule of every differentiable operation that routers and dense mixtures
// bring, alone, with empty sequences and dropped choices; and the losses of
// routers as they are expanded, values against their formulas.

#include "mlir/Pass/PassManager.h"
#include "passes/entry/Passes.h"
#include "test/train/gradient_check.h"

namespace mlir::moe {
namespace {

using testing::ElementsAre;
using Inputs = std::vector<Datum<double>>;

Datum<double> Ints(std::vector<int64_t> values) {
  const int64_t size = values.size();
  return I<double>({size}, std::move(values));
}

std::string Function(const std::string& arguments, const std::string& result,
                     const std::string& body) {
  return "func.func @f(" + arguments + ") -> " + result + " {\n" + body +
         "\nreturn %y : " + result + "\n}";
}

void CheckOp(const std::string& what, const std::string& arguments,
             const std::string& result, const std::string& body,
             std::vector<std::string> of,
             const std::function<Inputs(GradientCheck&)>& inputs) {
  GradientCheck check(Function(arguments, result, body), std::move(of),
                      std::hash<std::string>()(what));
  check.Run(what, inputs(check));
}

// A sequence of two tokens, none, three, one; the first and the last token are
// of none.
const std::vector<int64_t> kSeqs = {1, 3, 3, 6, 7};
constexpr int64_t kTokens = 8;

TEST(RouterGradients, Segments) {
  auto inputs = [](GradientCheck& c) {
    return Inputs{c.Floats({kTokens, 3}), Ints(kSeqs)};
  };
  for (std::string kind : {"sum", "mean"})
    CheckOp("segment_reduce " + kind, "%x: tensor<?x3xf32>, %c: tensor<?xi32>",
            "tensor<?x3xf32>",
            "%y = nn.segment_reduce " + kind +
                " %x seqs(%c) : tensor<?x3xf32>, tensor<?xi32>",
            {"0"}, inputs);
  CheckOp("segment_softmax", "%x: tensor<?x3xf32>, %c: tensor<?xi32>",
          "tensor<?x3xf32>",
          "%y = nn.segment_softmax %x seqs(%c) : tensor<?x3xf32>, "
          "tensor<?xi32>",
          {"0"}, inputs);
  CheckOp("segment_broadcast",
          "%x: tensor<?x3xf32>, %l: tensor<?xi32>, %c: tensor<?xi32>",
          "tensor<?x3xf32>",
          "%y = nn.segment_broadcast %x like %l seqs(%c) : tensor<?x3xf32>, "
          "tensor<?xi32>, tensor<?xi32>",
          {"0"}, [](GradientCheck& c) {
            return Inputs{c.Floats({4, 3}),
                          Ints(std::vector<int64_t>(kTokens, 0)), Ints(kSeqs)};
          });
}

TEST(RouterGradients, Mixtures) {
  CheckOp("mix", "%a: tensor<?x2xf32>, %x: tensor<?x3xf32>, %c: tensor<?xi32>",
          "tensor<?x2x3xf32>",
          "%y = moe.mix %a, %x seqs(%c) : tensor<?x2xf32>, tensor<?x3xf32>, "
          "tensor<?xi32>",
          {"0", "1"}, [](GradientCheck& c) {
            return Inputs{c.Floats({kTokens, 2}), c.Floats({kTokens, 3}),
                          Ints(kSeqs)};
          });
  CheckOp(
      "unmix", "%a: tensor<?x2xf32>, %s: tensor<?x2x3xf32>, %c: tensor<?xi32>",
      "tensor<?x3xf32>",
      "%y = moe.unmix %a, %s seqs(%c) : tensor<?x2xf32>, "
      "tensor<?x2x3xf32>, tensor<?xi32>",
      {"0", "1"}, [](GradientCheck& c) {
        return Inputs{c.Floats({kTokens, 2}), c.Floats({4, 2, 3}), Ints(kSeqs)};
      });
}

TEST(RouterGradients, ProductsWithSlots) {
  CheckOp("mix_dot",
          "%x: tensor<?x3xf32>, %s: tensor<?x2x3xf32>, %c: tensor<?xi32>",
          "tensor<?x2xf32>",
          "%y = moe.mix_dot %x, %s seqs(%c) : tensor<?x3xf32>, "
          "tensor<?x2x3xf32>, tensor<?xi32>",
          {"0", "1"}, [](GradientCheck& c) {
            return Inputs{c.Floats({kTokens, 3}), c.Floats({4, 2, 3}),
                          Ints(kSeqs)};
          });
}

TEST(RouterGradients, MergedExperts) {
  CheckOp("merge_params", "%w: tensor<?x3xf32>, %p: tensor<3x2x5xf32>",
          "tensor<?x2x5xf32>",
          "%y = moe.merge_params %w, %p : tensor<?x3xf32>, tensor<3x2x5xf32>",
          {"0", "1"}, [](GradientCheck& c) {
            return Inputs{c.Floats({4, 3}), c.Floats({3, 2, 5})};
          });
  CheckOp("segment_linear",
          "%x: tensor<?x3xf32>, %w: tensor<?x2x3xf32>, %c: tensor<?xi32>",
          "tensor<?x2xf32>",
          "%y = nn.segment_linear %x, %w seqs(%c) : tensor<?x3xf32>, "
          "tensor<?x2x3xf32>, tensor<?xi32>",
          {"0", "1"}, [](GradientCheck& c) {
            return Inputs{c.Floats({kTokens, 3}), c.Floats({4, 2, 3}),
                          Ints(kSeqs)};
          });
}

TEST(RouterGradients, TableOfDynamicRows) {
  CheckOp("embedding of means", "%ids: tensor<?xi32>, %t: tensor<?x3xf32>",
          "tensor<?x3xf32>",
          "%y = nn.embedding %ids, %t : tensor<?xi32>, tensor<?x3xf32> -> "
          "tensor<?x3xf32>",
          {"1"}, [](GradientCheck& c) {
            return Inputs{Ints({2, 0, 2, 1, 2}), c.Floats({4, 3})};
          });
}

TEST(RouterGradients, Choices) {
  // 3 marks an invalid choice.
  const Datum<double> idx = I<double>({3, 2}, {1, 0, 3, 2, 1, 1});
  CheckOp("mask_choices", "%s: tensor<?x3xf32>, %i: tensor<?x2xi32>",
          "tensor<?x3xf32>",
          "%y = moe.mask_choices %s, %i fill(0.5) : tensor<?x3xf32>, "
          "tensor<?x2xi32>",
          {"0"},
          [&](GradientCheck& c) { return Inputs{c.Floats({3, 3}), idx}; });
  const std::string plan =
      "%plan = moe.make_plan %i experts(3) : tensor<?x2xi32>\n";
  CheckOp("ungroup", "%r: tensor<?x4xf32>, %i: tensor<?x2xi32>",
          "tensor<?x2x4xf32>",
          plan +
              "%y = moe.ungroup %r, %plan : tensor<?x4xf32>, "
              "!moe.plan<3, 2>",
          {"0"},
          [&](GradientCheck& c) { return Inputs{c.Floats({5, 4}), idx}; });
  CheckOp("group", "%x: tensor<?x2x4xf32>, %i: tensor<?x2xi32>",
          "tensor<?x4xf32>",
          plan +
              "%y = moe.group %x, %plan : tensor<?x2x4xf32>, "
              "!moe.plan<3, 2>",
          {"0"},
          [&](GradientCheck& c) { return Inputs{c.Floats({3, 2, 4}), idx}; });
  // Choices with capacity, noise and Sinkhorn carry no gradient themselves.
  CheckOp(
      "choices without a gradient", "%z: tensor<?x3xf32>, %k: tensor<6xi32>",
      "tensor<?x2xf32>",
      R"(%n = moe.random normal stream(gate_noise) key(%k) like %z : tensor<6xi32>, tensor<?x3xf32>
  %zn = arith.addf %z, %n : tensor<?x3xf32>
  %h = nn.fill 0.5 like %z : tensor<?x3xf32> -> tensor<?x3xf32>
  %zh = arith.mulf %zn, %h : tensor<?x3xf32>
  %b = moe.sinkhorn %zh tolerance(1.0e-4) max_iterations(20) : tensor<?x3xf32>
  %i = moe.select %b top_k(2) above(0.01) : tensor<?x3xf32>
  %c = moe.capacity %i experts(3) limit(<factor = 1.0>) choice_major : tensor<?x2xi32>
  %p = nn.softmax %zh axis(1) : tensor<?x3xf32>
  %y = moe.pick %p, %c : tensor<?x3xf32>, tensor<?x2xi32>)",
      {"0"}, [](GradientCheck& c) {
        return Inputs{c.Floats({6, 3}), Ints({1, 2, 3, 4, 0, 0})};
      });
}

// The gradient that is given, whatever that of forward is: of three operands,
// one of them integers, and two results, the second of which has no gradient.
TEST(RouterGradients, CustomVjp) {
  const char* text = R"(
  func.func @f(%x: tensor<?x2xf32>, %i: tensor<?xi32>, %w: tensor<2xf32>) -> (tensor<?x2xf32>, tensor<2xf32>) {
    %0:2 = moe.custom_vjp (%x, %i, %w) : (tensor<?x2xf32>, tensor<?xi32>, tensor<2xf32>) -> (tensor<?x2xf32>, tensor<2xf32>) forward {
    ^bb0(%a: tensor<?x2xf32>, %j: tensor<?xi32>, %b: tensor<2xf32>):
      %r = nn.activate relu %a : tensor<?x2xf32>
      %s = arith.mulf %b, %b : tensor<2xf32>
      moe.yield %r, %s : tensor<?x2xf32>, tensor<2xf32>
    } backward {
    ^bb0(%a: tensor<?x2xf32>, %j: tensor<?xi32>, %b: tensor<2xf32>, %r: tensor<?x2xf32>, %s: tensor<2xf32>, %dr: tensor<?x2xf32>, %ds: tensor<2xf32>):
      %da = arith.addf %dr, %r : tensor<?x2xf32>
      %db = arith.addf %ds, %s : tensor<2xf32>
      moe.yield %da, %j, %db : tensor<?x2xf32>, tensor<?xi32>, tensor<2xf32>
    }
    return %0#0, %0#1 : tensor<?x2xf32>, tensor<2xf32>
  })";
  GradientCheck check(text, {"0", "2"});
  auto results = Interpreter<double>(check.module())
                     .run("f_grad", {D({1, 2}, {-3, 4}), I<double>({1}, {7}),
                                     D({2}, {2, 3}), D({1, 2}, {10, 20})});
  ASSERT_TRUE(succeeded(results));
  auto values = [&](int i) { return (*results)[i].tensor().values(); };
  EXPECT_THAT(values(0), ElementsAre(0, 4));
  EXPECT_THAT(values(1), ElementsAre(4, 9));
  EXPECT_THAT(values(2), ElementsAre(10, 24));
  EXPECT_THAT(values(3), ElementsAre(4, 9));
}

// With the derivative of forward written out it is the gradient.
TEST(RouterGradients, CustomVjpThatIsTheDerivative) {
  CheckOp("custom_vjp", "%x: tensor<?x2xf32>, %w: tensor<?x2xf32>",
          "tensor<?x2xf32>",
          R"(%e = math.tanh %x : tensor<?x2xf32>
  %c:2 = moe.custom_vjp (%e, %w) : (tensor<?x2xf32>, tensor<?x2xf32>) -> (tensor<?x2xf32>, tensor<?x2xf32>) forward {
  ^bb0(%a: tensor<?x2xf32>, %b: tensor<?x2xf32>):
    %r = math.exp %a : tensor<?x2xf32>
    %s = arith.mulf %a, %b : tensor<?x2xf32>
    moe.yield %r, %s : tensor<?x2xf32>, tensor<?x2xf32>
  } backward {
  ^bb0(%a: tensor<?x2xf32>, %b: tensor<?x2xf32>, %r: tensor<?x2xf32>, %s: tensor<?x2xf32>, %dr: tensor<?x2xf32>, %ds: tensor<?x2xf32>):
    %0 = arith.mulf %dr, %r : tensor<?x2xf32>
    %1 = arith.mulf %ds, %b : tensor<?x2xf32>
    %da = arith.addf %0, %1 : tensor<?x2xf32>
    %db = arith.mulf %ds, %a : tensor<?x2xf32>
    moe.yield %da, %db : tensor<?x2xf32>, tensor<?x2xf32>
  }
  %y = arith.mulf %c#0, %c#1 : tensor<?x2xf32>)",
          {"0", "1"}, [](GradientCheck& c) {
            return Inputs{c.Floats({3, 2}), c.Floats({3, 2})};
          });
}

struct Loss {
  const char* name;
  const char* body;
};
const Loss kLosses[] = {
    {"expert", "moe.balance_loss expert %p, %i coef(0.7)"},
    {"expert, per choice",
     "moe.balance_loss expert %p, %i coef(0.7) "
     "per_choice"},
    {"expert, sequences",
     "moe.balance_loss expert %p, %i coef(0.7) "
     "per_choice seqs(%c : tensor<?xi32>)"},
    {"device", "moe.balance_loss device %p, %i coef(2.0) {devices = 3 : i64}"},
    {"device, sequences",
     "moe.balance_loss device %p, %i coef(2.0) per_choice "
     "seqs(%c : tensor<?xi32>) {devices = 2 : i64}"},
    {"communication",
     "moe.balance_loss communication %p, %i coef(2.0) "
     "per_choice {devices = 3 : i64, limit = 2 : i64}"},
    {"communication, sequences",
     "moe.balance_loss communication %p, %i coef(2.0) "
     "seqs(%c : tensor<?xi32>) {devices = 2 : i64}"},
    {"z", "moe.z_loss %p coef(0.3)"},
    {"variation", "moe.variation_loss %p coef(0.3)"},
    {"variation, unbiased",
     "moe.variation_loss %p coef(0.3) unbiased {eps = 0.25}"},
};

// Values of the expansion are those of the formulas, and its gradients those of
// finite differences of it.
TEST(RouterGradients, Losses) {
  for (const Loss& loss : kLosses) {
    const bool balance =
        std::string(loss.body).find("balance") != std::string::npos;
    const std::string text =
        Function("%p: tensor<?x6xf32>, %i: tensor<?x2xi32>, %c: tensor<?xi32>",
                 "tensor<f32>",
                 std::string("%y = ") + loss.body + " : tensor<?x6xf32>" +
                     (balance ? ", tensor<?x2xi32>" : "") + " -> tensor<f32>");
    GradientCheck check(text, {"0"}, 5);
    std::vector<int64_t> choices;
    for (int64_t i = 0; i < 2 * kTokens; ++i) choices.push_back(i * i % 7);
    Inputs inputs = {check.Positive({kTokens, 6}),
                     I<double>({kTokens, 2}, choices), Ints(kSeqs)};
    auto got = check.Run(std::string("loss, ") + loss.name, inputs);
    Program direct(text);
    const double want = direct.Values<double>("f", inputs)[0];
    EXPECT_NEAR(got[0].tensor().values()[0], want, 1e-13 * std::abs(want))
        << loss.name;
    EXPECT_GT(std::abs(want), 1e-3);
  }
}

}  // namespace
}  // namespace mlir::moe
