// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// DeepSeekMoE (Dai et al. 2024, DeepSeek v1): the blocks of Llama, experts of
// small width with shared ones beside them, softmax routing, dense layers
// first.
#include "lib/frontend/qwen.h"

#include "lib/core/status_macros.h"

#include <algorithm>

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"n_routed_experts", KeyUse::Used},
    {"n_shared_experts", KeyUse::Used},
    {"moe_intermediate_size", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},
    {"first_k_dense_replace", KeyUse::Used},
    {"moe_layer_freq", KeyUse::Used},
    {"norm_topk_prob", KeyUse::Used},
    {"attention_bias", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"scoring_func", KeyUse::Only, "\"softmax\"|null"},
    {"mlp_bias", KeyUse::Only, "false|null"},
    {"auto_map", KeyUse::Inert},
    {"aux_loss_alpha", KeyUse::Training},
    {"seq_aux", KeyUse::Training},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-6));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(ExpertsConfig e, readRouted(in, {"n_routed_experts"},
                                               "moe_intermediate_size"));
  ASSIGN_OR_RETURN(int64_t shared,
                   in.config.IntOr("n_shared_experts", 0, 0, kMaxExperts));
  ASSIGN_OR_RETURN(int64_t first,
                   in.config.IntOr("first_k_dense_replace", 0, 0, kMaxLayers));
  ASSIGN_OR_RETURN(int64_t step,
                   in.config.IntOr("moe_layer_freq", 1, 1, kMaxLayers));
  ASSIGN_OR_RETURN(bool normalize, in.config.BoolOr("norm_topk_prob", false));
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("attention_bias", false));
  std::vector<LayerKind> layers(c.layers);
  for (auto [i, layer] : llvm::enumerate(layers))
    layer.mixture = int64_t(i) >= first && i % step == 0;
  ASSIGN_OR_RETURN(int64_t denseWidth, readDenseWidth(in.config, layers));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 1e4));

  FrameParams frame = declareFrame(in);
  AttentionParams attn = declareAttention(in, h, {.qkv = bias, .out = bias});
  FeedForwardConfig ffn{.experts = e, .denseWidth = denseWidth};
  ffn.segments = std::max<int64_t>(1, (denseWidth + e.width / 2) / e.width);
  ffn.sharedWidth = shared * e.width;
  buildDecoder(in, frame, attn, rope, layers, ffn, [&](Param gate, Param) {
    return declareSoftmaxRouter(in, "deepseek", e, gate, normalize);
  });
  return absl::OkStatus();
}

namespace families {
extern const Family deepseek;
const Family deepseek{"deepseek", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
