// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// DeepSeek-V2 (2024): latent attention, dense layers first, then experts of
// small width with shared ones beside them, chosen greedily or within the best
// groups.
//
// Pinned to what the released checkpoints compute: weights are always scaled by
// routed_scaling_factor. `norm_topk_prob` is false in all of them; transformers
// never applies it, and neither do we.
#include "lib/frontend/latent.h"

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

namespace {
struct RouterConfig {
  bool grouped;
  int64_t groups = 1, keep = 1;
  double scale;
};
} // namespace

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

static FlatSymbolRefAttr declareRouter(ImportContext &in,
                                       const RouterConfig &config,
                                       const ExpertsConfig &e, Param gate) {
  return in.model.router(
      "deepseek_v2", in.common.hidden, e.count, e.topK, gate, {},
      [&](RouterBuilder &r, Value x, Value w, Value) {
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
  LatentParams a = declareLatent(in, l, frame.attnNorm);
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

  Value x = m.begin(frame.embed);
  Value table = m.ropeTable(rope);
  auto attention = [&](Value layer, Value y) {
    return latentAttention(m, l, a, rope, table, layer, y);
  };
  x = m.layers(denseLayers, x, [&](Value layer, Value y) {
    return m.mlp(attention(layer, y), frame.ffnNorm, c.eps, layer, dense);
  });
  x = m.layers(moeLayers, x, [&](Value layer, Value y) {
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
