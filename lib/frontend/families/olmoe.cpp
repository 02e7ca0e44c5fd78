// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// OLMoE (2024): norms over all queries and all keys of a token together, values
// optionally cut to a range, softmax routing over small experts.
#include "lib/frontend/qwen.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"num_experts", KeyUse::Used},
    {"expert_map", KeyUse::Used},
    {"num_local_experts", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},
    {"norm_topk_prob", KeyUse::Used},
    {"clip_qkv", KeyUse::Used},
    {"attention_bias", KeyUse::Used},
    {"head_dim", KeyUse::Only, "null"},
    {"mlp_bias", KeyUse::Only, "false|null"},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-5));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(ExpertsConfig e,
                   readRouted(in, {"num_experts", "num_local_experts"},
                              "intermediate_size"));
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("attention_bias", false));
  ASSIGN_OR_RETURN(bool normalize, in.config.BoolOr("norm_topk_prob", false));
  ASSIGN_OR_RETURN(double clip, readNonNegative(in.config, "clip_qkv", 0));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 1e4));

  FrameParams frame = declareFrame(in);
  AttentionParams attn = declareAttention(in, h, {.qkv = bias, .out = bias});
  declareHeadNorms(in, attn, h.heads * h.headDim, h.kvHeads * h.headDim);
  attn.clip = clip;
  FeedForwardConfig ffn{.experts = e};
  buildDecoder(in, frame, attn, rope, std::vector<LayerKind>(c.layers), ffn,
               [&](Param gate, Param) {
                 return declareSoftmaxRouter(in, "olmoe", e, gate, normalize);
               });
  return absl::OkStatus();
}

namespace families {
extern const Family olmoe;
const Family olmoe{"olmoe", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
