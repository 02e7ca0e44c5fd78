// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ERNIE 4.5 MoE (2025): rotation of interleaved pairs, softmax scores with a
// balancing bias, weights scaled to sum 1, shared experts.
#include "lib/frontend/layer_kinds.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"moe_num_experts", KeyUse::Used},
    {"moe_k", KeyUse::Used},
    {"moe_intermediate_size", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},
    {"moe_num_shared_experts", KeyUse::Used},
    {"moe_layer_start_index", KeyUse::Used},
    {"moe_layer_end_index", KeyUse::Used},
    {"moe_layer_interval", KeyUse::Used},
    {"moe_norm_min", KeyUse::Used},
    {"use_bias", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"num_experts", KeyUse::Used},
    {"num_local_experts", KeyUse::Used},
};

static absl::StatusOr<ExpertsConfig> readErnieExperts(ImportContext &in) {
  ExpertsConfig out;
  out.countKey = "moe_num_experts";
  ASSIGN_OR_RETURN(out.count, in.config.Int("moe_num_experts", 1, kMaxExperts));
  ASSIGN_OR_RETURN(out.topK, in.config.Int("moe_k", 1, kMaxExperts));
  ASSIGN_OR_RETURN(out.width,
                   in.config.Int("moe_intermediate_size", 1, kMaxWidth));
  if (out.topK > out.count)
    return ::moe::Error(::moe::Code::C106, in.config.where(), ": moe_k ",
                        out.topK, " is larger than moe_num_experts ", out.count,
                        ".");
  in.weights.setExperts(out.countKey, out.count);
  return out;
}

/// softmax(gate·x), chosen by p + bias, weights p / max(sum, |least|).
static FlatSymbolRefAttr declareRouter(ImportContext &in,
                                       const ExpertsConfig &e, double least,
                                       Param gate, Param bias) {
  return in.model.router(
      "ernie4_5_moe", in.common.hidden, e.count, e.topK, gate, bias,
      [&](RouterBuilder &r, Value x, Value w, Value b) {
        Value p = r.softmax(r.linear(x, w));
        Value idx = r.select(r.addBias(p, b), e.topK);
        return std::pair(idx, r.renormalize(r.pick(p, idx), 0, least));
      });
}

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-5));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(ExpertsConfig e, readErnieExperts(in));
  ASSIGN_OR_RETURN(int64_t shared, in.config.IntOr("moe_num_shared_experts", 0,
                                                   0, kMaxExperts));
  ASSIGN_OR_RETURN(double least,
                   readNonNegative(in.config, "moe_norm_min", 1e-12));
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("use_bias", false));
  ASSIGN_OR_RETURN(int64_t start,
                   in.config.IntOr("moe_layer_start_index", 0, 0, kMaxLayers));
  ASSIGN_OR_RETURN(int64_t end,
                   in.config.IntOr("moe_layer_end_index", -1, -1, kMaxLayers));
  ASSIGN_OR_RETURN(int64_t interval,
                   in.config.IntOr("moe_layer_interval", 1, 1, kMaxLayers));
  if (end < 0)
    end = c.layers - 1;
  std::vector<LayerKind> layers(c.layers);
  for (auto [i, layer] : llvm::enumerate(layers))
    layer.mixture =
        int64_t(i) >= start && int64_t(i) <= end && (i + 1) % interval == 0;
  ASSIGN_OR_RETURN(int64_t denseWidth, readDenseWidth(in.config, layers));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 5e5));

  ModelBuilder &m = in.model;
  FrameParams frame = declareFrame(in);
  if (bias)
    frame.headBias = m.vector("lm_head_bias", "lm_head.bias", c.vocab);
  AttentionParams attn = declareAttention(in, h, {.qkv = bias, .out = bias});
  attn.pairing = nn::RopePairing::Interleaved;
  FeedForwardConfig ffn{.experts = e, .denseWidth = denseWidth};
  ffn.bias = bias;
  ffn.sharedWidth = shared * e.width;
  ffn.gateBias = "moe_statics.e_score_correction_bias";
  ffn.gateBiasShape = {1, e.count};
  buildDecoder(in, frame, attn, rope, layers, ffn,
               [&](Param gate, Param choice) {
                 return declareRouter(in, e, least, gate, choice);
               });
  return absl::OkStatus();
}

namespace families {
extern const Family ernie4_5_moe;
const Family ernie4_5_moe{"ernie4_5_moe", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
