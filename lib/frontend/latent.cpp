// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/latent.h"

#include "lib/core/status_macros.h"

#include <cmath>

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::Error;

// The norms of the latents do not follow rms_norm_eps.
static constexpr double kLatentEps = 1e-6;

absl::StatusOr<LatentConfig> readLatent(::moe::JsonFields &f) {
  LatentConfig out{};
  ASSIGN_OR_RETURN(out.heads, f.Int("num_attention_heads", 1, kMaxHeads));
  ASSIGN_OR_RETURN(int64_t kvHeads,
                   f.IntOr("num_key_value_heads", out.heads, 1, kMaxHeads));
  if (kvHeads != out.heads)
    return Error(Code::C106, f.where(), ": num_key_value_heads ", kvHeads,
                 " differs from num_attention_heads ", out.heads,
                 ", but latent attention has as many of both.");
  ASSIGN_OR_RETURN(out.qRank, f.IntOr("q_lora_rank", 0, 1, kMaxWidth));
  ASSIGN_OR_RETURN(out.rank, f.Int("kv_lora_rank", 1, kMaxWidth));
  ASSIGN_OR_RETURN(out.nope, f.Int("qk_nope_head_dim", 1, kMaxHeadDim));
  ASSIGN_OR_RETURN(out.rope, f.Int("qk_rope_head_dim", 1, kMaxHeadDim));
  ASSIGN_OR_RETURN(out.value, f.Int("v_head_dim", 1, kMaxHeadDim));
  ASSIGN_OR_RETURN(out.bias, f.BoolOr("attention_bias", false));
  return out;
}

LatentParams declareLatent(ImportContext &in, const LatentConfig &l,
                           Param norm) {
  ModelBuilder &m = in.model;
  int64_t hidden = in.common.hidden, width = l.nope + l.value;
  LayerRange all{0, in.common.layers};
  std::string p = "model.layers.{i}.self_attn.";
  LatentParams out;
  out.norm = norm;
  out.eps = in.common.eps;
  if (l.qRank) {
    out.qA = m.matrix("q_a", p + "q_a_proj.weight", l.qRank, hidden, all);
    out.qNorm = m.vector("q_norm", p + "q_a_layernorm.weight", l.qRank, all);
    out.q = m.matrix("q", p + "q_b_proj.weight", l.heads * (l.nope + l.rope),
                     l.qRank, all);
  } else {
    out.q = m.matrix("q", p + "q_proj.weight", l.heads * (l.nope + l.rope),
                     hidden, all);
  }
  out.kvA = m.matrix("kv_a", p + "kv_a_proj_with_mqa.weight", l.rank + l.rope,
                     hidden, all);
  out.kvNorm = m.vector("kv_norm", p + "kv_a_layernorm.weight", l.rank, all);
  // Rows of a head: nope for the key, then the value. The key half is read
  // transposed, so that it maps a query into the latent.
  Source kUp{.pattern = p + "kv_b_proj.weight",
             .shape = {l.heads * width, l.rank}};
  Source vUp = kUp;
  kUp.strides = {width * l.rank, 1, l.rank};
  vUp.strides = {width * l.rank, l.rank, 1};
  vUp.offset = l.nope * l.rank;
  out.kUp = m.param("k_up", {l.heads, l.rank, l.nope}, kUp, all);
  out.vUp = m.param("v_up", {l.heads, l.value, l.rank}, vUp, all);
  out.o = m.matrix("o", p + "o_proj.weight", hidden, l.heads * l.value, all);
  if (l.bias) {
    if (l.qRank)
      out.qABias = m.vector("q_a_bias", p + "q_a_proj.bias", l.qRank, all);
    out.kvABias = m.vector("kv_a_bias", p + "kv_a_proj_with_mqa.bias",
                           l.rank + l.rope, all);
    out.oBias = m.vector("o_bias", p + "o_proj.bias", hidden, all);
  }
  return out;
}

Value latentAttention(ModelBuilder &m, const LatentConfig &l,
                      const LatentParams &a, const RopeTable &rope, Value table,
                      Value layer, Value y) {
  Builder &b = m.ops();
  double scale = rope.softmaxMscale * rope.softmaxMscale /
                 std::sqrt(static_cast<double>(l.nope + l.rope));
  return nn::LatentAttentionOp::create(
      m.ops(), m.loc(), y.getType(), y, table, m.positions(), m.seqs(), layer,
      a.norm.symbol, b.getF64FloatAttr(a.eps), a.qA.symbol, a.qNorm.symbol,
      a.q.symbol, a.kvA.symbol, a.kvNorm.symbol, a.kUp.symbol, a.vUp.symbol,
      a.o.symbol, b.getI64IntegerAttr(l.heads), b.getI64IntegerAttr(l.rank),
      b.getI64IntegerAttr(l.nope), b.getI64IntegerAttr(l.rope),
      b.getI64IntegerAttr(l.value), b.getF64FloatAttr(kLatentEps),
      b.getF64FloatAttr(scale), a.qABias.symbol, a.kvABias.symbol,
      a.oBias.symbol, nn::RopePairingAttr::get(b.getContext(), a.pairing));
}

} // namespace mlir::moe::frontend
