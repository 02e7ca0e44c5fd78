// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// JetMoE (2024): a mixture in attention too. Experts project queries and the
// output of attention by one plan; keys and values are shared.
#include "lib/frontend/attention.h"

#include "lib/core/status_macros.h"

#include <cmath>

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"num_local_experts", KeyUse::Used},   {"num_experts", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},   {"kv_channels", KeyUse::Used},
    {"activation_function", KeyUse::Used}, {"aux_loss_coef", KeyUse::Training},
};

namespace {
struct JetMoe {
  int64_t heads = 0, keyHeads = 0, headDim = 0, experts = 0, topK = 0;
  FlatSymbolRefAttr router;
  Param gate, queries, output, outputBias, k, v; // of attention
  MoeParams moe;
  Param moeBias;
};

/// Operations of one layer.
class LayerBuilder {
public:
  LayerBuilder(ModelBuilder &m, const JetMoe &p, Value layer)
      : m(m), p(p), layer(layer), b(m.ops()), loc(m.loc()) {}

  Value attention(Value x, Value table) {
    auto type = cast<RankedTensorType>(x.getType());
    Value wide = x;
    if (!type.getElementType().isF32())
      wide = arith::ExtFOp::create(b, loc, type.clone(b.getF32Type()), x);
    Type plan = PlanType::get(b.getContext(), p.experts, p.topK);
    Type weights =
        RankedTensorType::get({type.getDimSize(0), p.topK}, b.getF32Type());
    auto route = RouteOp::create(b, loc, TypeRange{plan, weights}, p.router,
                                 wide, ValueRange{m.get(p.gate, layer)});
    Value rows = DispatchOp::create(b, loc, x, route.getPlan());
    int64_t width = p.keyHeads * p.headDim;
    Value q = experts(rows, route.getPlan(), p.queries, width);
    q = UngroupOp::create(b, loc, q, route.getPlan());
    q = rotated(shaped(q, {p.heads, p.headDim}), table);
    Value k = rotated(heads(m.linear(x, p.k, {}, layer)), table);
    Value v = heads(m.linear(x, p.v, {}, layer));
    // Query head k·KV + g reads key head g.
    Value out = nn::AttendOp::create(
        b, loc, q.getType(), q, k, v, m.positions(), m.seqs(), Value(), Value(),
        Value(), Value(), Value(),
        b.getF64FloatAttr(1 / std::sqrt(static_cast<double>(p.headDim))),
        b.getI64IntegerAttr(0), b.getI64IntegerAttr(0), b.getUnitAttr(),
        FloatAttr());
    Value mixed = shaped(out, {p.topK, width});
    rows = GroupOp::create(b, loc, mixed, route.getPlan());
    rows = experts(rows, route.getPlan(), p.output, type.getDimSize(1));
    Value y =
        CombineOp::create(b, loc, rows, route.getPlan(), route.getWeights());
    return withBias(y, p.outputBias);
  }

  Value feedForward(Value x) {
    return withBias(m.moeLayer(x, layer, p.moe), p.moeBias);
  }

private:
  /// |rows| by the matrix of each expert.
  Value experts(Value rows, Value plan, Param weight, int64_t width) {
    auto type = cast<RankedTensorType>(rows.getType());
    auto out = RankedTensorType::get({type.getDimSize(0), width},
                                     type.getElementType());
    auto op = ExpertsOp::create(b, loc, out, rows, plan,
                                ValueRange{m.get(weight, layer)});
    Block *block = new Block();
    op.getBody().push_back(block);
    Value x = block->addArgument(type, loc);
    Value w = block->addArgument(
        RankedTensorType::get(weight.type.getShape().drop_front(),
                              weight.type.getElementType()),
        loc);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(block);
    Value y = nn::LinearOp::create(b, loc, x, w, Value());
    YieldOp::create(b, loc, ValueRange{y});
    return op.getY();
  }

  Value shaped(Value x, llvm::ArrayRef<int64_t> tail) {
    auto type = cast<RankedTensorType>(x.getType());
    llvm::SmallVector<int64_t> shape{type.getDimSize(0)};
    llvm::append_range(shape, tail);
    return nn::ReshapeOp::create(
        b, loc, RankedTensorType::get(shape, type.getElementType()), x);
  }
  Value heads(Value x) { return shaped(x, {p.keyHeads, p.headDim}); }
  Value rotated(Value x, Value table) {
    return nn::RopeOp::create(b, loc, x, table, nn::RopePairing::Half,
                              uint64_t{0});
  }

  /// In f32, rounded once.
  Value withBias(Value y, Param bias) {
    auto type = cast<RankedTensorType>(y.getType()),
         f32 = type.clone(b.getF32Type());
    bool narrow = type != f32;
    if (narrow)
      y = arith::ExtFOp::create(b, loc, f32, y);
    Value row = m.get(bias, layer);
    auto own = cast<RankedTensorType>(row.getType());
    if (!own.getElementType().isF32())
      row = arith::ExtFOp::create(b, loc, own.clone(b.getF32Type()), row);
    y = m.add(y, nn::BroadcastOp::create(b, loc, f32, row, y, uint64_t{0}));
    return narrow ? arith::TruncFOp::create(b, loc, type, y).getResult() : y;
  }

  ModelBuilder &m;
  const JetMoe &p;
  Value layer;
  OpBuilder &b;
  Location loc;
};
} // namespace

/// The best K logits, weights their softmax: in attention as in the experts.
static FlatSymbolRefAttr declareRouter(ImportContext &in,
                                       const ExpertsConfig &e, Param gate) {
  return in.model.router("jetmoe", in.common.hidden, e.count, e.topK, gate, {},
                         [&](RouterBuilder &r, Value x, Value w, Value) {
                           Value z = r.linear(x, w);
                           Value idx = r.select(z, e.topK);
                           return std::pair(idx, r.softmax(r.pick(z, idx)));
                         });
}

static absl::StatusOr<JetMoe> declare(ImportContext &in,
                                      const ExpertsConfig &e) {
  ModelBuilder &m = in.model;
  int64_t hidden = in.common.hidden;
  LayerRange all{0, in.common.layers};
  JetMoe p;
  p.experts = e.count;
  p.topK = e.topK;
  ASSIGN_OR_RETURN(p.heads, in.config.Int("num_attention_heads", 1, kMaxHeads));
  ASSIGN_OR_RETURN(p.keyHeads,
                   in.config.Int("num_key_value_heads", 1, kMaxHeads));
  ASSIGN_OR_RETURN(p.headDim, in.config.Int("kv_channels", 1, kMaxHeadDim));
  if (p.heads != p.keyHeads * p.topK)
    return ::moe::Error(::moe::Code::C106, in.config.where(),
                        ": num_attention_heads ", p.heads,
                        " is not num_key_value_heads ", p.keyHeads,
                        " times num_experts_per_tok ", p.topK, ".");
  int64_t width = p.keyHeads * p.headDim;
  auto fused = [&](llvm::StringRef name, const std::string &pattern,
                   int64_t rows, int64_t columns) {
    return m.param(name, {e.count, rows, columns},
                   Source{.pattern = pattern,
                          .shape = {e.count, rows, columns},
                          .strides = {rows * columns, columns, 1}},
                   all);
  };
  std::string a = "model.layers.{i}.self_attention.", x = a + "experts.",
              f = "model.layers.{i}.mlp.";
  p.gate =
      m.matrix("attn_gate", x + "router.layer.weight", e.count, hidden, all);
  p.router = declareRouter(in, e, p.gate);
  p.queries = fused("q", x + "input_linear.weight", width, hidden);
  p.output = fused("o", x + "output_linear.weight", hidden, width);
  p.outputBias = m.vector("o_bias", x + "bias", hidden, all);
  auto part = [&](llvm::StringRef name, int64_t at) {
    return m.param(name, {width, hidden},
                   Source{.pattern = a + "kv_proj.weight",
                          .shape = {2 * width, hidden},
                          .offset = at * width * hidden},
                   all);
  };
  p.k = part("k", 0);
  p.v = part("v", 1);
  p.moe.experts = e.count;
  p.moe.router = p.router;
  p.moe.gate =
      m.matrix("gate", f + "router.layer.weight", e.count, hidden, all);
  m.ofRouter(p.moe.gate);
  p.moe.expert.act = in.common.act;
  p.moe.expert.gateUp =
      fused("gate_up", f + "input_linear.weight", 2 * e.width, hidden);
  p.moe.expert.down =
      fused("down", f + "output_linear.weight", hidden, e.width);
  p.moeBias = m.vector("ffn_bias", f + "bias", hidden, all);
  return p;
}

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-6, "activation_function"));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(ExpertsConfig e,
                   readRouted(in, {"num_local_experts", "num_experts"},
                              "intermediate_size"));
  ModelBuilder &m = in.model;
  FrameParams frame = declareFrame(in);
  ASSIGN_OR_RETURN(JetMoe p, declare(in, e));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, p.headDim, 1e4));

  Value x = m.begin(frame.embed);
  Value table = m.ropeTable(rope);
  x = m.layers({0, c.layers}, x, [&](Value layer, Value y) {
    LayerBuilder block(m, p, layer);
    Value n = m.rmsNorm(y, frame.attnNorm, layer, c.eps);
    Value h = m.add(y, block.attention(n, table));
    Value f = m.rmsNorm(h, frame.ffnNorm, layer, c.eps);
    return m.add(h, block.feedForward(f));
  });
  m.end(x, frame.norm, c.eps, frame.head);
  return absl::OkStatus();
}

namespace families {
extern const Family jetmoe;
const Family jetmoe{"jetmoe", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
