// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// GLM-4.5 (2025): grouped-query attention that rotates a part of each head,
// optional norms of queries and keys, the router of DeepSeek-V3, dense layers
// first. Layers for multi-token prediction behind the last are not used.
#include "lib/frontend/layer_kinds.h"
#include "lib/frontend/sigmoid_router.h"

#include "lib/core/status_macros.h"

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
    {"attention_bias", KeyUse::Used},
    {"use_qk_norm", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"partial_rotary_factor", KeyUse::Used},
    {"num_nextn_predict_layers", KeyUse::Used},
    {"mlp_bias", KeyUse::Only, "false|null"},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-5));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(
      ExpertsConfig e,
      readRouted(in, {"n_routed_experts", "num_local_experts", "num_experts"},
                 "moe_intermediate_size"));
  ASSIGN_OR_RETURN(SigmoidRouterConfig routing,
                   readSigmoidRouter(in.config, e));
  ASSIGN_OR_RETURN(int64_t shared,
                   in.config.IntOr("n_shared_experts", 1, 0, kMaxExperts));
  ASSIGN_OR_RETURN(int64_t first,
                   in.config.IntOr("first_k_dense_replace", 1, 0, kMaxLayers));
  ASSIGN_OR_RETURN(int64_t skipped, in.config.IntOr("num_nextn_predict_layers",
                                                    0, 0, kMaxLayers));
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("attention_bias", false));
  ASSIGN_OR_RETURN(bool norms, in.config.BoolOr("use_qk_norm", false));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 1e4, 0.5));
  in.weights.setSkippedLayers(skipped);
  std::vector<LayerKind> layers(c.layers);
  for (auto [i, layer] : llvm::enumerate(layers))
    layer.mixture = int64_t(i) >= first;
  ASSIGN_OR_RETURN(int64_t denseWidth, readDenseWidth(in.config, layers));

  FrameParams frame = declareFrame(in);
  AttentionParams attn = declareAttention(in, h, {.qkv = bias});
  if (norms)
    declareHeadNorms(in, attn, h.headDim, h.headDim);
  FeedForwardConfig ffn{.experts = e, .denseWidth = denseWidth};
  ffn.sharedWidth = shared * e.width;
  ffn.gateBias = "gate.e_score_correction_bias";
  ffn.gateBiasShape = {e.count};
  buildDecoder(
      in, frame, attn, rope, layers, ffn, [&](Param gate, Param choice) {
        return declareSigmoidRouter(in, "glm4_moe", routing, e, gate, choice);
      });
  return absl::OkStatus();
}

namespace families {
extern const Family glm4_moe;
const Family glm4_moe{"glm4_moe", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
