// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The rule of every differentiable operation of nn and moe, alone.

#include "test/train/gradient_check.h"

namespace mlir::moe {
namespace {

using testing::HasSubstr;

Datum<double> Ints(std::vector<int64_t> values) {
  const int64_t size = values.size();
  return I<double>({size}, std::move(values));
}

// Checks @f(|arguments|) -> |result| { |body| } for a body that ends in %y.
void CheckOp(
    const std::string& what, const std::string& arguments,
    const std::string& result, const std::string& body,
    std::vector<std::string> of,
    const std::function<std::vector<Datum<double>>(GradientCheck&)>& inputs) {
  GradientCheck check("func.func @f(" + arguments + ") -> " + result + " {\n" +
                          body + "\nreturn %y : " + result + "\n}",
                      std::move(of), std::hash<std::string>()(what));
  check.Run(what, inputs(check));
}

TEST(OpGradients, Linear) {
  CheckOp("linear",
          "%x: tensor<?x3xf32>, %w: tensor<2x3xf32>, %b: tensor<2xf32>",
          "tensor<?x2xf32>",
          "%y = nn.linear %x, %w bias(%b : tensor<2xf32>) : tensor<?x3xf32>, "
          "tensor<2x3xf32>",
          {"0", "1", "2"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({4, 3}),
                                              c.Floats({2, 3}), c.Floats({2})};
          });
  CheckOp("head_linear", "%x: tensor<?x2x3xf32>, %w: tensor<2x4x3xf32>",
          "tensor<?x2x4xf32>",
          "%y = nn.head_linear %x, %w : tensor<?x2x3xf32>, tensor<2x4x3xf32>",
          {"0", "1"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({3, 2, 3}),
                                              c.Floats({2, 4, 3})};
          });
}

TEST(OpGradients, Norms) {
  CheckOp("rms_norm", "%x: tensor<?x2x5xf32>, %w: tensor<5xf32>",
          "tensor<?x2x5xf32>",
          "%y = nn.rms_norm %x, %w eps(1.0e-3) : tensor<?x2x5xf32>, "
          "tensor<5xf32>",
          {"0", "1"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({3, 2, 5}),
                                              c.Floats({5})};
          });
  CheckOp("layer_norm",
          "%x: tensor<?x5xf32>, %w: tensor<5xf32>, %b: tensor<5xf32>",
          "tensor<?x5xf32>",
          "%y = nn.layer_norm %x, %w bias(%b : tensor<5xf32>) eps(1.0e-3) : "
          "tensor<?x5xf32>, tensor<5xf32>",
          {"0", "1", "2"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({3, 5}), c.Floats({5}),
                                              c.Floats({5})};
          });
}

TEST(OpGradients, Activations) {
  for (std::string act :
       {"identity", "silu", "gelu", "gelu_tanh", "relu", "sigmoid", "tanh"}) {
    CheckOp("glu " + act, "%x: tensor<?x6xf32>", "tensor<?x3xf32>",
            "%y = nn.glu " + act + " %x : tensor<?x6xf32>", {"0"},
            [](GradientCheck& c) {
              return std::vector<Datum<double>>{c.Floats({4, 6})};
            });
    CheckOp("activate " + act, "%x: tensor<?x2x3xf32>", "tensor<?x2x3xf32>",
            "%y = nn.activate " + act + " %x : tensor<?x2x3xf32>", {"0"},
            [](GradientCheck& c) {
              return std::vector<Datum<double>>{c.Floats({4, 2, 3})};
            });
  }
}

TEST(OpGradients, Axes) {
  const std::string shapes[] = {"tensor<3x4xf32>", "tensor<?x4xf32>",
                                "tensor<?x3xf32>"};
  for (std::string axis : {"0", "1", "2"}) {
    auto x = [](GradientCheck& c) {
      return std::vector<Datum<double>>{c.Floats({5, 3, 4})};
    };
    const std::string reduced = shapes[axis[0] - '0'];
    CheckOp("softmax " + axis, "%x: tensor<?x3x4xf32>", "tensor<?x3x4xf32>",
            "%y = nn.softmax %x axis(" + axis + ") : tensor<?x3x4xf32>", {"0"},
            x);
    for (std::string kind : {"sum", "mean", "max", "min"})
      CheckOp("reduce " + kind + " " + axis, "%x: tensor<?x3x4xf32>", reduced,
              "%y = nn.reduce " + kind + " %x axis(" + axis +
                  ") : tensor<?x3x4xf32>",
              {"0"}, x);
  }
  CheckOp("broadcast 0", "%x: tensor<3xf32>, %l: tensor<?xi32>",
          "tensor<?x3xf32>",
          "%y = nn.broadcast %x like %l : tensor<?xi32> axis(0) : "
          "tensor<3xf32> -> tensor<?x3xf32>",
          {"0"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({3}), Ints({0, 0})};
          });
  CheckOp("broadcast 1", "%x: tensor<?x3xf32>", "tensor<?x2x3xf32>",
          "%y = nn.broadcast %x axis(1) : tensor<?x3xf32> -> "
          "tensor<?x2x3xf32>",
          {"0"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({4, 3})};
          });
}

TEST(OpGradients, Movement) {
  CheckOp("reshape, slice, concat", "%x: tensor<?x6xf32>, %z: tensor<?x2xf32>",
          "tensor<?x7xf32>",
          R"(%r = nn.reshape %x : tensor<?x6xf32> -> tensor<?x2x3xf32>
             %s = nn.slice %r [1, 2] : tensor<?x2x3xf32>
             %t = nn.reshape %s : tensor<?x2x2xf32> -> tensor<?x4xf32>
             %u = nn.slice %x [0, 1] : tensor<?x6xf32>
             %y = nn.concat %t, %u, %z : tensor<?x4xf32>, tensor<?x1xf32>, tensor<?x2xf32>)",
          {"0", "1"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({3, 6}),
                                              c.Floats({3, 2})};
          });
  CheckOp("last_rows", "%x: tensor<?x3xf32>, %seqs: tensor<?xi32>",
          "tensor<?x3xf32>",
          "%y = nn.last_rows %x, %seqs : tensor<?x3xf32>, tensor<?xi32> -> "
          "tensor<?x3xf32>",
          {"0"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({5, 3}),
                                              Ints({0, 2, 2, 5})};
          });
  CheckOp("embedding", "%ids: tensor<?xi32>, %t: tensor<4x3xbf16>",
          "tensor<?x3xf32>",
          "%y = nn.embedding %ids, %t : tensor<?xi32>, tensor<4x3xbf16> -> "
          "tensor<?x3xf32>",
          {"1"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{
                Ints({2, 0, 2}), c.Floats({4, 3}).converted(Element::BF16)};
          });
}

// -1 marks a token without a target.
TEST(OpGradients, CrossEntropy) {
  CheckOp("cross_entropy", "%x: tensor<?x5xf32>, %t: tensor<?xi32>",
          "tensor<?xf32>",
          "%y = nn.cross_entropy %x, %t : tensor<?x5xf32>, tensor<?xi32>",
          {"0"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({4, 5}),
                                              Ints({3, -1, 0, 4})};
          });
}

TEST(OpGradients, Attention) {
  for (std::string pairing : {"half", "interleaved"})
    CheckOp("rope " + pairing, "%x: tensor<?x2x6xf32>, %p: tensor<?xi32>",
            "tensor<?x2x6xf32>",
            "%t = nn.rope_table %p scale(1.5) inv_freq([1.0, 0.3]) : "
            "tensor<?xi32>\n%y = nn.rope " +
                pairing +
                " %x, %t start(1) : tensor<?x2x6xf32>, tensor<?x4xf32>",
            {"0"}, [](GradientCheck& c) {
              return std::vector<Datum<double>>{c.Floats({3, 2, 6}),
                                                Ints({0, 1, 5})};
            });
  const std::string sequences = "%p: tensor<?xi32>, %s: tensor<?xi32>";
  auto inputs = [](int64_t value_heads) {
    return [=](GradientCheck& c) {
      std::vector<Datum<double>> all{Ints({0, 1, 2, 3, 0, 1, 2}),
                                     Ints({0, 4, 7}), c.Floats({7, 4, 3}),
                                     c.Floats({7, value_heads ? 2 : 1, 3})};
      if (value_heads) all.push_back(c.Floats({7, value_heads, 5}));
      return all;
    };
  };
  const std::string head = sequences +
                           ", %q: tensor<?x4x3xf32>, %k: tensor<?x2x3xf32>, "
                           "%v: tensor<?x2x5xf32>";
  for (std::string window : {"", ", window = 2"})
    CheckOp("attend" + window, head, "tensor<?x4x5xf32>",
            "%y = nn.attend %q, %k, %v positions(%p) seqs(%s) {scale = 0.7" +
                window +
                "} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32> "
                "seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x5xf32>",
            {"2", "3", "4"}, inputs(2));
  CheckOp("attend, latent",
          sequences + ", %q: tensor<?x4x3xf32>, %k: tensor<?x1x3xf32>",
          "tensor<?x4x2xf32>",
          "%y = nn.attend %q, %k positions(%p) seqs(%s) {scale = 0.7, "
          "value_dims = 2} : tensor<?x4x3xf32>, tensor<?x1x3xf32> seqs "
          "tensor<?xi32>, tensor<?xi32> -> tensor<?x4x2xf32>",
          {"2", "3"}, inputs(0));
  auto withSinks = [=](int64_t value_heads) {
    return [=](GradientCheck& c) {
      std::vector<Datum<double>> all = inputs(value_heads)(c);
      all.push_back(c.Floats({4}));
      return all;
    };
  };
  for (std::string more : {"", ", tiled", ", cap = 0.5", ", tiled, cap = 0.5"})
    CheckOp("attend, sinks" + more, head + ", %w: tensor<4xf32>",
            "tensor<?x4x5xf32>",
            "%y = nn.attend %q, %k, %v positions(%p) seqs(%s) sinks(%w : "
            "tensor<4xf32>) {scale = 0.7" +
                more +
                "} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32> "
                "seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x5xf32>",
            {"2", "3", "4", "5"}, withSinks(2));
  for (std::string more : {", tiled", ", cap = 0.5"})
    CheckOp("attend" + more, head, "tensor<?x4x5xf32>",
            "%y = nn.attend %q, %k, %v positions(%p) seqs(%s) {scale = 0.7" +
                more +
                "} : tensor<?x4x3xf32>, tensor<?x2x3xf32>, tensor<?x2x5xf32> "
                "seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x5xf32>",
            {"2", "3", "4"}, inputs(2));
  CheckOp("attend, latent, sinks, cap",
          sequences +
              ", %q: tensor<?x4x3xf32>, %k: tensor<?x1x3xf32>, "
              "%w: tensor<4xf32>",
          "tensor<?x4x2xf32>",
          "%y = nn.attend %q, %k positions(%p) seqs(%s) sinks(%w : "
          "tensor<4xf32>) {scale = 0.7, value_dims = 2, cap = 0.5} : "
          "tensor<?x4x3xf32>, tensor<?x1x3xf32> seqs tensor<?xi32>, "
          "tensor<?xi32> -> tensor<?x4x2xf32>",
          {"2", "3", "4"}, withSinks(0));
}

TEST(OpGradients, Routing) {
  for (std::string score : {"max", "sum_top"})
    CheckOp("group_mask " + score, "%s: tensor<?x6xf32>", "tensor<?x6xf32>",
            "%y = moe.group_mask %s groups(3) keep(2) score(" + score +
                ") fill(-1.0) {top = " + (score == "max" ? "1" : "2") +
                " : i64} : tensor<?x6xf32>",
            {"0"}, [](GradientCheck& c) {
              return std::vector<Datum<double>>{c.Floats({4, 6})};
            });
  // 3 marks an invalid choice.
  const Datum<double> idx = I<double>({2, 2}, {1, 0, 3, 2});
  CheckOp("pick", "%s: tensor<?x3xf32>, %i: tensor<?x2xi32>", "tensor<?x2xf32>",
          "%y = moe.pick %s, %i : tensor<?x3xf32>, tensor<?x2xi32>", {"0"},
          [&](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({2, 3}), idx};
          });
  CheckOp("scatter_pick", "%g: tensor<?x2xf32>, %i: tensor<?x2xi32>",
          "tensor<?x3xf32>",
          "%y = moe.scatter_pick %g, %i experts(3) : tensor<?x2xf32>, "
          "tensor<?x2xi32>",
          {"0"}, [&](GradientCheck& c) {
            return std::vector<Datum<double>>{c.Floats({2, 2}), idx};
          });
}

// Experts with biases and scales, rows that were dropped, an expert that has
// none, and an output width of its own.
TEST(OpGradients, Experts) {
  CheckOp("dispatch, experts, combine",
          "%x: tensor<?x3xf32>, %i: tensor<?x2xi32>, %wt: tensor<?x2xf32>, "
          "%w: tensor<4x2x3xf32>, %b: tensor<4x2xf32>, %s: tensor<4x2xf32>",
          "tensor<?x2xf32>",
          R"(%plan = moe.make_plan %i experts(4) : tensor<?x2xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x3xf32>, !moe.plan<4, 2>
  %out = moe.experts %rows, %plan params(%w, %b, %s)
      : (tensor<?x3xf32>, !moe.plan<4, 2>, tensor<4x2x3xf32>, tensor<4x2xf32>, tensor<4x2xf32>)
      -> tensor<?x2xf32> {
  ^bb0(%t: tensor<?x3xf32>, %we: tensor<2x3xf32>, %be: tensor<2xf32>, %se: tensor<2xf32>):
    %0 = nn.linear %t, %we bias(%be : tensor<2xf32>) : tensor<?x3xf32>, tensor<2x3xf32>
    %1 = nn.broadcast %se like %t : tensor<?x3xf32> axis(0) : tensor<2xf32> -> tensor<?x2xf32>
    %2 = math.tanh %0 : tensor<?x2xf32>
    %3 = arith.mulf %1, %2 : tensor<?x2xf32>
    moe.yield %3 : tensor<?x2xf32>
  }
  %y = moe.combine %out, %plan, %wt : tensor<?x2xf32>, !moe.plan<4, 2>, tensor<?x2xf32>)",
          {"0", "2", "3", "4", "5"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{
                c.Floats({4, 3}), I<double>({4, 2}, {1, 0, 4, 1, 1, 3, 4, 4}),
                c.Floats({4, 2}), c.Floats({4, 2, 3}),
                c.Floats({4, 2}), c.Floats({4, 2})};
          });
  CheckOp("grouped_matmul gather",
          "%x: tensor<?x3xf32>, %i: tensor<?x2xi32>, %w: tensor<4x2x3xf32>",
          "tensor<?x2xf32>",
          R"(%plan = moe.make_plan %i experts(4) : tensor<?x2xi32>
  %y = moe.grouped_matmul gather %x, %plan, %w
    : tensor<?x3xf32>, !moe.plan<4, 2>, tensor<4x2x3xf32>)",
          {"0", "2"}, [](GradientCheck& c) {
            return std::vector<Datum<double>>{
                c.Floats({3, 3}), I<double>({3, 2}, {1, 0, 4, 1, 3, 1}),
                c.Floats({4, 2, 3})};
          });
}

TEST(OpGradients, StopGradient) {
  GradientCheck check(R"(
    func.func @f(%x: tensor<?xf32>) -> tensor<?xf32> {
      %s = moe.stop_gradient %x : tensor<?xf32>
      %y = arith.mulf %x, %s : tensor<?xf32>
      return %y : tensor<?xf32>
    })",
                      {"0"});
  auto results = Interpreter<double>(check.module())
                     .run("f_grad", {D({2}, {3, 5}), D({2}, {1, 10})});
  ASSERT_TRUE(succeeded(results));
  EXPECT_THAT((*results)[1].tensor().values(), testing::ElementsAre(3, 50));
}

}  // namespace
}  // namespace mlir::moe
