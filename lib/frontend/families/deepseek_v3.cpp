// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// DeepSeek-V3 (2024): latent attention as in V2, sigmoid scores with a balancing
// bias, experts within the best groups, shared experts. Layers for multi-token
// prediction behind the last are not used.
#include "lib/frontend/latent.h"
#include "lib/frontend/sigmoid_router.h"

#include "lib/core/status_macros.h"

#include <algorithm>

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    MOE_SIGMOID_ROUTER_KEYS,
    {"n_routed_experts", KeyUse::Used},
    {"num_local_experts", KeyUse::Used},
    {"num_experts", KeyUse::Used},
    {"n_shared_experts", KeyUse::Used},
    {"moe_intermediate_size", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},
    {"first_k_dense_replace", KeyUse::Used},
    {"q_lora_rank", KeyUse::Used},
    {"kv_lora_rank", KeyUse::Used},
    {"qk_nope_head_dim", KeyUse::Used},
    {"qk_rope_head_dim", KeyUse::Used},
    {"v_head_dim", KeyUse::Used},
    {"attention_bias", KeyUse::Used},
    {"rope_interleave", KeyUse::Used},
    {"num_nextn_predict_layers", KeyUse::Used},
    {"moe_layer_freq", KeyUse::Only, "1|null"},
    {"mlp_bias", KeyUse::Only, "false|null"},
    {"aux_loss_alpha", KeyUse::Training},
    {"seq_aux", KeyUse::Training},
    {"head_dim", KeyUse::Inert},
    {"qk_head_dim", KeyUse::Inert},
    {"ep_size", KeyUse::Inert},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-6));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(LatentConfig l, readLatent(in.config));
  ASSIGN_OR_RETURN(
      ExpertsConfig e,
      readRouted(in, {"n_routed_experts", "num_local_experts", "num_experts"},
                 "moe_intermediate_size"));
  ASSIGN_OR_RETURN(SigmoidRouterConfig routing,
                   readSigmoidRouter(in.config, e));
  ASSIGN_OR_RETURN(int64_t shared,
                   in.config.IntOr("n_shared_experts", 0, 0, kMaxExperts));
  ASSIGN_OR_RETURN(int64_t first,
                   in.config.IntOr("first_k_dense_replace", 3, 0, kMaxLayers));
  ASSIGN_OR_RETURN(int64_t skipped, in.config.IntOr("num_nextn_predict_layers",
                                                    0, 0, kMaxLayers));
  ASSIGN_OR_RETURN(bool interleaved, in.config.BoolOr("rope_interleave", true));
  int64_t firstMoe = std::min(first, c.layers), denseWidth = 0;
  if (firstMoe) {
    ASSIGN_OR_RETURN(denseWidth,
                     in.config.Int("intermediate_size", 1, kMaxWidth));
  }
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, l.rope, 1e4));
  in.weights.setSkippedLayers(skipped);

  ModelBuilder &m = in.model;
  LayerRange denseLayers{0, firstMoe}, moeLayers{firstMoe, c.layers};
  FrameParams frame = declareFrame(in);
  LatentParams a = declareLatent(in, l, frame.attnNorm);
  if (!interleaved)
    a.pairing = nn::RopePairing::Half;
  std::string ffn = "model.layers.{i}.mlp.";
  MlpParams dense;
  if (firstMoe)
    dense = declareMlp(in, "dense_", ffn, denseWidth, false, denseLayers);
  MoeParams moe{.experts = e.count};
  if (!moeLayers.empty()) {
    moe.segments = std::max<int64_t>(1, (denseWidth + e.width / 2) / e.width);
    moe.expert = declareExperts(in, ffn, {}, e, moeLayers);
    moe.gate =
        m.matrix("gate", ffn + "gate.weight", e.count, c.hidden, moeLayers);
    moe.gateBias = m.vector("gate_bias", ffn + "gate.e_score_correction_bias",
                            e.count, moeLayers);
    if (shared)
      moe.shared = declareMlp(in, "shared_", ffn + "shared_experts.",
                              shared * e.width, false, moeLayers);
    moe.router = declareSigmoidRouter(in, "deepseek_v3", routing, e, moe.gate,
                                      moe.gateBias);
  }

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
extern const Family deepseek_v3;
const Family deepseek_v3{"deepseek_v3", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
