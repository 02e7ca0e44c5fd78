// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/family.h"

#include "lib/core/status_macros.h"
#include "lib/core/tensor_pattern.h"

namespace mlir::moe::frontend {

namespace families {
#define MOE_FAMILY(name) extern const Family name;
#include "lib/frontend/families.inc"
#undef MOE_FAMILY
} // namespace families

llvm::ArrayRef<const Family *> allFamilies() {
  static const Family *const table[] = {
#define MOE_FAMILY(name) &families::name,
#include "lib/frontend/families.inc"
#undef MOE_FAMILY
  };
  return table;
}

absl::Status readModel(ImportContext &in, double defaultEps,
                       llvm::StringRef actKey) {
  ASSIGN_OR_RETURN(in.common, readCommon(in.config, defaultEps, actKey));
  in.weights.setLayers(in.common.layers);
  return absl::OkStatus();
}

absl::StatusOr<ExpertsConfig>
readRouted(ImportContext &in, llvm::ArrayRef<llvm::StringRef> countKeys,
           llvm::StringRef widthKey) {
  ASSIGN_OR_RETURN(ExpertsConfig out,
                   readExperts(in.config, countKeys, widthKey));
  in.weights.setExperts(out.countKey, out.count);
  return out;
}

absl::StatusOr<RopeTable> readRotary(ImportContext &in, int64_t dims,
                                     double defaultTheta, double partial) {
  ASSIGN_OR_RETURN(RopeTable rope,
                   readRope(in.config, {.dims = dims,
                                        .defaultTheta = defaultTheta,
                                        .partial = partial,
                                        .maxPositions = in.common.maxPositions,
                                        .modelType = in.modelType}));
  for (const std::string &note : rope.notes)
    in.notes.push_back("config.json: rope: " + note);
  if (rope.positions)
    in.common.maxPositions = std::min(in.common.maxPositions, rope.positions);
  return rope;
}

FrameParams declareFrame(ImportContext &in) {
  const CommonConfig &c = in.common;
  ModelBuilder &m = in.model;
  LayerRange all{0, c.layers};
  FrameParams out;
  out.embed = m.matrix("embed", "model.embed_tokens.weight", c.vocab, c.hidden);
  out.attnNorm = m.vector(
      "attn_norm", "model.layers.{i}.input_layernorm.weight", c.hidden, all);
  out.ffnNorm =
      m.vector("ffn_norm", "model.layers.{i}.post_attention_layernorm.weight",
               c.hidden, all);
  out.norm = m.vector("norm", "model.norm.weight", c.hidden);
  out.head = m.matrix("lm_head",
                      c.tied ? "model.embed_tokens.weight" : "lm_head.weight",
                      c.vocab, c.hidden);
  return out;
}

MlpParams declareExperts(ImportContext &in, llvm::StringRef prefix,
                         const ExpertNames &names, const ExpertsConfig &experts,
                         LayerRange layers, llvm::StringRef suffix) {
  std::string gateUpName = "gate_up" + suffix.str(),
              downName = "down" + suffix.str();
  int64_t e = experts.count, width = experts.width, hidden = in.common.hidden;
  ModelBuilder &m = in.model;
  MlpParams out;
  out.act = in.common.act;
  std::string base = prefix.str() + "experts.";
  std::string fused = base + "gate_up_proj";
  if (in.weights.has(::moe::ExpandPattern(fused, layers.lo, 0))) {
    Source gateUp{.pattern = fused, .shape = {e, 2 * width, hidden}};
    gateUp.strides = {2 * width * hidden, hidden, 1};
    Source down{.pattern = base + "down_proj", .shape = {e, hidden, width}};
    down.strides = {hidden * width, width, 1};
    out.gateUp = m.param(gateUpName, gateUp.shape, gateUp, layers);
    out.down = m.param(downName, down.shape, down, layers);
    return out;
  }
  auto pattern = [&](llvm::StringRef part) {
    return base + "{e}." + part.str() + ".weight";
  };
  Source gate{
      .pattern = pattern(names.gate), .shape = {width, hidden}, .rows = width};
  Source up{.pattern = pattern(names.up),
            .shape = {width, hidden},
            .at = width,
            .rows = width};
  Source down{.pattern = pattern(names.down), .shape = {hidden, width}};
  out.gateUp = m.param(gateUpName, {e, 2 * width, hidden}, {gate, up}, layers);
  out.down = m.param(downName, {e, hidden, width}, down, layers);
  return out;
}

MlpParams declareMlp(ImportContext &in, llvm::StringRef symbol,
                     llvm::StringRef prefix, int64_t width, bool bias,
                     LayerRange layers) {
  ModelBuilder &m = in.model;
  int64_t hidden = in.common.hidden;
  std::string s = symbol.str(), p = prefix.str();
  MlpParams out;
  out.act = in.common.act;
  out.gateUp = m.gated(s + "gate_up", p + "gate_proj.weight",
                       p + "up_proj.weight", width, hidden, layers);
  out.down =
      m.matrix(s + "down", p + "down_proj.weight", hidden, width, layers);
  if (bias) {
    out.gateUpBias = m.gated(s + "gate_up_bias", p + "gate_proj.bias",
                             p + "up_proj.bias", width, 0, layers);
    out.downBias =
        m.vector(s + "down_bias", p + "down_proj.bias", hidden, layers);
  }
  return out;
}

} // namespace mlir::moe::frontend
