// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/granite.h"

#include "lib/core/status_macros.h"

#include <cmath>

namespace mlir::moe::frontend {

/// The best K logits, weights their softmax.
static FlatSymbolRefAttr declareRouter(ImportContext &in,
                                       const ExpertsConfig &e, Param gate) {
  return in.model.router(in.modelType, in.common.hidden, e.count, e.topK, gate,
                         {}, [&](RouterBuilder &r, Value x, Value w, Value) {
                           Value z = r.linear(x, w);
                           Value idx = r.select(z, e.topK);
                           return std::pair(idx, r.softmax(r.pick(z, idx)));
                         });
}

/// Scalars of the residual stream; 1 where absent.
static absl::StatusOr<GraniteScales> readScales(::moe::JsonFields &f) {
  GraniteScales out;
  for (auto [key, value] : {std::pair{"embedding_multiplier", &out.embedding},
                            std::pair{"attention_multiplier", &out.attention},
                            std::pair{"residual_multiplier", &out.residual},
                            std::pair{"logits_scaling", &out.logits}}) {
    ASSIGN_OR_RETURN(*value, f.NumberOr(key, 1));
    if (!std::isfinite(static_cast<float>(*value)) || *value == 0)
      return ::moe::Error(::moe::Code::C105, f.where(), ": key '", key,
                          "': ", *value, " is no scale.");
  }
  return out;
}

absl::Status buildGranite(ImportContext &in, bool withShared) {
  RETURN_IF_ERROR(readModel(in, 1e-6));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(ExpertsConfig e,
                   readRouted(in, {"num_local_experts", "num_experts"},
                              "intermediate_size"));
  ASSIGN_OR_RETURN(GraniteScales scales, readScales(in.config));
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("attention_bias", false));
  int64_t shared = 0;
  if (withShared) {
    ASSIGN_OR_RETURN(
        shared, in.config.IntOr("shared_intermediate_size", 0, 0, kMaxWidth));
  }
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 1e4));

  ModelBuilder &m = in.model;
  LayerRange all{0, c.layers};
  FrameParams frame = declareFrame(in);
  AttentionParams attn = declareAttention(in, h, {.qkv = bias, .out = bias});
  attn.scale = scales.attention;
  std::string ffn = "model.layers.{i}.block_sparse_moe.";
  auto fused = [&](llvm::StringRef name, const std::string &pattern,
                   llvm::ArrayRef<int64_t> shape) {
    Source source{.pattern = pattern};
    source.shape.assign(shape.begin(), shape.end());
    if (shape.size() == 3)
      source.strides = {shape[1] * shape[2], shape[2], 1};
    return m.param(name, shape, source, all);
  };
  MoeParams moe{.experts = e.count};
  moe.expert.act = c.act;
  moe.expert.gateUp = fused("gate_up", ffn + "input_linear.weight",
                            {e.count, 2 * e.width, c.hidden});
  moe.expert.down =
      fused("down", ffn + "output_linear.weight", {e.count, c.hidden, e.width});
  moe.gate =
      m.matrix("gate", ffn + "router.layer.weight", e.count, c.hidden, all);
  if (shared) {
    std::string p = "model.layers.{i}.shared_mlp.";
    moe.shared = MlpParams{.act = c.act};
    moe.shared->gateUp = fused("shared_gate_up", p + "input_linear.weight",
                               {2 * shared, c.hidden});
    moe.shared->down =
        fused("shared_down", p + "output_linear.weight", {c.hidden, shared});
  }
  moe.router = declareRouter(in, e, moe.gate);

  Value x = m.scale(m.begin(frame.embed), scales.embedding);
  Value table = m.ropeTable(rope);
  x = m.layers(all, x, [&](Value layer, Value y) {
    Value n = m.rmsNorm(y, frame.attnNorm, layer, c.eps);
    Value a = attention(m, attn, n, table, layer);
    Value r = m.add(y, m.scale(a, scales.residual));
    Value f = m.moeLayer(m.rmsNorm(r, frame.ffnNorm, layer, c.eps), layer, moe);
    return m.add(r, m.scale(f, scales.residual));
  });
  Value n = m.rmsNorm(x, frame.norm, Value(), c.eps);
  Value logits = m.toLogits(m.linear(n, frame.head, {}, Value()));
  m.finish(m.divide(logits, scales.logits));
  return absl::OkStatus();
}

} // namespace mlir::moe::frontend
