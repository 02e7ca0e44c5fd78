// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Qwen1.5-MoE and Qwen2-MoE (2024): biases on queries, keys and values, softmax
// routing, and one shared expert whose result is scaled by a sigmoid per token.
#include "lib/frontend/qwen.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"num_experts", KeyUse::Used},
    {"expert_map", KeyUse::Used},
    {"num_local_experts", KeyUse::Used},
    {"moe_intermediate_size", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},
    {"decoder_sparse_step", KeyUse::Used},
    {"mlp_only_layers", KeyUse::Used},
    {"norm_topk_prob", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"sliding_window", KeyUse::Used},
    {"use_sliding_window", KeyUse::Used},
    {"max_window_layers", KeyUse::Used},
    {"layer_types", KeyUse::Used},
    {"shared_expert_intermediate_size", KeyUse::Used},
    {"qkv_bias", KeyUse::Used},
    {"attention_bias", KeyUse::Only, "false|null"},
    {"mlp_bias", KeyUse::Only, "false|null"},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-6));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(ExpertsConfig e,
                   readRouted(in, {"num_experts", "num_local_experts"},
                              "moe_intermediate_size"));
  ASSIGN_OR_RETURN(
      int64_t shared,
      in.config.Int("shared_expert_intermediate_size", 1, kMaxWidth));
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("qkv_bias", true));
  ASSIGN_OR_RETURN(bool normalize, in.config.BoolOr("norm_topk_prob", false));
  std::vector<LayerKind> layers(c.layers);
  RETURN_IF_ERROR(readSparseLayers(in.config, layers));
  ASSIGN_OR_RETURN(int64_t denseWidth, readDenseWidth(in.config, layers));
  ASSIGN_OR_RETURN(bool slides, in.config.BoolOr("use_sliding_window", false));
  ASSIGN_OR_RETURN(int64_t window,
                   in.config.IntOr("sliding_window", 0, 0, kMaxPositions));
  ASSIGN_OR_RETURN(int64_t windowed,
                   in.config.IntOr("max_window_layers", 28, 0, kMaxLayers));
  RETURN_IF_ERROR(readWindows(
      in.config, window,
      [&](int64_t i) { return slides && i % 2 == 0 && i < windowed; }, layers));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 1e4));

  FrameParams frame = declareFrame(in);
  AttentionParams attn = declareAttention(in, h, {.qkv = bias});
  FeedForwardConfig ffn{.experts = e, .denseWidth = denseWidth};
  ffn.sharedWidth = shared;
  ffn.shared = "shared_expert.";
  ffn.sharedGate = true;
  buildDecoder(in, frame, attn, rope, layers, ffn, [&](Param gate, Param) {
    return declareSoftmaxRouter(in, "qwen2_moe", e, gate, normalize);
  });
  return absl::OkStatus();
}

namespace families {
extern const Family qwen2_moe;
const Family qwen2_moe{"qwen2_moe", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
