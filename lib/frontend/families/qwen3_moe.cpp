// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Qwen3-MoE (2025): norms of the queries and keys of each head, softmax routing,
// no shared expert.
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
    {"attention_bias", KeyUse::Used},
    {"mlp_bias", KeyUse::Only, "false|null"},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-6));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(ExpertsConfig e,
                   readRouted(in, {"num_experts", "num_local_experts"},
                              "moe_intermediate_size"));
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("attention_bias", false));
  ASSIGN_OR_RETURN(bool normalize, in.config.BoolOr("norm_topk_prob", false));
  std::vector<LayerKind> layers(c.layers);
  RETURN_IF_ERROR(readSparseLayers(in.config, layers));
  ASSIGN_OR_RETURN(int64_t denseWidth, readDenseWidth(in.config, layers));
  ASSIGN_OR_RETURN(bool slides, in.config.BoolOr("use_sliding_window", false));
  ASSIGN_OR_RETURN(int64_t window,
                   in.config.IntOr("sliding_window", 0, 0, kMaxPositions));
  RETURN_IF_ERROR(
      readWindows(in.config, window, [&](int64_t) { return slides; }, layers));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 1e4));

  FrameParams frame = declareFrame(in);
  AttentionParams attn = declareAttention(in, h, {.qkv = bias, .out = bias});
  declareHeadNorms(in, attn, h.headDim, h.headDim);
  FeedForwardConfig ffn{.experts = e, .denseWidth = denseWidth};
  buildDecoder(in, frame, attn, rope, layers, ffn, [&](Param gate, Param) {
    return declareSoftmaxRouter(in, "qwen3_moe", e, gate, normalize);
  });
  return absl::OkStatus();
}

namespace families {
extern const Family qwen3_moe;
const Family qwen3_moe{"qwen3_moe", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
