// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Mixtral (Jiang et al. 2024): grouped-query attention, in every layer experts
// chosen by softmax, the best K, weights scaled to sum 1.
#include "lib/frontend/family.h"

#include "lib/core/status_macros.h"

#include <cmath>

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"num_local_experts", KeyUse::Used},
    {"num_experts", KeyUse::Used},
    {"expert_map", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"sliding_window", KeyUse::Used},
    {"router_jitter_noise", KeyUse::Training},
    {"attention_bias", KeyUse::Only, "false|null"},
    {"mlp_bias", KeyUse::Only, "false|null"},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-5));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(int64_t window,
                   in.config.IntOr("sliding_window", 0, 1, kMaxPositions));
  ASSIGN_OR_RETURN(ExpertsConfig e,
                   readRouted(in, {"num_local_experts", "num_experts"},
                              "intermediate_size"));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 1e6));

  ModelBuilder &m = in.model;
  LayerRange all{0, c.layers};
  FrameParams frame = declareFrame(in);
  std::string attn = "model.layers.{i}.self_attn.";
  Param q =
      m.matrix("q", attn + "q_proj.weight", h.heads * h.headDim, c.hidden, all);
  Param k = m.matrix("k", attn + "k_proj.weight", h.kvHeads * h.headDim,
                     c.hidden, all);
  Param v = m.matrix("v", attn + "v_proj.weight", h.kvHeads * h.headDim,
                     c.hidden, all);
  Param o =
      m.matrix("o", attn + "o_proj.weight", c.hidden, h.heads * h.headDim, all);
  // Files written from fused modules keep the module's own prefix.
  bool old = !in.weights.has("model.layers.0.mlp.gate.weight");
  std::string ffn =
      old ? "model.layers.{i}.block_sparse_moe." : "model.layers.{i}.mlp.";
  MoeParams moe{.experts = e.count};
  moe.expert =
      declareExperts(in, ffn, {.gate = "w1", .up = "w3", .down = "w2"}, e, all);
  moe.gate = m.matrix("gate", ffn + "gate.weight", e.rows(), c.hidden, all);
  moe.router = m.router("mixtral", c.hidden, e.count, e.topK, moe.gate, {},
                        [&](RouterBuilder &r, Value x, Value gate, Value) {
                          Value p = r.softmax(r.linear(x, gate));
                          Value idx = r.select(p, e.topK);
                          return r.merge(idx, r.renormalize(r.pick(p, idx)),
                                         e.count, e.map);
                        });

  double scale = 1 / std::sqrt(static_cast<double>(h.headDim));
  Value x = m.begin(frame.embed);
  Value table = m.ropeTable(rope);
  x = m.layers(all, x, [&](Value layer, Value y) -> Value {
    Builder &b = m.ops();
    Value a = nn::AttentionOp::create(
        m.ops(), m.loc(), y.getType(), y, table, m.positions(), m.seqs(), layer,
        frame.attnNorm.symbol, b.getF64FloatAttr(c.eps), q.symbol, k.symbol,
        v.symbol, o.symbol, b.getI64IntegerAttr(h.heads),
        b.getI64IntegerAttr(h.kvHeads), b.getI64IntegerAttr(h.headDim),
        b.getF64FloatAttr(scale), b.getI64IntegerAttr(window),
        nn::RopePairingAttr::get(b.getContext(), nn::RopePairing::Half));
    return m.add(
        a, m.moeLayer(m.rmsNorm(a, frame.ffnNorm, layer, c.eps), layer, moe));
  });
  m.end(x, frame.norm, c.eps, frame.head);
  return absl::OkStatus();
}

namespace families {
extern const Family mixtral;
const Family mixtral{"mixtral", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
