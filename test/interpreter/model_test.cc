// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Programs of the model phase against the same written out in core operations:
// sugar means what its descriptions say, to the bit.
#include <cstdio>

#include "lib/reference/tolerances.h"
#include "test/interpreter/program.h"

namespace mlir::moe {
namespace {

using testing::HasSubstr;

// AT stands for the element of activations.
std::string WithElement(std::string text, const std::string& element) {
  for (size_t at = text.find("AT"); at != std::string::npos;
       at = text.find("AT", at))
    text.replace(at, 2, element);
  return text;
}

constexpr char kParams[] = R"(
nn.param @embed : tensor<32x16xbf16> from [#nn.source<"embed", [32, 16]>]
nn.param @attn_norm : tensor<16xbf16> layers [0, 2] from [#nn.source<"{i}.attn_norm", [16]>]
nn.param @q : tensor<16x16xbf16> layers [0, 2] from [#nn.source<"{i}.q", [16, 16]>]
nn.param @k : tensor<8x16xbf16> layers [0, 2] from [#nn.source<"{i}.k", [8, 16]>]
nn.param @v : tensor<8x16xbf16> layers [0, 2] from [#nn.source<"{i}.v", [8, 16]>]
nn.param @o : tensor<16x16xbf16> layers [0, 2] from [#nn.source<"{i}.o", [16, 16]>]
nn.param @ffn_norm : tensor<16xbf16> layers [0, 2] from [#nn.source<"{i}.ffn_norm", [16]>]
nn.param @gate : tensor<4x16xbf16> layers [0, 2] from [#nn.source<"{i}.gate", [4, 16]>]
nn.param @gate_up : tensor<4x24x16xbf16> layers [0, 2] from [#nn.source<"{i}.{e}.gate_up", [24, 16]>]
nn.param @down : tensor<4x16x12xbf16> layers [0, 2] from [#nn.source<"{i}.{e}.down", [16, 12]>]
nn.param @shared_up : tensor<16x16xbf16> layers [0, 2] from [#nn.source<"{i}.shared_up", [16, 16]>]
nn.param @shared_down : tensor<16x8xbf16> layers [0, 2] from [#nn.source<"{i}.shared_down", [16, 8]>]
nn.param @norm : tensor<16xbf16> from [#nn.source<"norm", [16]>]
nn.param @lm_head : tensor<32x16xbf16> from [#nn.source<"lm_head", [32, 16]>]
nn.param @q_a : tensor<6x16xbf16> from [#nn.source<"q_a", [6, 16]>]
nn.param @q_norm : tensor<6xbf16> from [#nn.source<"q_norm", [6]>]
nn.param @lq : tensor<16x6xbf16> from [#nn.source<"lq", [16, 6]>]
nn.param @kv_a : tensor<9x16xbf16> from [#nn.source<"kv_a", [9, 16]>]
nn.param @kv_a_bias : tensor<9xbf16> from [#nn.source<"kv_a_bias", [9]>]
nn.param @kv_norm : tensor<5xbf16> from [#nn.source<"kv_norm", [5]>]
nn.param @k_up : tensor<2x5x4xbf16> from [#nn.source<"kv_b", [14, 5] strides [35, 1, 5]>]
nn.param @v_up : tensor<2x3x5xbf16> from [#nn.source<"kv_b", [14, 5] offset 20 strides [35, 5, 1]>]
nn.param @lo : tensor<16x6xbf16> from [#nn.source<"lo", [16, 6]>]
nn.param @mlp_up : tensor<16x16xbf16> from [#nn.source<"mlp_up", [16, 16]>]
nn.param @mlp_down : tensor<16x8xbf16> from [#nn.source<"mlp_down", [16, 8]>]
nn.param @mlp_bias : tensor<16xbf16> from [#nn.source<"mlp_bias", [16]>]

moe.router @route(%x: tensor<?x16xf32>, %w: tensor<4x16xbf16>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x16xf32>, tensor<4x16xbf16>
  %p = nn.softmax %z axis(1) : tensor<?x4xf32>
  %idx = moe.select %p top_k(2) : tensor<?x4xf32>
  %s = moe.pick %p, %idx : tensor<?x4xf32>, tensor<?x2xi32>
  %sum = nn.reduce sum %s axis(1) : tensor<?x2xf32>
  %den = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x2xf32>
  %wt = arith.divf %s, %den : tensor<?x2xf32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  moe.return %plan, %wt : !moe.plan<4, 2>, tensor<?x2xf32>
}
)";

constexpr char kModel[] = R"(
nn.model @model(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x32xf32> {
  %table = nn.param_get @embed : tensor<32x16xbf16>
  %x = nn.embedding %ids, %table : tensor<?xi32>, tensor<32x16xbf16> -> tensor<?x16xAT>
  %rope = nn.rope_table %positions scale(1.0) inv_freq([1.0, 0.25]) : tensor<?xi32>
  %y = nn.layers 0 to 2 (%x) : (tensor<?x16xAT>) -> tensor<?x16xAT> {
  ^bb0(%i: index, %h: tensor<?x16xAT>):
    %a = nn.attention %h rope(%rope) positions(%positions) seqs(%seqs) layer(%i) norm(@attn_norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o)
      heads(4, 2, 4) scale(0.5) {window = 3 : i64} : tensor<?x16xAT>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x16xAT>
    %w = nn.param_get @ffn_norm[%i] : tensor<16xbf16>
    %n = nn.rms_norm %a, %w eps(1.0e-5) : tensor<?x16xAT>, tensor<16xbf16>
    %m = moe.layer %n layer(%i) router(@route, [@gate]) experts(4, segments = 1, [@gate_up, @down]) shared([@shared_up, @shared_down])
        : tensor<?x16xAT> -> tensor<?x16xAT> body {
    ^bb0(%t: tensor<?x16xAT>, %gu: tensor<24x16xbf16>, %d: tensor<16x12xbf16>):
      %g = nn.linear %t, %gu : tensor<?x16xAT>, tensor<24x16xbf16>
      %u = nn.glu silu %g : tensor<?x24xAT>
      %r = nn.linear %u, %d : tensor<?x12xAT>, tensor<16x12xbf16>
      moe.yield %r : tensor<?x16xAT>
    } shared_body {
    ^bb0(%t: tensor<?x16xAT>, %gu: tensor<16x16xbf16>, %d: tensor<16x8xbf16>):
      %g = nn.linear %t, %gu : tensor<?x16xAT>, tensor<16x16xbf16>
      %u = nn.glu gelu %g : tensor<?x16xAT>
      %r = nn.linear %u, %d : tensor<?x8xAT>, tensor<16x8xbf16>
      moe.yield %r : tensor<?x16xAT>
    }
    %r = arith.addf %a, %m : tensor<?x16xAT>
    nn.yield %r : tensor<?x16xAT>
  }
  %l = nn.head %y norm(@norm, 1.0e-5) weight(@lm_head) : tensor<?x16xAT> -> tensor<?x32xf32>
  nn.return %l : tensor<?x32xf32>
}
// One layer, written out; the test runs it once for each layer.
func.func @embed_tokens(%ids: tensor<?xi32>, %table: tensor<32x16xbf16>) -> tensor<?x16xAT> {
  %x = nn.embedding %ids, %table : tensor<?xi32>, tensor<32x16xbf16> -> tensor<?x16xAT>
  return %x : tensor<?x16xAT>
}
func.func @one_layer(%h: tensor<?x16xAT>, %i: index, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x16xAT> {
  %rope = nn.rope_table %positions scale(1.0) inv_freq([1.0, 0.25]) : tensor<?xi32>
  %wn = nn.param_get @attn_norm[%i] : tensor<16xbf16>
  %wq = nn.param_get @q[%i] : tensor<16x16xbf16>
  %wk = nn.param_get @k[%i] : tensor<8x16xbf16>
  %wv = nn.param_get @v[%i] : tensor<8x16xbf16>
  %wo = nn.param_get @o[%i] : tensor<16x16xbf16>
  %n = nn.rms_norm %h, %wn eps(1.0e-5) : tensor<?x16xAT>, tensor<16xbf16>
  %q0 = nn.linear %n, %wq : tensor<?x16xAT>, tensor<16x16xbf16>
  %k0 = nn.linear %n, %wk : tensor<?x16xAT>, tensor<8x16xbf16>
  %v0 = nn.linear %n, %wv : tensor<?x16xAT>, tensor<8x16xbf16>
  %q1 = nn.reshape %q0 : tensor<?x16xAT> -> tensor<?x4x4xAT>
  %k1 = nn.reshape %k0 : tensor<?x8xAT> -> tensor<?x2x4xAT>
  %v1 = nn.reshape %v0 : tensor<?x8xAT> -> tensor<?x2x4xAT>
  %q2 = nn.rope half %q1, %rope start(0) : tensor<?x4x4xAT>, tensor<?x4xf32>
  %k2 = nn.rope half %k1, %rope start(0) : tensor<?x2x4xAT>, tensor<?x4xf32>
  %o0 = nn.attend %q2, %k2, %v1 positions(%positions) seqs(%seqs) {scale = 0.5 : f64, window = 3 : i64}
      : tensor<?x4x4xAT>, tensor<?x2x4xAT>, tensor<?x2x4xAT> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x4xAT>
  %o1 = nn.reshape %o0 : tensor<?x4x4xAT> -> tensor<?x16xAT>
  %o2 = nn.linear %o1, %wo : tensor<?x16xAT>, tensor<16x16xbf16>
  %a = arith.addf %h, %o2 : tensor<?x16xAT>
  %fn = nn.param_get @ffn_norm[%i] : tensor<16xbf16>
  %x = nn.rms_norm %a, %fn eps(1.0e-5) : tensor<?x16xAT>, tensor<16xbf16>
  %x32 = CAST
  %wg = nn.param_get @gate[%i] : tensor<4x16xbf16>
  %plan, %weights = moe.route @route(%x32, %wg) : (tensor<?x16xf32>, tensor<4x16xbf16>) -> (!moe.plan<4, 2>, tensor<?x2xf32>)
  %wgu = nn.param_get @gate_up[%i] : tensor<4x24x16xbf16>
  %wd = nn.param_get @down[%i] : tensor<4x16x12xbf16>
  %g = moe.grouped_matmul gather %x, %plan, %wgu : tensor<?x16xAT>, !moe.plan<4, 2>, tensor<4x24x16xbf16>
  %u = nn.glu silu %g : tensor<?x24xAT>
  %r = moe.grouped_matmul %u, %plan, %wd : tensor<?x12xAT>, !moe.plan<4, 2>, tensor<4x16x12xbf16>
  %c = moe.combine %r, %plan, %weights : tensor<?x16xAT>, !moe.plan<4, 2>, tensor<?x2xf32>
  %su = nn.param_get @shared_up[%i] : tensor<16x16xbf16>
  %sd = nn.param_get @shared_down[%i] : tensor<16x8xbf16>
  %s0 = nn.linear %x, %su : tensor<?x16xAT>, tensor<16x16xbf16>
  %s1 = nn.glu gelu %s0 : tensor<?x16xAT>
  %s2 = nn.linear %s1, %sd : tensor<?x8xAT>, tensor<16x8xbf16>
  %m = arith.addf %c, %s2 : tensor<?x16xAT>
  %y = arith.addf %a, %m : tensor<?x16xAT>
  return %y : tensor<?x16xAT>
}
func.func @logits(%y: tensor<?x16xAT>) -> tensor<?x32xAT> {
  %w = nn.param_get @norm : tensor<16xbf16>
  %h = nn.param_get @lm_head : tensor<32x16xbf16>
  %n = nn.rms_norm %y, %w eps(1.0e-5) : tensor<?x16xAT>, tensor<16xbf16>
  %l = nn.linear %n, %h : tensor<?x16xAT>, tensor<32x16xbf16>
  return %l : tensor<?x32xAT>
}
)";

std::string ModelText(const std::string& element) {
  std::string text = kModel;
  const std::string cast =
      element == "bf16"
          ? "arith.extf %x : tensor<?x16xbf16> to tensor<?x16xf32>"
          : "moe.stop_gradient %x : tensor<?x16xf32>";
  text.replace(text.find("CAST"), 4, cast);
  return kParams + WithElement(text, element);
}

// Random values of every parameter that the program declares.
template <typename T>
TensorParams<T> RandomParams(ModuleOp module, uint64_t seed) {
  Random random(seed);
  TensorParams<T> params;
  for (auto param : module.getOps<nn::ParamOp>()) {
    std::vector<int64_t> shape(param.getTensorType().getShape());
    if (auto layers = param.getLayers())
      shape.insert(shape.begin(), (*layers)[1] - (*layers)[0]);
    params.set(param.getSymName(), random.Floats<T>(shape, Element::BF16));
  }
  return params;
}

template <typename T>
void CompareWithLayers(const std::string& element) {
  Program p(ModelText(element));
  auto params = RandomParams<T>(p.module(), 7);
  auto ids = I<T>({9}, {3, 1, 4, 1, 5, 9, 2, 6, 31}),
       positions = I<T>({9}, {0, 0, 1, 2, 3, 4, 5, 0, 1});
  auto seqs = I<T>({4}, {0, 1, 7, 9});
  auto got = p.Run<T>("model", {ids, positions, seqs}, &params)[0].tensor();
  EXPECT_EQ(got.describe(), "9x32xf32");

  auto table = *params.get(*p.module().template getOps<nn::ParamOp>().begin(),
                           std::nullopt, p.module());
  auto h = p.Run<T>("embed_tokens", {ids, table})[0];
  for (int64_t i = 0; i < 2; ++i)
    h = p.Run<T>("one_layer", {h, Tensor<T>::index(i), positions, seqs},
                 &params)[0];
  auto want = p.Run<T>("logits", {h}, &params)[0].tensor();
  EXPECT_EQ(got.values(), want.values());
}

TEST(Model, EqualsItsLayersWrittenOut) { CompareWithLayers<float>("f32"); }
TEST(Model, EqualsItsLayersWrittenOutInBf16) {
  CompareWithLayers<float>("bf16");
}
TEST(Model, EqualsItsLayersWrittenOutInF64) {
  CompareWithLayers<double>("f32");
}

// The bits of a token do not depend on the pack around it.
TEST(Model, TokensDoNotSeeOtherSequences) {
  Program p(ModelText("f32"));
  auto params = RandomParams<float>(p.module(), 8);
  auto all = p.Values<float>(
      "model",
      {I({5}, {3, 1, 4, 1, 5}), I({5}, {0, 1, 0, 1, 2}), I({3}, {0, 2, 5})},
      &params);
  auto one = p.Values<float>(
      "model", {I({3}, {4, 1, 5}), I({3}, {0, 1, 2}), I({2}, {0, 3})}, &params);
  EXPECT_EQ(std::vector<float>(all.begin() + 2 * 32, all.end()), one);
}

// f32 differs from f64 by rounding alone, for the same parameters.
TEST(Model, F32IsCloseToF64) {
  Program p(ModelText("f32"));
  double worst = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    auto params = RandomParams<float>(p.module(), seed);
    auto wide_params = RandomParams<double>(p.module(), seed);
    auto got = p.Values<float>(
        "model", {I({3}, {4, 1, 5}), I({3}, {0, 1, 2}), I({2}, {0, 3})},
        &params);
    auto want =
        p.Values<double>("model",
                         {I<double>({3}, {4, 1, 5}), I<double>({3}, {0, 1, 2}),
                          I<double>({2}, {0, 3})},
                         &wide_params);
    auto c = ::moe::reference::CompareRelative(
        got.data(), want.data(), want.size(), ::moe::reference::kLogitsF32);
    EXPECT_TRUE(c.ok()) << "seed " << seed << ": " << c.Text();
    EXPECT_GT(c.max_err, 0) << "seed " << seed;
    worst = std::max(worst, c.max_err / c.largest);
  }
  std::printf("f32 against f64: largest error %.1e of the largest logit\n",
              worst);
}

// Parameters of bf16 are the same numbers in both precisions.
TEST(Model, RandomParametersAgreeBetweenPrecisions) {
  for (Element element : {Element::BF16, Element::F16, Element::F32}) {
    auto narrow = Random(9).Floats<float>({100}, element);
    auto wide = Random(9).Floats<double>({100}, element);
    for (int64_t i = 0; i < 100; ++i)
      EXPECT_EQ(narrow.values()[i], wide.values()[i]);
  }
}

constexpr char kBlocks[] = R"(
func.func @latent(%x: tensor<?x16xAT>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x16xAT> {
  %rope = nn.rope_table %positions scale(1.5) inv_freq([1.0, 0.25]) : tensor<?xi32>
  %y = nn.latent_attention %x rope(%rope) positions(%positions) seqs(%seqs) norm(@norm, 1.0e-5) q_a(@q_a, @q_norm) q(@lq)
    kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@lo) heads(2) dims(5, 4, 4, 3) latent_eps(1.0e-6) scale(0.375) {kv_a_bias = @kv_a_bias}
    : tensor<?x16xAT>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x16xAT>
  return %y : tensor<?x16xAT>
}
// Keys and values of every head expanded, as published; equal up to rounding.
func.func @expanded(%x: tensor<?x16xAT>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x16xAT> {
  %rope = nn.rope_table %positions scale(1.5) inv_freq([1.0, 0.25]) : tensor<?xi32>
  %wn = nn.param_get @norm : tensor<16xbf16>
  %wqa = nn.param_get @q_a : tensor<6x16xbf16>
  %wqn = nn.param_get @q_norm : tensor<6xbf16>
  %wq = nn.param_get @lq : tensor<16x6xbf16>
  %wkv = nn.param_get @kv_a : tensor<9x16xbf16>
  %bkv = nn.param_get @kv_a_bias : tensor<9xbf16>
  %wkn = nn.param_get @kv_norm : tensor<5xbf16>
  %vup = nn.param_get @v_up : tensor<2x3x5xbf16>
  %wo = nn.param_get @lo : tensor<16x6xbf16>
  %n = nn.rms_norm %x, %wn eps(1.0e-5) : tensor<?x16xAT>, tensor<16xbf16>
  %qa = nn.linear %n, %wqa : tensor<?x16xAT>, tensor<6x16xbf16>
  %qn = nn.rms_norm %qa, %wqn eps(1.0e-6) : tensor<?x6xAT>, tensor<6xbf16>
  %q0 = nn.linear %qn, %wq : tensor<?x6xAT>, tensor<16x6xbf16>
  %q1 = nn.reshape %q0 : tensor<?x16xAT> -> tensor<?x2x8xAT>
  %q = nn.rope interleaved %q1, %rope start(4) : tensor<?x2x8xAT>, tensor<?x4xf32>
  %kv = nn.linear %n, %wkv bias(%bkv : tensor<9xbf16>) : tensor<?x16xAT>, tensor<9x16xbf16>
  %c0 = nn.slice %kv[0, 5] : tensor<?x9xAT>
  %c = nn.rms_norm %c0, %wkn eps(1.0e-6) : tensor<?x5xAT>, tensor<5xbf16>
  %r0 = nn.slice %kv[5, 4] : tensor<?x9xAT>
  %r1 = nn.reshape %r0 : tensor<?x4xAT> -> tensor<?x1x4xAT>
  %r = nn.rope interleaved %r1, %rope start(0) : tensor<?x1x4xAT>, tensor<?x4xf32>
  %down = nn.param_get @k_down : tensor<2x4x5xbf16>
  %c1 = nn.reshape %c : tensor<?x5xAT> -> tensor<?x1x5xAT>
  %c2 = nn.concat %c1, %c1 : tensor<?x1x5xAT>, tensor<?x1x5xAT>
  %ch = nn.reshape %c2 : tensor<?x1x10xAT> -> tensor<?x2x5xAT>
  %r2 = nn.concat %r, %r : tensor<?x1x4xAT>, tensor<?x1x4xAT>
  %rh = nn.reshape %r2 : tensor<?x1x8xAT> -> tensor<?x2x4xAT>
  %kn = nn.head_linear %ch, %down : tensor<?x2x5xAT>, tensor<2x4x5xbf16>
  %k = nn.concat %kn, %rh : tensor<?x2x4xAT>, tensor<?x2x4xAT>
  %v = nn.head_linear %ch, %vup : tensor<?x2x5xAT>, tensor<2x3x5xbf16>
  %a = nn.attend %q, %k, %v positions(%positions) seqs(%seqs) {scale = 0.375 : f64}
      : tensor<?x2x8xAT>, tensor<?x2x8xAT>, tensor<?x2x3xAT> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x2x3xAT>
  %a1 = nn.reshape %a : tensor<?x2x3xAT> -> tensor<?x6xAT>
  %o = nn.linear %a1, %wo : tensor<?x6xAT>, tensor<16x6xbf16>
  %y = arith.addf %x, %o : tensor<?x16xAT>
  return %y : tensor<?x16xAT>
}
nn.param @k_down : tensor<2x4x5xbf16> from [#nn.source<"kv_b", [14, 5] strides [35, 5, 1]>]
func.func @mlp(%x: tensor<?x16xAT>) -> tensor<?x16xAT> {
  %y = nn.mlp %x norm(@norm, 1.0e-5) glu(gelu_tanh, @mlp_up, @mlp_down) {gate_up_bias = @mlp_bias, down_bias = @mlp_bias}
    : tensor<?x16xAT> -> tensor<?x16xAT>
  return %y : tensor<?x16xAT>
}
func.func @mlp_written_out(%x: tensor<?x16xAT>) -> tensor<?x16xAT> {
  %wn = nn.param_get @norm : tensor<16xbf16>
  %wu = nn.param_get @mlp_up : tensor<16x16xbf16>
  %wd = nn.param_get @mlp_down : tensor<16x8xbf16>
  %b = nn.param_get @mlp_bias : tensor<16xbf16>
  %n = nn.rms_norm %x, %wn eps(1.0e-5) : tensor<?x16xAT>, tensor<16xbf16>
  %u = nn.linear %n, %wu bias(%b : tensor<16xbf16>) : tensor<?x16xAT>, tensor<16x16xbf16>
  %g = nn.glu gelu_tanh %u : tensor<?x16xAT>
  %d = nn.linear %g, %wd bias(%b : tensor<16xbf16>) : tensor<?x8xAT>, tensor<16x8xbf16>
  %y = arith.addf %x, %d : tensor<?x16xAT>
  return %y : tensor<?x16xAT>
}
)";

TEST(Blocks, LatentAttentionEqualsItsExpandedForm) {
  Program p(kParams + WithElement(kBlocks, "f32"));
  auto params = RandomParams<double>(p.module(), 11);
  // k_up is the transpose of k_down.
  auto up = Random(12).Floats<double>({2, 5, 4}, Element::BF16);
  std::vector<double> down(40);
  for (int64_t h = 0; h < 2; ++h)
    for (int64_t r = 0; r < 5; ++r)
      for (int64_t n = 0; n < 4; ++n)
        down[(h * 4 + n) * 5 + r] = up.values()[(h * 5 + r) * 4 + n];
  params.set("k_up", up);
  params.set("k_down", D({2, 4, 5}, down, Element::BF16));
  std::vector<Datum<double>> inputs = {Random(13).Floats<double>({6, 16}),
                                       I<double>({6}, {0, 1, 2, 3, 0, 1}),
                                       I<double>({3}, {0, 4, 6})};
  EXPECT_THAT(
      p.Values<double>("latent", inputs, &params),
      testing::Pointwise(testing::DoubleNear(1e-13),
                         p.Values<double>("expanded", inputs, &params)));
}

TEST(Blocks, MlpEqualsItsOperations) {
  for (const char* element : {"f32", "bf16"}) {
    Program p(kParams + WithElement(kBlocks, element));
    auto params = RandomParams<float>(p.module(), 14);
    auto x = Random(15).Floats<float>(
        {4, 16}, std::string(element) == "bf16" ? Element::BF16 : Element::F32);
    EXPECT_EQ(p.Values<float>("mlp", {x}, &params),
              p.Values<float>("mlp_written_out", {x}, &params));
  }
}

TEST(Blocks, RefuseWhatDoesNotFit) {
  Program p(kParams + WithElement(kBlocks, "f32"));
  auto params = RandomParams<float>(p.module(), 16);
  auto x = Random(17).Floats<float>({4, 16});
  EXPECT_THAT(
      p.Errors<float>("latent", {x, I({3}, {0, 1, 2}), I({2}, {0, 4})},
                      &params),
      HasSubstr("'nn.latent_attention' op expects 4 rows of the table, got 3"));
  EXPECT_THAT(p.Errors<float>("mlp", {x}),
              HasSubstr("'nn.mlp' op has no value for @norm"));
}

}  // namespace
}  // namespace mlir::moe
