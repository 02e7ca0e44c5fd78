// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/layer_kinds.h"

#include "lib/core/status_macros.h"

#include <array>
#include <limits>

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

std::vector<LayerRange> periodsOf(llvm::ArrayRef<LayerKind> layers) {
  constexpr int64_t kMostPeriod = 32;
  int64_t count = layers.size();
  // The least number of blocks from a layer on, and the loop that starts there.
  std::vector<int64_t> least(count + 1, 0);
  std::vector<LayerRange> first(count);
  // Layers from one on that equal the one a period behind them.
  std::vector<std::array<int64_t, kMostPeriod + 1>> same(count + 1);
  for (int64_t lo = count - 1; lo >= 0; --lo) {
    least[lo] = std::numeric_limits<int64_t>::max();
    int64_t most = std::min(kMostPeriod, count - lo);
    for (int64_t period = 1; period <= most; ++period) {
      if (lo + period < count && layers[lo] == layers[lo + period])
        same[lo][period] = same[lo + 1][period] + 1;
      int64_t times = same[lo][period] / period + 1;
      // The last time may belong to what follows.
      for (int64_t n : {times, times - 1}) {
        if (n < (period == 1 ? 1 : 2))
          continue;
        int64_t hi = lo + n * period, blocks = period + least[hi];
        if (blocks < least[lo] || (blocks == least[lo] && hi > first[lo].hi)) {
          least[lo] = blocks;
          first[lo] = {lo, hi, period};
        }
      }
    }
  }
  std::vector<LayerRange> loops;
  for (int64_t lo = 0; lo < count; lo = loops.back().hi)
    loops.push_back(first[lo]);
  return loops;
}

void buildDecoder(
    ImportContext &in, const FrameParams &frame, const AttentionParams &attn,
    const RopeTable &rope, llvm::ArrayRef<LayerKind> layers,
    llvm::function_ref<FeedForward(bool, LayerRange, const std::string &)>
        declare) {
  struct Part {
    LayerKind kind;
    LayerRange range;
    FeedForward ffn;
    AttentionParams attn;
    Param attnNorm, attnNormBias, ffnNorm, ffnNormBias;
  };
  // Parameters are declared in front of the model.
  ModelBuilder &m = in.model;
  llvm::SmallVector<std::vector<Part>> loops;
  int64_t made[2] = {0, 0};
  std::vector<LayerRange> periods = periodsOf(layers);
  bool turns = llvm::any_of(
      periods, [](const LayerRange &period) { return period.step != 1; });
  for (const LayerRange &period : periods) {
    loops.emplace_back();
    for (int64_t lo = period.lo; lo < period.lo + period.step; ++lo) {
      LayerRange range{lo, period.hi, period.step};
      auto own = [&](Param whole) {
        return turns ? m.over(whole, range) : whole;
      };
      int64_t &nth = made[layers[lo].mixture];
      std::string suffix = nth ? "_" + std::to_string(nth) : "";
      ++nth;
      loops.back().push_back({layers[lo], range,
                              declare(layers[lo].mixture, range, suffix),
                              turns ? over(m, attn, range) : attn,
                              own(frame.attnNorm), own(frame.attnNormBias),
                              own(frame.ffnNorm), own(frame.ffnNormBias)});
    }
  }
  double eps = in.common.eps;
  Value x = m.begin(frame.embed);
  Value table = m.ropeTable(rope);
  auto norm = [&](Value y, Param weight, Param bias, Value layer) {
    return frame.layerNorms ? m.layerNorm(y, weight, bias, layer, eps)
                            : m.rmsNorm(y, weight, layer, eps);
  };
  auto block = [&](const Part &part, Value layer, Value y) {
    Value n = norm(y, part.attnNorm, part.attnNormBias, layer);
    Value h =
        m.add(y, attention(m, part.attn, n, table, layer, part.kind.window));
    if (!part.kind.mixture)
      return m.mlp(h, part.ffnNorm, eps, layer, part.ffn.dense);
    Value f = norm(h, part.ffnNorm, part.ffnNormBias, layer);
    return m.add(h, m.moeLayer(f, layer, part.ffn.moe));
  };
  for (const std::vector<Part> &parts : loops)
    x = m.layers(parts.front().range, x, [&](Value layer, Value y) {
      for (const Part &part : parts)
        y = block(part, layer, y);
      return y;
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
    moe.gate = m.matrix("gate" + s, ffn + "gate.weight", e.rows(),
                        in.common.hidden, range);
    m.ofRouter(moe.gate);
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
