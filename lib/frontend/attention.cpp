// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/attention.h"

#include <cmath>

namespace mlir::moe::frontend {

AttentionParams declareAttention(ImportContext &in, const HeadsConfig &heads,
                                 AttentionBias bias) {
  ModelBuilder &m = in.model;
  LayerRange all{0, in.common.layers};
  int64_t hidden = in.common.hidden, q = heads.heads * heads.headDim,
          kv = heads.kvHeads * heads.headDim;
  std::string p = "model.layers.{i}.self_attn.";
  AttentionParams out;
  out.heads = heads;
  out.q = m.matrix("q", p + "q_proj.weight", q, hidden, all);
  out.k = m.matrix("k", p + "k_proj.weight", kv, hidden, all);
  out.v = m.matrix("v", p + "v_proj.weight", kv, hidden, all);
  out.o = m.matrix("o", p + "o_proj.weight", hidden, q, all);
  if (bias.qkv) {
    out.qBias = m.vector("q_bias", p + "q_proj.bias", q, all);
    out.kBias = m.vector("k_bias", p + "k_proj.bias", kv, all);
    out.vBias = m.vector("v_bias", p + "v_proj.bias", kv, all);
  }
  if (bias.out)
    out.oBias = m.vector("o_bias", p + "o_proj.bias", hidden, all);
  out.normEps = in.common.eps;
  out.scale = 1 / std::sqrt(static_cast<double>(heads.headDim));
  return out;
}

void declareHeadNorms(ImportContext &in, AttentionParams &params, int64_t qSize,
                      int64_t kSize) {
  LayerRange all{0, in.common.layers};
  std::string p = "model.layers.{i}.self_attn.";
  params.qNorm = in.model.vector("q_norm", p + "q_norm.weight", qSize, all);
  params.kNorm = in.model.vector("k_norm", p + "k_norm.weight", kSize, all);
}

AttentionParams over(ModelBuilder &m, AttentionParams params,
                     LayerRange layers) {
  for (Param *param :
       {&params.q, &params.k, &params.v, &params.o, &params.qBias,
        &params.kBias, &params.vBias, &params.oBias, &params.qNorm,
        &params.kNorm, &params.sinks})
    *param = m.over(*param, layers);
  return params;
}

namespace {
/// One projection as [T, heads, head_dim].
class Projection {
public:
  Projection(ModelBuilder &m, const AttentionParams &params, Value x,
             Value layer)
      : m(m), a(params), x(x), layer(layer) {}

  Value make(const Param &weight, const Param &bias, const Param &norm,
             int64_t count) {
    Value y = m.linear(x, weight, bias, layer);
    bool perHead = norm && norm.type.getDimSize(0) == a.heads.headDim &&
                   count * a.heads.headDim != norm.type.getDimSize(0);
    if (norm && !perHead)
      y = m.rmsNorm(y, norm, layer, a.normEps);
    y = heads(m.clamp(y, a.clip), count);
    return perHead ? m.rmsNorm(y, norm, layer, a.normEps) : y;
  }

private:
  Value heads(Value y, int64_t count) {
    auto type = cast<RankedTensorType>(y.getType());
    return nn::ReshapeOp::create(
        m.ops(), m.loc(),
        RankedTensorType::get({type.getDimSize(0), count, a.heads.headDim},
                              type.getElementType()),
        y);
  }

  ModelBuilder &m;
  const AttentionParams &a;
  Value x, layer;
};
} // namespace

Value attention(ModelBuilder &m, const AttentionParams &a, Value x, Value table,
                Value layer, int64_t window) {
  OpBuilder &b = m.ops();
  Location loc = m.loc();
  Projection project(m, a, x, layer);
  Value q = project.make(a.q, a.qBias, a.qNorm, a.heads.heads);
  Value k = project.make(a.k, a.kBias, a.kNorm, a.heads.kvHeads);
  Value v = project.make(a.v, a.vBias, {}, a.heads.kvHeads);
  auto rotated = [&](Value y) {
    return nn::RopeOp::create(b, loc, y, table, a.pairing, uint64_t{0});
  };
  q = rotated(q);
  k = rotated(k);
  Value sinks = a.sinks ? m.get(a.sinks, layer) : Value();
  Value out = nn::AttendOp::create(
      b, loc, q.getType(), q, k, v, m.positions(), m.seqs(), Value(), Value(),
      Value(), Value(), sinks, b.getF64FloatAttr(a.scale),
      b.getI64IntegerAttr(window), b.getI64IntegerAttr(0), UnitAttr(),
      FloatAttr());
  auto type = cast<RankedTensorType>(out.getType());
  Value flat = nn::ReshapeOp::create(
      b, loc,
      RankedTensorType::get(
          {type.getDimSize(0), type.getDimSize(1) * type.getDimSize(2)},
          type.getElementType()),
      out);
  return m.linear(flat, a.o, a.oBias, layer);
}

} // namespace mlir::moe::frontend
