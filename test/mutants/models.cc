// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/mutants/models.h"

namespace mlir::moe {
namespace {

constexpr char kGrouped[] = R"(
nn.param @embed : tensor<32x16xbf16> from [#nn.source<"embed", [32, 16]>]
nn.param @attn_norm : tensor<16xbf16> layers [0, 3] from [#nn.source<"{i}.attn_norm", [16]>]
nn.param @q : tensor<16x16xbf16> layers [0, 3] from [#nn.source<"{i}.q", [16, 16]>]
nn.param @k : tensor<8x16xbf16> layers [0, 3] from [#nn.source<"{i}.k", [8, 16]>]
nn.param @v : tensor<8x16xbf16> layers [0, 3] from [#nn.source<"{i}.v", [8, 16]>]
nn.param @o : tensor<16x16xbf16> layers [0, 3] from [#nn.source<"{i}.o", [16, 16]>]
nn.param @ffn_norm : tensor<16xbf16> layers [0, 3] from [#nn.source<"{i}.ffn_norm", [16]>]
nn.param @gate : tensor<8x16xbf16> layers [0, 3] from [#nn.source<"{i}.gate", [8, 16]>]
nn.param @bias : tensor<8xbf16> layers [0, 3] from [#nn.source<"{i}.bias", [8]>]
nn.param @before : tensor<8x16xf32> layers [0, 3] from [#nn.source<"{i}.{e}.before", [16]>]
nn.param @gate_up : tensor<8x24x16xbf16> layers [0, 3] from [#nn.source<"{i}.{e}.gate_up", [24, 16]>]
nn.param @up_bias : tensor<8x24xbf16> layers [0, 3] from [#nn.source<"{i}.{e}.up_bias", [24]>]
nn.param @down : tensor<8x16x12xbf16> layers [0, 3] from [#nn.source<"{i}.{e}.down", [16, 12]>]
nn.param @after : tensor<8x16xf32> layers [0, 3] from [#nn.source<"{i}.{e}.after", [16]>]
nn.param @norm : tensor<16xbf16> from [#nn.source<"norm", [16]>]
nn.param @lm_head : tensor<32x16xbf16> from [#nn.source<"lm_head", [32, 16]>]

moe.router @route(%x: tensor<?x16xf32>, %w: tensor<8x16xbf16>, %b: tensor<8xbf16>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x16xf32>, tensor<8x16xbf16>
  %p = nn.softmax %z axis(1) : tensor<?x8xf32>
  %m = moe.group_mask %p groups(4) keep(2) score(sum_top) fill(-8.0) {top = 2 : i64} : tensor<?x8xf32>
  %idx = moe.select %m bias(%b : tensor<8xbf16>) top_k(2) : tensor<?x8xf32>
  %s = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x2xi32>
  %sum = nn.reduce sum %s axis(1) : tensor<?x2xf32>
  %den = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x2xf32>
  %wt = arith.divf %s, %den : tensor<?x2xf32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  moe.return %plan, %wt : !moe.plan<8, 2>, tensor<?x2xf32>
}

nn.model @model(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x32xf32> {
  %table = nn.param_get @embed : tensor<32x16xbf16>
  %x = nn.embedding %ids, %table : tensor<?xi32>, tensor<32x16xbf16> -> tensor<?x16xf32>
  %rope = nn.rope_table %positions scale(1.0) inv_freq([1.0, 0.25]) : tensor<?xi32>
  %y = nn.layers 0 to 3 (%x) : (tensor<?x16xf32>) -> tensor<?x16xf32> {
  ^bb0(%i: index, %h: tensor<?x16xf32>):
    %a = nn.attention %h rope(%rope) positions(%positions) seqs(%seqs) layer(%i) norm(@attn_norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o)
      heads(4, 2, 4) scale(0.5) {window = 3 : i64} : tensor<?x16xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x16xf32>
    %w = nn.param_get @ffn_norm[%i] : tensor<16xbf16>
    %n = nn.rms_norm %a, %w eps(1.0e-5) : tensor<?x16xf32>, tensor<16xbf16>
    %m = moe.layer %n layer(%i) router(@route, [@gate, @bias])
        experts(8, segments = 1, [@before, @gate_up, @up_bias, @down, @after])
        : tensor<?x16xf32> -> tensor<?x16xf32> body {
    ^bb0(%t: tensor<?x16xf32>, %before: tensor<16xf32>, %gu: tensor<24x16xbf16>, %b: tensor<24xbf16>, %d: tensor<16x12xbf16>, %after: tensor<16xf32>):
      %s = nn.broadcast %before like %t : tensor<?x16xf32> axis(0) : tensor<16xf32> -> tensor<?x16xf32>
      %r = arith.mulf %t, %s : tensor<?x16xf32>
      %g = nn.linear %r, %gu bias(%b : tensor<24xbf16>) : tensor<?x16xf32>, tensor<24x16xbf16>
      %u = nn.glu silu %g : tensor<?x24xf32>
      %o = nn.linear %u, %d : tensor<?x12xf32>, tensor<16x12xbf16>
      %c = nn.broadcast %after like %o : tensor<?x16xf32> axis(0) : tensor<16xf32> -> tensor<?x16xf32>
      %e = arith.addf %o, %c : tensor<?x16xf32>
      moe.yield %e : tensor<?x16xf32>
    } shared_body {
    }
    %r = arith.addf %a, %m : tensor<?x16xf32>
    nn.yield %r : tensor<?x16xf32>
  }
  %l = nn.head %y norm(@norm, 1.0e-5) weight(@lm_head) : tensor<?x16xf32> -> tensor<?x32xf32>
  nn.return %l : tensor<?x32xf32>
}
)";

// AT stands for the element of activations.
constexpr char kLatent[] = R"(
nn.param @embed : tensor<32x16xbf16> from [#nn.source<"embed", [32, 16]>]
nn.param @attn_norm : tensor<16xbf16> layers [0, 3] from [#nn.source<"{i}.attn_norm", [16]>]
nn.param @q_a : tensor<6x16xbf16> layers [0, 3] from [#nn.source<"{i}.q_a", [6, 16]>]
nn.param @q_norm : tensor<6xbf16> layers [0, 3] from [#nn.source<"{i}.q_norm", [6]>]
nn.param @q : tensor<16x6xbf16> layers [0, 3] from [#nn.source<"{i}.q", [16, 6]>]
nn.param @kv_a : tensor<9x16xbf16> layers [0, 3] from [#nn.source<"{i}.kv_a", [9, 16]>]
nn.param @kv_norm : tensor<5xbf16> layers [0, 3] from [#nn.source<"{i}.kv_norm", [5]>]
nn.param @k_up : tensor<2x5x4xbf16> layers [0, 3] from [#nn.source<"{i}.kv_b", [14, 5] strides [35, 1, 5]>]
nn.param @v_up : tensor<2x3x5xbf16> layers [0, 3] from [#nn.source<"{i}.kv_b", [14, 5] offset 20 strides [35, 5, 1]>]
nn.param @o : tensor<16x6xbf16> layers [0, 3] from [#nn.source<"{i}.o", [16, 6]>]
nn.param @mlp_norm : tensor<16xbf16> from [#nn.source<"mlp_norm", [16]>]
nn.param @mlp_up : tensor<16x16xbf16> from [#nn.source<"mlp_up", [16, 16]>]
nn.param @mlp_down : tensor<16x8xbf16> from [#nn.source<"mlp_down", [16, 8]>]
nn.param @ffn_norm : tensor<16xbf16> layers [1, 3] from [#nn.source<"{i}.ffn_norm", [16]>]
nn.param @gate : tensor<8x16xbf16> layers [1, 3] from [#nn.source<"{i}.gate", [8, 16]>]
nn.param @gate_up : tensor<8x24x16xbf16> layers [1, 3] from [#nn.source<"{i}.{e}.gate_up", [24, 16]>]
nn.param @down : tensor<8x16x12xbf16> layers [1, 3] from [#nn.source<"{i}.{e}.down", [16, 12]>]
nn.param @shared_up : tensor<16x16xbf16> layers [1, 3] from [#nn.source<"{i}.shared_up", [16, 16]>]
nn.param @shared_down : tensor<16x8xbf16> layers [1, 3] from [#nn.source<"{i}.shared_down", [16, 8]>]
nn.param @norm : tensor<16xbf16> from [#nn.source<"norm", [16]>]
nn.param @lm_head : tensor<32x16xbf16> from [#nn.source<"lm_head", [32, 16]>]

moe.router @route(%x: tensor<?x16xf32>, %w: tensor<8x16xbf16>) -> (!moe.plan<8, 3>, tensor<?x3xf32>) {
  %z = nn.linear %x, %w : tensor<?x16xf32>, tensor<8x16xbf16>
  %p = nn.softmax %z axis(1) : tensor<?x8xf32>
  %m = moe.group_mask %p groups(4) keep(2) score(max) fill(0.0) : tensor<?x8xf32>
  %idx = moe.select %m top_k(3) : tensor<?x8xf32>
  %s = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x3xi32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x3xi32>
  moe.return %plan, %s : !moe.plan<8, 3>, tensor<?x3xf32>
}

nn.model @model(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x32xf32> {
  %table = nn.param_get @embed : tensor<32x16xbf16>
  %x = nn.embedding %ids, %table : tensor<?xi32>, tensor<32x16xbf16> -> tensor<?x16xAT>
  %rope = nn.rope_table %positions scale(1.5) inv_freq([1.0, 0.25]) : tensor<?xi32>
  %first = arith.constant 0 : index
  %xa = nn.latent_attention %x rope(%rope) positions(%positions) seqs(%seqs) layer(%first) norm(@attn_norm, 1.0e-5) q_a(@q_a, @q_norm) q(@q)
    kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@o) heads(2) dims(5, 4, 4, 3) latent_eps(1.0e-6) scale(0.375)
    : tensor<?x16xAT>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x16xAT>
  %xm = nn.mlp %xa norm(@mlp_norm, 1.0e-5) glu(silu, @mlp_up, @mlp_down) : tensor<?x16xAT> -> tensor<?x16xAT>
  %y = nn.layers 1 to 3 (%xm) : (tensor<?x16xAT>) -> tensor<?x16xAT> {
  ^bb0(%i: index, %h: tensor<?x16xAT>):
    %a = nn.latent_attention %h rope(%rope) positions(%positions) seqs(%seqs) layer(%i) norm(@attn_norm, 1.0e-5) q_a(@q_a, @q_norm) q(@q)
      kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@o) heads(2) dims(5, 4, 4, 3) latent_eps(1.0e-6) scale(0.375)
      : tensor<?x16xAT>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x16xAT>
    %w = nn.param_get @ffn_norm[%i] : tensor<16xbf16>
    %n = nn.rms_norm %a, %w eps(1.0e-5) : tensor<?x16xAT>, tensor<16xbf16>
    %m = moe.layer %n layer(%i) router(@route, [@gate]) experts(8, segments = 2, [@gate_up, @down]) shared([@shared_up, @shared_down])
        : tensor<?x16xAT> -> tensor<?x16xAT> body {
    ^bb0(%t: tensor<?x16xAT>, %gu: tensor<24x16xbf16>, %d: tensor<16x12xbf16>):
      %g = nn.linear %t, %gu : tensor<?x16xAT>, tensor<24x16xbf16>
      %u = nn.glu silu %g : tensor<?x24xAT>
      %r = nn.linear %u, %d : tensor<?x12xAT>, tensor<16x12xbf16>
      moe.yield %r : tensor<?x16xAT>
    } shared_body {
    ^bb0(%t: tensor<?x16xAT>, %gu: tensor<16x16xbf16>, %d: tensor<16x8xbf16>):
      %g = nn.linear %t, %gu : tensor<?x16xAT>, tensor<16x16xbf16>
      %u = nn.glu silu %g : tensor<?x16xAT>
      %r = nn.linear %u, %d : tensor<?x8xAT>, tensor<16x8xbf16>
      moe.yield %r : tensor<?x16xAT>
    }
    %r = arith.addf %a, %m : tensor<?x16xAT>
    nn.yield %r : tensor<?x16xAT>
  }
  %l = nn.head %y norm(@norm, 1.0e-5) weight(@lm_head) : tensor<?x16xAT> -> tensor<?x32xf32>
  nn.return %l : tensor<?x32xf32>
}
)";

}  // namespace

std::string GroupedModel() { return kGrouped; }

std::string LatentModel(const std::string& element) {
  std::string text = kLatent;
  for (size_t at = text.find("AT"); at != std::string::npos;
       at = text.find("AT", at))
    text.replace(at, 2, element);
  return text;
}

}  // namespace mlir::moe
