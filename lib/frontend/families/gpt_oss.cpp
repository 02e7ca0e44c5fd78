// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// gpt-oss (2025): every other layer attends within a window, a learned sink in
// the softmax of each head, a clamped activation, biases everywhere.
#include "lib/frontend/layer_kinds.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"num_local_experts", KeyUse::Used},
    {"num_experts", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"sliding_window", KeyUse::Used},
    {"layer_types", KeyUse::Used},
    {"swiglu_limit", KeyUse::Used},
    // Written beside num_experts_per_tok and rope_scaling.
    {"experts_per_token", KeyUse::Inert},
    {"initial_context_length", KeyUse::Inert},
    {"swiglu_alpha", KeyUse::Only, "1.702"},
    {"attention_bias", KeyUse::Only, "true"},
    {"mlp_bias", KeyUse::Only, "true|null"},
};

/// The best K of logits with a bias, weights their softmax.
static FlatSymbolRefAttr declareRouter(ImportContext &in,
                                       const ExpertsConfig &e, Param gate,
                                       Param bias) {
  return in.model.router("gpt_oss", in.common.hidden, e.count, e.topK, gate,
                         bias,
                         [&](RouterBuilder &r, Value x, Value w, Value b) {
                           Value z = r.addBias(r.linear(x, w), b);
                           Value idx = r.select(z, e.topK);
                           return std::pair(idx, r.softmax(r.pick(z, idx)));
                         });
}

/// Columns of gate and up take turns. Plain tensors are [E, in, out], those of
/// MXFP4 [E, out, in] in blocks of 32 numbers.
static MlpParams declareExperts(ImportContext &in, const ExpertsConfig &e,
                                LayerRange layers, const std::string &suffix) {
  ModelBuilder &m = in.model;
  std::string p = "model.layers.{i}.mlp.experts.";
  int64_t n = e.count, d = in.common.hidden, w = e.width;
  const auto &quantized = in.weights.quantization();
  bool blocks = quantized && quantized->stored == ::moe::StoredNumber::kF4E2M1;
  auto source = [&](llvm::StringRef name, int64_t rows, int64_t columns) {
    Source out{.pattern = p + name.str(), .shape = {n, columns, rows}};
    if (blocks) {
      int64_t parts = columns / 32;
      out = {.pattern = p + name.str() + "_blocks",
             .shape = {n, rows, parts, 16},
             .scales = Scales{p + name.str() + "_scales", {n, rows, parts}}};
    }
    out.strides = {rows * columns, blocks ? columns : 1, blocks ? 1 : rows};
    return out;
  };
  // Every second row from the first, then from the second.
  auto halves = [&](llvm::StringRef name, Source gate,
                    llvm::SmallVector<int64_t, 3> shape) {
    gate.rows = w;
    Source up = gate;
    up.at = w;
    up.offset = gate.strides[1];
    for (Source *half : {&gate, &up})
      half->strides[1] *= 2;
    return m.param(name.str() + suffix, shape, {gate, up}, layers);
  };
  MlpParams out;
  out.act = nn::Activation::QuickGelu;
  out.shift = 1;
  out.gateUp =
      halves("gate_up", source("gate_up_proj", 2 * w, d), {n, 2 * w, d});
  out.gateUpBias = halves("gate_up_bias",
                          {.pattern = p + "gate_up_proj_bias",
                           .shape = {n, 2 * w},
                           .strides = {2 * w, 1, 0}},
                          {n, 2 * w});
  out.down =
      m.param("down" + suffix, {n, d, w}, source("down_proj", d, w), layers);
  out.downBias = m.param("down_bias" + suffix, {n, d},
                         Source{.pattern = p + "down_proj_bias",
                                .shape = {n, d},
                                .strides = {d, 1, 0}},
                         layers);
  return out;
}

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-5));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(ExpertsConfig e,
                   readRouted(in, {"num_local_experts", "num_experts"},
                              "intermediate_size"));
  ASSIGN_OR_RETURN(int64_t window,
                   in.config.IntOr("sliding_window", 128, 0, kMaxPositions));
  std::vector<LayerKind> layers(c.layers);
  RETURN_IF_ERROR(readWindows(
      in.config, window, [](int64_t i) { return i % 2 == 0; }, layers));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 1.5e5));
  double limit = 7;
  if (in.config.Has("swiglu_limit")) {
    ASSIGN_OR_RETURN(limit, readNonNegative(in.config, "swiglu_limit", 7));
  }

  if (in.weights.quantization() && (c.hidden % 32 || e.width % 32))
    return ::moe::Error(::moe::Code::C106, in.config.where(), ": hidden_size ",
                        c.hidden, " and intermediate_size ", e.width,
                        " are not multiples of 32, which MXFP4 needs.");

  ModelBuilder &m = in.model;
  FrameParams frame = declareFrame(in);
  AttentionParams attn = declareAttention(in, h, {.qkv = true, .out = true});
  attn.sinks = m.vector("sinks", "model.layers.{i}.self_attn.sinks", h.heads,
                        LayerRange{0, c.layers});
  FlatSymbolRefAttr router;
  auto declare = [&](bool, LayerRange range, const std::string &suffix) {
    std::string p = "model.layers.{i}.mlp.router.";
    FeedForward out;
    out.moe.experts = e.count;
    out.moe.expert = declareExperts(in, e, range, suffix);
    out.moe.expert.limit = limit;
    out.moe.gate =
        m.matrix("gate" + suffix, p + "weight", e.count, c.hidden, range);
    out.moe.gateBias =
        m.vector("gate_bias" + suffix, p + "bias", e.count, range);
    m.ofRouter(out.moe.gate);
    if (!router)
      router = declareRouter(in, e, out.moe.gate, out.moe.gateBias);
    out.moe.router = router;
    return out;
  };
  buildDecoder(in, frame, attn, rope, layers, declare);
  return absl::OkStatus();
}

namespace families {
extern const Family gpt_oss;
const Family gpt_oss{"gpt_oss", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
