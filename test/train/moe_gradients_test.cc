// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A layers loop over norm, mixture of experts with a shared expert, and
// residual: gradients of input and all parameters against finite differences,
// with ragged and empty experts.

#include "test/train/gradient_check.h"

namespace mlir::moe {
namespace {

constexpr int64_t kHidden = 6, kExperts = 6, kWidth = 3, kShared = 2;

// Softmax over all experts, best 2, weights scaled to sum 1.
constexpr char kMixtral[] = R"(
  %idx = moe.select %p top_k(2) : tensor<?x6xf32>
  %s = moe.pick %p, %idx : tensor<?x6xf32>, tensor<?x2xi32>
  %sum = nn.reduce sum %s axis(1) : tensor<?x2xf32>
  %den = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x2xf32>
  %wt = arith.divf %s, %den : tensor<?x2xf32>)";

// The best 2 of 3 groups, best 2 experts of those, weights times 1.5.
constexpr char kDeepSeek[] = R"(
  %q = moe.group_mask %p groups(3) keep(2) score(max) fill(0.0) : tensor<?x6xf32>
  %idx = moe.select %q top_k(2) : tensor<?x6xf32>
  %s = moe.pick %q, %idx : tensor<?x6xf32>, tensor<?x2xi32>
  %c = arith.constant dense<1.5> : tensor<2xf32>
  %all = nn.broadcast %c like %s : tensor<?x2xf32> axis(0) : tensor<2xf32> -> tensor<?x2xf32>
  %wt = arith.mulf %s, %all : tensor<?x2xf32>)";

// |text| with each @L replaced by the number of layers and @ROUTER by the body
// of the router.
std::string Fill(std::string text, int64_t layers, const std::string& router) {
  auto replace = [&](const std::string& from, const std::string& to) {
    for (size_t at = text.find(from); at != std::string::npos;
         at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  };
  replace("@ROUTER", router);
  replace("@L", std::to_string(layers));
  return text;
}

constexpr char kModel[] = R"(
nn.param @norm : tensor<6xf32> layers [0, @L] from [#nn.source<"{i}.norm", [6]>]
nn.param @gate : tensor<6x6xf32> layers [0, @L] from [#nn.source<"{i}.gate", [6, 6]>]
nn.param @gate_up : tensor<6x6x6xf32> layers [0, @L] from [#nn.source<"{i}.{e}.gate_up", [6, 6]>]
nn.param @down : tensor<6x6x3xf32> layers [0, @L] from [#nn.source<"{i}.{e}.down", [6, 3]>]
nn.param @shared_gate_up : tensor<4x6xf32> layers [0, @L] from [#nn.source<"{i}.shared.gate_up", [4, 6]>]
nn.param @shared_down : tensor<6x2xf32> layers [0, @L] from [#nn.source<"{i}.shared.down", [6, 2]>]
moe.router @router(%x: tensor<?x6xf32>, %w: tensor<6x6xf32>)
    -> (!moe.plan<6, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x6xf32>, tensor<6x6xf32>
  %p = nn.softmax %z axis(1) : tensor<?x6xf32>@ROUTER
  %plan = moe.make_plan %idx experts(6) : tensor<?x2xi32>
  moe.return %plan, %wt : !moe.plan<6, 2>, tensor<?x2xf32>
}
func.func @f(%x: tensor<?x6xf32>) -> (tensor<?x6xf32>, tensor<@Lx6xi32>) {
  %y, %counts = nn.layers 0 to @L (%x) : (tensor<?x6xf32>) -> (tensor<?x6xf32>, tensor<@Lx6xi32>) {
  ^bb0(%i: index, %h: tensor<?x6xf32>):
    %norm = nn.param_get @norm[%i] : tensor<6xf32>
    %gate = nn.param_get @gate[%i] : tensor<6x6xf32>
    %gate_up = nn.param_get @gate_up[%i] : tensor<6x6x6xf32>
    %down = nn.param_get @down[%i] : tensor<6x6x3xf32>
    %shared_gate_up = nn.param_get @shared_gate_up[%i] : tensor<4x6xf32>
    %shared_down = nn.param_get @shared_down[%i] : tensor<6x2xf32>
    %n = nn.rms_norm %h, %norm eps(1.0e-6) : tensor<?x6xf32>, tensor<6xf32>
    %plan, %w = moe.route @router(%n, %gate)
      : (tensor<?x6xf32>, tensor<6x6xf32>) -> (!moe.plan<6, 2>, tensor<?x2xf32>)
    %rows = moe.dispatch %n, %plan : tensor<?x6xf32>, !moe.plan<6, 2>
    %out = moe.experts %rows, %plan params(%gate_up, %down)
        : (tensor<?x6xf32>, !moe.plan<6, 2>, tensor<6x6x6xf32>, tensor<6x6x3xf32>) -> tensor<?x6xf32> {
    ^bb0(%t: tensor<?x6xf32>, %a: tensor<6x6xf32>, %b: tensor<6x3xf32>):
      %0 = nn.linear %t, %a : tensor<?x6xf32>, tensor<6x6xf32>
      %1 = nn.glu silu %0 : tensor<?x6xf32>
      %2 = nn.linear %1, %b : tensor<?x3xf32>, tensor<6x3xf32>
      moe.yield %2 : tensor<?x6xf32>
    }
    %m = moe.combine %out, %plan, %w : tensor<?x6xf32>, !moe.plan<6, 2>, tensor<?x2xf32>
    %s0 = nn.linear %n, %shared_gate_up : tensor<?x6xf32>, tensor<4x6xf32>
    %s1 = nn.glu silu %s0 : tensor<?x4xf32>
    %s2 = nn.linear %s1, %shared_down : tensor<?x2xf32>, tensor<6x2xf32>
    %f = arith.addf %m, %s2 : tensor<?x6xf32>
    %r = arith.addf %h, %f : tensor<?x6xf32>
    %c = moe.counts %plan : !moe.plan<6, 2>
    nn.yield %r, %c : tensor<?x6xf32>, tensor<6xi32>
  }
  return %y, %counts : tensor<?x6xf32>, tensor<@Lx6xi32>
})";

class MoeGradients : public testing::TestWithParam<int64_t> {
 protected:
  void Check(const std::string& name, const char* router, int64_t tokens) {
    const int64_t layers = GetParam();
    GradientCheck check(Fill(kModel, layers, router), {"0"}, 7);
    check.SetParam("norm", {layers, kHidden});
    check.SetParam("gate", {layers, kExperts, kHidden});
    check.SetParam("gate_up", {layers, kExperts, 2 * kWidth, kHidden});
    check.SetParam("down", {layers, kExperts, kHidden, kWidth});
    check.SetParam("shared_gate_up", {layers, 2 * kShared, kHidden});
    check.SetParam("shared_down", {layers, kHidden, kShared});
    auto results = check.Run(name + ", layers: " + std::to_string(layers),
                             {check.Floats({tokens, kHidden})});
    ExpectEmptyExperts(results);
  }

  // Some experts have no rows, others have different numbers of them; the
  // gradient of the former is 0. Results: y, counts, dx, then parameters in the
  // order of their declarations.
  void ExpectEmptyExperts(const std::vector<Datum<double>>& results) {
    const auto counts = results[1].tensor().integers();
    const Tensor<double>& down = results[6].tensor();
    ASSERT_EQ(down.shape(),
              llvm::ArrayRef<int64_t>({GetParam(), kExperts, kHidden, kWidth}));
    int64_t empty = 0, largest = 0, smallest = 1000;
    for (size_t e = 0; e < counts.size(); ++e) {
      largest = std::max(largest, counts[e]);
      if (counts[e] != 0) {
        smallest = std::min(smallest, counts[e]);
        continue;
      }
      ++empty;
      for (int64_t i = 0; i < kHidden * kWidth; ++i)
        EXPECT_EQ(down.values()[e * kHidden * kWidth + i], 0);
    }
    EXPECT_GT(empty, 0);
    EXPECT_GT(largest, smallest);
  }
};

TEST_P(MoeGradients, Mixtral) { Check("mixtral", kMixtral, 4); }
TEST_P(MoeGradients, DeepSeekV2) { Check("deepseek_v2", kDeepSeek, 4); }
INSTANTIATE_TEST_SUITE_P(Layers, MoeGradients, testing::Values(1, 2, 5));

TEST(MoeGradients, KeepsWhatTheBackwardLoopReads) {
  GradientCheck check(Fill(kModel, 3, kMixtral), {"0"});
  const std::string text = check.Text();
  // The plan is kept and made once; parameters are read again.
  EXPECT_THAT(text, testing::HasSubstr("!nn.stack<3 x !moe.plan"));
  auto count = [&](const std::string& what) {
    int n = 0;
    for (size_t at = text.find(what); at != std::string::npos;
         at = text.find(what, at + 1))
      ++n;
    return n;
  };
  EXPECT_EQ(count("moe.make_plan"), 1);
  EXPECT_EQ(count("moe.select"), 1);
  EXPECT_EQ(count("= nn.layers"), 2);
  EXPECT_EQ(count("param_get @gate["), 2);
}

}  // namespace
}  // namespace mlir::moe
