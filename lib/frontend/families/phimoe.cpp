// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Phi-3.5-MoE (2024): LayerNorms with biases, and SparseMixer routing (Liu et
// al. 2023) as it is at evaluation: the two best logits, each weighed by a
// softmax over the logits that come close to it.
#include "lib/frontend/layer_kinds.h"

#include "lib/core/status_macros.h"

#include <limits>

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"num_local_experts", KeyUse::Used},
    {"num_experts", KeyUse::Used},
    {"intermediate_size", KeyUse::Used},
    {"original_max_position_embeddings", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"attention_bias", KeyUse::Used},
    {"lm_head_bias", KeyUse::Used},
    {"sliding_window", KeyUse::Used},
    {"router_jitter_noise", KeyUse::Used},
    {"input_jitter_noise", KeyUse::Training},
    {"mlp_bias", KeyUse::Only, "false|null"},
};

namespace {
/// SparseMixer for two choices.
class SparseMixer {
public:
  SparseMixer(RouterBuilder &r, double jitter) : r(r), jitter(jitter) {}

  std::pair<Value, Value> route(Value z, int64_t experts) {
    Value best = r.select(z, 1), idx = r.select(z, 2);
    Value first = r.pick(r.softmax(near(z, z)), best);
    // The second choice looks at what is left.
    Value one = r.constant(first, 1);
    Value taken = ScatterPickOp::create(r.ops(), r.where(), one, best,
                                        static_cast<uint64_t>(experts));
    Value left = instead(taken, r.constant(z, 0.5), z);
    Value second = r.pick(r.softmax(near(left, z)), r.select(left, 1));
    return {idx, nn::ConcatOp::create(r.ops(), r.where(),
                                      ValueRange{first, second})};
  }

private:
  /// -inf where a > b, else |other|.
  Value instead(Value a, Value b, Value other) {
    Value over = arith::CmpFOp::create(r.ops(), r.where(),
                                       arith::CmpFPredicate::OGT, a, b);
    Value none = r.constant(other, -std::numeric_limits<double>::infinity());
    return arith::SelectOp::create(r.ops(), r.where(), over, none, other);
  }

  /// |left| without what lies more than 2·jitter below its largest, in parts
  /// of max(|z|, largest).
  Value near(Value left, Value z) {
    OpBuilder &b = r.ops();
    Location loc = r.where();
    Value most =
        nn::ReduceOp::create(b, loc, left, nn::ReduceKind::Max, uint64_t{1});
    Value all = nn::BroadcastOp::create(b, loc, z.getType(), most, Value(),
                                        uint64_t{1});
    Value gap = arith::SubFOp::create(b, loc, all, z);
    Value size =
        arith::MaximumFOp::create(b, loc, math::AbsFOp::create(b, loc, z), all);
    return instead(arith::DivFOp::create(b, loc, gap, size),
                   r.constant(z, 2 * jitter), left);
  }

  RouterBuilder &r;
  double jitter;
};
} // namespace

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-5));
  const CommonConfig &c = in.common;
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, c.hidden));
  ASSIGN_OR_RETURN(ExpertsConfig e,
                   readRouted(in, {"num_local_experts", "num_experts"},
                              "intermediate_size"));
  if (e.topK != 2)
    return ::moe::Error(::moe::Code::C109, in.config.where(),
                        ": key 'num_experts_per_tok' with value ", e.topK,
                        " is not supported for phimoe; supported: 2.");
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("attention_bias", false));
  ASSIGN_OR_RETURN(bool headBias, in.config.BoolOr("lm_head_bias", false));
  ASSIGN_OR_RETURN(double jitter,
                   readNonNegative(in.config, "router_jitter_noise", 0.01));
  ASSIGN_OR_RETURN(int64_t window,
                   in.config.IntOr("sliding_window", 0, 0, kMaxPositions));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, 1e6));

  ModelBuilder &m = in.model;
  LayerRange all{0, c.layers};
  FrameParams frame = declareFrame(in);
  frame.layerNorms = true;
  frame.attnNormBias = m.vector(
      "attn_norm_bias", "model.layers.{i}.input_layernorm.bias", c.hidden, all);
  frame.ffnNormBias =
      m.vector("ffn_norm_bias",
               "model.layers.{i}.post_attention_layernorm.bias", c.hidden, all);
  frame.normBias = m.vector("norm_bias", "model.norm.bias", c.hidden);
  if (headBias)
    frame.headBias = m.vector("lm_head_bias", "lm_head.bias", c.vocab);
  AttentionParams attn = declareAttention(in, h, {.qkv = bias, .out = bias});
  // Files written from fused modules keep the module's own prefix.
  bool old = !in.weights.has("model.layers.0.mlp.router.weight");
  std::string ffn =
      old ? "model.layers.{i}.block_sparse_moe." : "model.layers.{i}.mlp.";
  auto declare = [&](bool, LayerRange range, const std::string &) {
    FeedForward out;
    MoeParams &moe = out.moe;
    moe.experts = e.count;
    moe.expert = declareExperts(
        in, ffn, {.gate = "w1", .up = "w3", .down = "w2"}, e, range);
    moe.gate = m.matrix("gate", ffn + (old ? "gate.weight" : "router.weight"),
                        e.count, c.hidden, range);
    moe.router =
        m.router("phimoe", c.hidden, e.count, e.topK, moe.gate, {},
                 [&](RouterBuilder &r, Value x, Value w, Value) {
                   return SparseMixer(r, jitter).route(r.linear(x, w), e.count);
                 });
    return out;
  };
  buildDecoder(in, frame, attn, rope,
               std::vector<LayerKind>(c.layers, {true, window}), declare);
  return absl::OkStatus();
}

namespace families {
extern const Family phimoe;
const Family phimoe{"phimoe", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
