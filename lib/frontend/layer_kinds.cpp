// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/layer_kinds.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::Error;

absl::Status readWindows(::moe::JsonFields &config, int64_t window,
                         llvm::function_ref<bool(int64_t)> slides,
                         llvm::MutableArrayRef<LayerKind> layers) {
  const ::moe::Json *types = config.Find("layer_types");
  if (!types || types->is_null()) {
    for (auto [i, layer] : llvm::enumerate(layers))
      layer.window = slides(i) ? window : 0;
    return absl::OkStatus();
  }
  if (!types->is_array() || types->size() != layers.size())
    return Error(Code::C106, config.where(), ": layer_types ", shown(*types),
                 " is not a list of num_hidden_layers ", layers.size(), ".");
  for (auto [type, layer] : llvm::zip(*types, layers)) {
    bool sliding = type == "sliding_attention";
    if (!sliding && type != "full_attention")
      return Error(Code::C109, config.where(),
                   ": key 'layer_types' with value ", shown(type),
                   " is not supported; supported: full_attention, "
                   "sliding_attention.");
    layer.window = sliding ? window : 0;
  }
  return absl::OkStatus();
}

void buildDecoder(
    ImportContext &in, const FrameParams &frame, const AttentionParams &attn,
    const RopeTable &rope, llvm::ArrayRef<LayerKind> layers,
    llvm::function_ref<FeedForward(bool, LayerRange, const std::string &)>
        declare) {
  struct Run {
    LayerKind kind;
    LayerRange range;
    FeedForward ffn;
  };
  // Parameters are declared in front of the model.
  std::vector<Run> runs;
  int64_t count = layers.size(), made[2] = {0, 0};
  for (int64_t lo = 0, hi = 0; lo < count; lo = hi) {
    for (hi = lo + 1; hi < count && layers[hi] == layers[lo];)
      ++hi;
    int64_t &nth = made[layers[lo].mixture];
    std::string suffix = nth ? "_" + std::to_string(nth) : "";
    ++nth;
    runs.push_back({layers[lo], {lo, hi}, {}});
    runs.back().ffn = declare(layers[lo].mixture, {lo, hi}, suffix);
  }
  ModelBuilder &m = in.model;
  double eps = in.common.eps;
  Value x = m.begin(frame.embed);
  Value table = m.ropeTable(rope);
  auto norm = [&](Value y, Param weight, Param bias, Value layer) {
    return frame.layerNorms ? m.layerNorm(y, weight, bias, layer, eps)
                            : m.rmsNorm(y, weight, layer, eps);
  };
  for (const Run &run : runs)
    x = m.layers(run.range, x, [&](Value layer, Value y) {
      Value n = norm(y, frame.attnNorm, frame.attnNormBias, layer);
      Value h = m.add(y, attention(m, attn, n, table, layer, run.kind.window));
      if (!run.kind.mixture)
        return m.mlp(h, frame.ffnNorm, eps, layer, run.ffn.dense);
      Value f = norm(h, frame.ffnNorm, frame.ffnNormBias, layer);
      return m.add(h, m.moeLayer(f, layer, run.ffn.moe));
    });
  if (!frame.headBias && !frame.layerNorms)
    return m.end(x, frame.norm, eps, frame.head);
  Value n = norm(x, frame.norm, frame.normBias, Value());
  m.finish(m.toLogits(m.linear(n, frame.head, frame.headBias, Value())));
}

absl::StatusOr<int64_t> readDenseWidth(::moe::JsonFields &config,
                                       llvm::ArrayRef<LayerKind> layers) {
  if (llvm::all_of(layers, [](LayerKind kind) { return kind.mixture; }))
    return 0;
  return config.Int("intermediate_size", 1, kMaxWidth);
}

void buildDecoder(ImportContext &in, const FrameParams &frame,
                  const AttentionParams &attn, const RopeTable &rope,
                  llvm::ArrayRef<LayerKind> layers,
                  const FeedForwardConfig &config,
                  llvm::function_ref<FlatSymbolRefAttr(Param, Param)> router) {
  ModelBuilder &m = in.model;
  const ExpertsConfig &e = config.experts;
  std::string ffn = "model.layers.{i}.mlp.";
  FlatSymbolRefAttr shared;
  auto declare = [&](bool mixture, LayerRange range, const std::string &s) {
    FeedForward out;
    if (!mixture) {
      out.dense = declareMlp(in, "dense_" + s, ffn, config.denseWidth,
                             config.bias, range);
      return out;
    }
    MoeParams &moe = out.moe;
    moe.experts = e.count;
    moe.segments = config.segments;
    moe.expert = declareExperts(in, ffn, {}, e, range, s);
    moe.gate = m.matrix("gate" + s, ffn + "gate.weight", e.count,
                        in.common.hidden, range);
    if (!config.gateBias.empty())
      moe.gateBias = m.param("gate_bias" + s, {e.count},
                             Source{.pattern = ffn + config.gateBias.str(),
                                    .shape = config.gateBiasShape},
                             range);
    if (config.sharedWidth)
      moe.shared = declareMlp(in, "shared" + s + "_", ffn + config.shared.str(),
                              config.sharedWidth, config.bias, range);
    if (config.sharedGate)
      moe.sharedGate =
          m.matrix("shared_gate" + s, ffn + "shared_expert_gate.weight", 1,
                   in.common.hidden, range);
    if (!shared)
      shared = router(moe.gate, moe.gateBias);
    moe.router = shared;
    return out;
  };
  buildDecoder(in, frame, attn, rope, layers, declare);
}

} // namespace mlir::moe::frontend
