// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// DBRX (2024): LayerNorms without biases, one clipped projection for queries,
// keys and values, softmax routing with weights scaled to an L_p norm of 1.
#include "lib/frontend/layer_kinds.h"

#include "lib/core/status_macros.h"

#include <cmath>

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::Error;
using ::moe::JsonFields;

static constexpr ConfigKey keys[] = {
    {"d_model", KeyUse::Used},
    {"n_heads", KeyUse::Used},
    {"n_layers", KeyUse::Used},
    {"max_seq_len", KeyUse::Used},
    {"attn_config", KeyUse::Used},
    {"ffn_config", KeyUse::Used},
    {"num_key_value_heads", KeyUse::Inert},
    {"emb_pdrop", KeyUse::Training},
    {"resid_pdrop", KeyUse::Training},
    {"tie_word_embeddings", KeyUse::Only, "false|null"},
};

namespace {
struct DbrxConfig {
  HeadsConfig heads;
  ExpertsConfig experts;
  double clip = 0, power = 0; ///< power 0: weights are not scaled
  double theta = 1e4;         ///< where rope_parameters are absent
};
} // namespace

/// Refuses keys of |part| that might change the result.
static absl::Status checkPart(const JsonFields &part, const ::moe::Json &json,
                              llvm::ArrayRef<llvm::StringRef> used) {
  static constexpr llvm::StringLiteral training[] = {
      "attn_pdrop", "moe_jitter_eps", "moe_loss_weight", "hidden_size",
      "uniform_expert_assignment"};
  for (const auto &[name, value] : json.items())
    if (!llvm::is_contained(used, name) &&
        !llvm::is_contained(training, name) && !findKey({}, name))
      return Error(Code::C108, part.where(), ": key ", ::moe::Quoted(name),
                   " with value ", shown(value),
                   " is not known for dbrx and might change the result. Remove "
                   "it if it changes nothing.");
  return absl::OkStatus();
}

static absl::Status readCommonKeys(ImportContext &in, DbrxConfig &out) {
  CommonConfig &c = in.common;
  JsonFields &f = in.config;
  ASSIGN_OR_RETURN(c.vocab, f.Int("vocab_size", 1, kMaxWidth));
  ASSIGN_OR_RETURN(c.hidden, f.Int("d_model", 1, kMaxWidth));
  ASSIGN_OR_RETURN(c.layers, f.Int("n_layers", 1, kMaxLayers));
  ASSIGN_OR_RETURN(c.maxPositions, f.Int("max_seq_len", 1, kMaxPositions));
  ASSIGN_OR_RETURN(out.heads.heads, f.Int("n_heads", 1, kMaxHeads));
  c.eps = 1e-5;
  if (c.hidden % out.heads.heads)
    return Error(Code::C106, f.where(), ": d_model ", c.hidden,
                 " is not a multiple of n_heads ", out.heads.heads, ".");
  out.heads.headDim = c.hidden / out.heads.heads;
  in.weights.setLayers(c.layers);
  return absl::OkStatus();
}

static absl::Status readAttention(ImportContext &in, DbrxConfig &out) {
  ASSIGN_OR_RETURN(const ::moe::Json *json, in.config.Object("attn_config"));
  JsonFields f(*json, in.config.where() + ": attn_config", ::moe::kConfigCodes);
  RETURN_IF_ERROR(f.Check());
  RETURN_IF_ERROR(
      checkPart(f, *json, {"kv_n_heads", "clip_qkv", "rope_theta"}));
  ASSIGN_OR_RETURN(out.heads.kvHeads, f.IntOr("kv_n_heads", 1, 1, kMaxHeads));
  ASSIGN_OR_RETURN(out.clip, readNonNegative(f, "clip_qkv", 0));
  ASSIGN_OR_RETURN(out.theta, f.NumberOr("rope_theta", 1e4));
  if (out.heads.heads % out.heads.kvHeads)
    return Error(Code::C106, f.where(), ": n_heads ", out.heads.heads,
                 " is not a multiple of kv_n_heads ", out.heads.kvHeads, ".");
  return absl::OkStatus();
}

static absl::Status readFeedForward(ImportContext &in, DbrxConfig &out) {
  ASSIGN_OR_RETURN(const ::moe::Json *json, in.config.Object("ffn_config"));
  JsonFields f(*json, in.config.where() + ": ffn_config", ::moe::kConfigCodes);
  RETURN_IF_ERROR(f.Check());
  RETURN_IF_ERROR(checkPart(f, *json,
                            {"moe_num_experts", "moe_top_k", "ffn_hidden_size",
                             "moe_normalize_expert_weights", "ffn_act_fn"}));
  ExpertsConfig &e = out.experts;
  e.countKey = "moe_num_experts";
  ASSIGN_OR_RETURN(e.count, f.Int("moe_num_experts", 1, kMaxExperts));
  ASSIGN_OR_RETURN(e.topK, f.Int("moe_top_k", 1, kMaxExperts));
  ASSIGN_OR_RETURN(e.width, f.Int("ffn_hidden_size", 1, kMaxWidth));
  ASSIGN_OR_RETURN(out.power,
                   readNonNegative(f, "moe_normalize_expert_weights", 0));
  if (e.topK > e.count)
    return Error(Code::C106, f.where(), ": moe_top_k ", e.topK,
                 " is larger than moe_num_experts ", e.count, ".");
  if (f.Has("ffn_act_fn")) {
    ASSIGN_OR_RETURN(const ::moe::Json *act, f.Object("ffn_act_fn"));
    if (*act != ::moe::Json{{"name", "silu"}})
      return Error(
          Code::C109, f.where(), ": key 'ffn_act_fn' with value ", shown(*act),
          " is not supported for dbrx; supported: {\"name\":\"silu\"}.");
  }
  in.weights.setExperts(e.countKey, e.count);
  return absl::OkStatus();
}

/// w / (sum of w^p)^(1/p); weights of a softmax are not negative.
static Value scaleToNorm(RouterBuilder &r, Value w, double p) {
  if (p == 0)
    return w;
  if (p == 1)
    return r.renormalize(w);
  OpBuilder &b = r.ops();
  Location loc = r.where();
  auto power = [&](Value x, double exponent) -> Value {
    Value scaled = arith::MulFOp::create(b, loc, math::LogOp::create(b, loc, x),
                                         r.constant(x, exponent));
    return math::ExpOp::create(b, loc, scaled);
  };
  Value sum = nn::ReduceOp::create(b, loc, power(w, p), nn::ReduceKind::Sum,
                                   uint64_t{1});
  Value all =
      nn::BroadcastOp::create(b, loc, w.getType(), sum, Value(), uint64_t{1});
  return arith::DivFOp::create(b, loc, w, power(all, 1 / p));
}

static absl::Status build(ImportContext &in) {
  DbrxConfig d;
  RETURN_IF_ERROR(readCommonKeys(in, d));
  RETURN_IF_ERROR(readAttention(in, d));
  RETURN_IF_ERROR(readFeedForward(in, d));
  const CommonConfig &c = in.common;
  const HeadsConfig &h = d.heads;
  const ExpertsConfig &e = d.experts;
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, d.theta));

  ModelBuilder &m = in.model;
  LayerRange all{0, c.layers};
  std::string block = "transformer.blocks.{i}.",
              attnPart = block + "norm_attn_norm.";
  FrameParams frame;
  frame.layerNorms = true;
  frame.embed = m.matrix("embed", "transformer.wte.weight", c.vocab, c.hidden);
  frame.attnNorm =
      m.vector("attn_norm", attnPart + "norm_1.weight", c.hidden, all);
  frame.ffnNorm =
      m.vector("ffn_norm", attnPart + "norm_2.weight", c.hidden, all);
  frame.norm = m.vector("norm", "transformer.norm_f.weight", c.hidden);
  frame.head = m.matrix("lm_head", "lm_head.weight", c.vocab, c.hidden);

  // Queries, keys and values are rows of one matrix.
  int64_t q = h.heads * h.headDim, kv = h.kvHeads * h.headDim;
  auto rows = [&](llvm::StringRef name, int64_t first, int64_t count) {
    Source source{.pattern = attnPart + "attn.Wqkv.weight",
                  .shape = {q + 2 * kv, c.hidden}};
    source.offset = first * c.hidden;
    source.strides = {0, c.hidden, 1};
    return m.param(name, {count, c.hidden}, source, all);
  };
  AttentionParams attn{.heads = h};
  attn.q = rows("q", 0, q);
  attn.k = rows("k", q, kv);
  attn.v = rows("v", q + kv, kv);
  attn.o = m.matrix("o", attnPart + "attn.out_proj.weight", c.hidden, q, all);
  attn.clip = d.clip;
  attn.scale = 1 / std::sqrt(static_cast<double>(h.headDim));

  auto declare = [&](bool, LayerRange range, const std::string &) {
    FeedForward out;
    MoeParams &moe = out.moe;
    moe.experts = e.count;
    // All experts are rows of one matrix; the last is applied untransposed.
    auto part = [&](const char *name, int64_t at) {
      Source source{.pattern = block + "ffn.experts.mlp." + name,
                    .shape = {e.count * e.width, c.hidden},
                    .at = at,
                    .rows = e.width};
      source.strides = {e.width * c.hidden, c.hidden, 1};
      return source;
    };
    Source down = part("w2", 0);
    down.rows = 0;
    down.strides = {e.width * c.hidden, 1, c.hidden};
    moe.expert.gateUp = m.param("gate_up", {e.count, 2 * e.width, c.hidden},
                                {part("w1", 0), part("v1", e.width)}, range);
    moe.expert.down =
        m.param("down", {e.count, c.hidden, e.width}, down, range);
    moe.gate = m.matrix("gate", block + "ffn.router.layer.weight", e.count,
                        c.hidden, range);
    moe.router = m.router("dbrx", c.hidden, e.count, e.topK, moe.gate, {},
                          [&](RouterBuilder &r, Value x, Value w, Value) {
                            Value p = r.softmax(r.linear(x, w));
                            Value idx = r.select(p, e.topK);
                            return std::pair(
                                idx, scaleToNorm(r, r.pick(p, idx), d.power));
                          });
    return out;
  };
  buildDecoder(in, frame, attn, rope, std::vector<LayerKind>(c.layers),
               declare);
  return absl::OkStatus();
}

namespace families {
extern const Family dbrx;
const Family dbrx{"dbrx", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
