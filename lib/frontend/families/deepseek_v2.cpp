// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// DeepSeek-V2 (2024): latent attention, dense layers first, then experts of
// small width with shared ones beside them, chosen greedily or within the best
// groups.
//
// Pinned to what the released checkpoints compute: weights are always scaled by
// routed_scaling_factor. `norm_topk_prob` is false in all of them; transformers
// never applies it, and neither do we.
#include "lib/frontend/family.h"

#include "lib/core/status_macros.h"

#include <algorithm>
#include <cmath>

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::Error;
using ::moe::Quoted;

static constexpr ConfigKey keys[] = {
    {"n_routed_experts", KeyUse::Used},
    {"num_local_experts", KeyUse::Used},
    {"num_experts", KeyUse::Used},
    {"n_shared_experts", KeyUse::Used},
    {"moe_intermediate_size", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},
    {"first_k_dense_replace", KeyUse::Used},
    {"topk_method", KeyUse::Used},
    {"n_group", KeyUse::Used},
    {"topk_group", KeyUse::Used},
    {"routed_scaling_factor", KeyUse::Used},
    {"q_lora_rank", KeyUse::Used},
    {"kv_lora_rank", KeyUse::Used},
    {"qk_nope_head_dim", KeyUse::Used},
    {"qk_rope_head_dim", KeyUse::Used},
    {"v_head_dim", KeyUse::Used},
    {"attention_bias", KeyUse::Used},
    {"mlp_bias", KeyUse::Used},
    {"moe_layer_freq", KeyUse::Only, "1|null"},
    {"scoring_func", KeyUse::Only, "\"softmax\"|null"},
    {"rope_interleave", KeyUse::Only, "true|null"},
    {"aux_loss_alpha", KeyUse::Training},
    {"seq_aux", KeyUse::Training},
    {"norm_topk_prob", KeyUse::Used},
    {"head_dim", KeyUse::Inert},
    {"qk_head_dim", KeyUse::Inert},
    {"ep_size", KeyUse::Inert},
    {"num_nextn_predict_layers", KeyUse::Only, "0|null"},
};

// The norms of the latents do not follow rms_norm_eps.
static constexpr double kLatentEps = 1e-6;

namespace {
struct LatentConfig {
  int64_t heads, qRank, rank, nope, rope, value;
  bool bias;
};
struct RouterConfig {
  bool grouped;
  int64_t groups = 1, keep = 1;
  double scale;
};
struct LatentParams {
  Param qA, qNorm, q, kvA, kvNorm, kUp, vUp, o, qABias, kvABias, oBias;
};
} // namespace

static absl::StatusOr<LatentConfig> readLatent(::moe::JsonFields &f) {
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

static absl::StatusOr<RouterConfig> readRouter(::moe::JsonFields &f,
                                               const ExpertsConfig &experts) {
  RouterConfig out{};
  ASSIGN_OR_RETURN(std::string method, f.StringOr("topk_method", "greedy"));
  if (method != "greedy" && method != "group_limited_greedy")
    return Error(Code::C109, f.where(), ": key 'topk_method' with value ",
                 Quoted(method),
                 " is not supported for deepseek_v2; supported: greedy, "
                 "group_limited_greedy.");
  ASSIGN_OR_RETURN(out.scale, f.NumberOr("routed_scaling_factor", 1));
  if (!std::isfinite(static_cast<float>(out.scale)))
    return Error(Code::C105, f.where(),
                 ": key 'routed_scaling_factor': ", out.scale,
                 " is too large for f32.");
  out.grouped = method != "greedy";
  if (!out.grouped)
    return out;
  ASSIGN_OR_RETURN(out.groups, f.Int("n_group", 1, kMaxExperts));
  ASSIGN_OR_RETURN(out.keep, f.Int("topk_group", 1, kMaxExperts));
  if (experts.count % out.groups)
    return Error(Code::C106, f.where(), ": ", experts.countKey, " ",
                 experts.count, " is not a multiple of n_group ", out.groups,
                 ".");
  if (out.keep > out.groups)
    return Error(Code::C106, f.where(), ": topk_group ", out.keep,
                 " is larger than n_group ", out.groups, ".");
  return out;
}

static LatentParams declareLatent(ImportContext &in, const LatentConfig &l) {
  ModelBuilder &m = in.model;
  int64_t hidden = in.common.hidden, width = l.nope + l.value;
  LayerRange all{0, in.common.layers};
  std::string p = "model.layers.{i}.self_attn.";
  LatentParams out;
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

static FlatSymbolRefAttr declareRouter(ImportContext &in,
                                       const RouterConfig &config,
                                       const ExpertsConfig &e, Param gate) {
  return in.model.router(
      "deepseek_v2", in.common.hidden, e.count, e.topK, gate,
      [&](RouterBuilder &r, Value x, Value w) {
        Value scores = r.softmax(r.linear(x, w));
        // Weights are read from the masked scores too.
        if (config.grouped)
          scores = r.groupMask(scores, config.groups, config.keep,
                               GroupScore::Max, 0.0);
        Value idx = r.select(scores, e.topK);
        return std::pair(idx, r.scale(r.pick(scores, idx), config.scale));
      });
}

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-6));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(LatentConfig l, readLatent(in.config));
  ASSIGN_OR_RETURN(
      ExpertsConfig e,
      readRouted(in, {"n_routed_experts", "num_local_experts", "num_experts"},
                 "moe_intermediate_size"));
  ASSIGN_OR_RETURN(RouterConfig routing, readRouter(in.config, e));
  ASSIGN_OR_RETURN(int64_t shared,
                   in.config.IntOr("n_shared_experts", 0, 0, kMaxExperts));
  ASSIGN_OR_RETURN(int64_t firstMoe, in.config.IntOr("first_k_dense_replace", 0,
                                                     0, c.layers - 1));
  ASSIGN_OR_RETURN(int64_t denseWidth,
                   in.config.IntOr("intermediate_size", 0, 1, kMaxWidth));
  if (firstMoe && !denseWidth)
    RETURN_IF_ERROR(in.config.Int("intermediate_size").status()); // missing
  ASSIGN_OR_RETURN(bool mlpBias, in.config.BoolOr("mlp_bias", false));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, l.rope, 1e4));

  ASSIGN_OR_RETURN(bool normalized, in.config.BoolOr("norm_topk_prob", false));
  if (normalized)
    in.notes.push_back("config.json: norm_topk_prob is not applied, as in "
                       "transformers; weights are scaled alone");

  ModelBuilder &m = in.model;
  LayerRange denseLayers{0, firstMoe}, moeLayers{firstMoe, c.layers};
  FrameParams frame = declareFrame(in);
  LatentParams a = declareLatent(in, l);
  std::string ffn = "model.layers.{i}.mlp.";
  MlpParams dense;
  if (firstMoe)
    dense = declareMlp(in, "dense_", ffn, denseWidth, mlpBias, denseLayers);
  MoeParams moe{.experts = e.count};
  // How many routed experts have the width of a dense layer, about.
  moe.segments = std::max<int64_t>(1, (denseWidth + e.width / 2) / e.width);
  moe.expert = declareExperts(in, ffn, {}, e, moeLayers);
  moe.gate =
      m.matrix("gate", ffn + "gate.weight", e.count, c.hidden, moeLayers);
  if (shared)
    moe.shared = declareMlp(in, "shared_", ffn + "shared_experts.",
                            shared * e.width, mlpBias, moeLayers);
  moe.router = declareRouter(in, routing, e, moe.gate);

  double scale = rope.softmaxMscale * rope.softmaxMscale /
                 std::sqrt(static_cast<double>(l.nope + l.rope));
  Value x = m.begin(frame.embed);
  Value table = m.ropeTable(rope);
  auto attention = [&](Value layer, Value y) -> Value {
    Builder &b = m.ops();
    return nn::LatentAttentionOp::create(
        m.ops(), m.loc(), y.getType(), y, table, m.positions(), m.seqs(), layer,
        frame.attnNorm.symbol, b.getF64FloatAttr(c.eps), a.qA.symbol,
        a.qNorm.symbol, a.q.symbol, a.kvA.symbol, a.kvNorm.symbol, a.kUp.symbol,
        a.vUp.symbol, a.o.symbol, b.getI64IntegerAttr(l.heads),
        b.getI64IntegerAttr(l.rank), b.getI64IntegerAttr(l.nope),
        b.getI64IntegerAttr(l.rope), b.getI64IntegerAttr(l.value),
        b.getF64FloatAttr(kLatentEps), b.getF64FloatAttr(scale),
        a.qABias.symbol, a.kvABias.symbol, a.oBias.symbol,
        nn::RopePairingAttr::get(b.getContext(), nn::RopePairing::Interleaved));
  };
  x = m.layers(denseLayers, x, [&](Value layer, Value y) -> Value {
    Builder &b = m.ops();
    Value h = attention(layer, y);
    return nn::MlpOp::create(m.ops(), m.loc(), h.getType(), h, layer,
                             frame.ffnNorm.symbol, b.getF64FloatAttr(c.eps),
                             dense.gateUp.symbol, dense.down.symbol,
                             nn::ActivationAttr::get(b.getContext(), dense.act),
                             dense.gateUpBias.symbol, dense.downBias.symbol);
  });
  x = m.layers(moeLayers, x, [&](Value layer, Value y) -> Value {
    Value h = attention(layer, y);
    return m.add(
        h, m.moeLayer(m.rmsNorm(h, frame.ffnNorm, layer, c.eps), layer, moe));
  });
  m.end(x, frame.norm, c.eps, frame.head);
  return absl::OkStatus();
}

namespace families {
extern const Family deepseek_v2;
const Family deepseek_v2{"deepseek_v2", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
