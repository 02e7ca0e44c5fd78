// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/reference/oracle_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace moe::reference {
namespace {

// Where the key part of kv_b_proj [heads * (dn + dv), latent] lies, transposed
// per head: [heads * latent, dn].
std::vector<int64_t> KeyPart(int64_t heads, int64_t dn, int64_t dv,
                             int64_t latent) {
  std::vector<int64_t> source;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t n = 0; n < latent; ++n)
      for (int64_t k = 0; k < dn; ++k)
        source.push_back((h * (dn + dv) + k) * latent + n);
  return source;
}

// Where its value part lies: [heads * dv, latent].
std::vector<int64_t> ValuePart(int64_t heads, int64_t dn, int64_t dv,
                               int64_t latent) {
  std::vector<int64_t> source;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t n = 0; n < dv; ++n)
      for (int64_t k = 0; k < latent; ++k)
        source.push_back((h * (dn + dv) + dn + n) * latent + k);
  return source;
}

// The first or the last dims of every head of a matrix, as columns.
std::vector<int64_t> HeadDims(int64_t rows, int64_t heads, int64_t head_dim,
                              int64_t start, int64_t size) {
  std::vector<int64_t> source;
  for (int64_t r = 0; r < rows * heads; ++r)
    for (int64_t i = 0; i < size; ++i)
      source.push_back(r * head_dim + start + i);
  return source;
}

}  // namespace

template <typename T>
struct OracleModel<T>::Step {
  Pass& pass;
  const Pack& pack;
  PagedCache<T>* cache;
  const Choices* forced;
  std::vector<T> rope_table;
};

template <typename T>
OracleModel<T>::OracleModel(const OracleFolder& folder, Rounding rounding)
    : folder_(folder), rounding_(rounding) {
  latent_ = folder.Text("model_type", "") == "deepseek_v2";
  hidden_ = folder.Int("hidden_size");
  layers_ = folder.Int("num_hidden_layers");
  heads_ = folder.Int("num_attention_heads");
  kv_heads_ = latent_ ? 1 : folder.Int("num_key_value_heads");
  rope_dims_ = latent_
                   ? folder.Int("qk_rope_head_dim")
                   : static_cast<int64_t>(folder.Number(
                         "head_dim", static_cast<double>(hidden_ / heads_)));
  eps_ = static_cast<T>(folder.Number("rms_norm_eps", 1e-6));
  rope_ = RopeOf(folder, rope_dims_);
}

template <typename T>
Node<T>* OracleModel<T>::Param(Step& s, const std::string& name) const {
  auto found = s.pass.params.find(name);
  if (found != s.pass.params.end()) return found->second;
  const Weight& w = folder_.weights.at(name);
  const int64_t width = w.shape.back();
  Var leaf =
      s.pass.tape.Leaf({w.values.begin(), w.values.end()},
                       static_cast<int64_t>(w.values.size()) / width, width);
  s.pass.params.emplace(name, leaf);
  return leaf;
}

template <typename T>
Node<T>* OracleModel<T>::Mixer(Step& s, Var x, int64_t layer) const {
  Tape<T>& tape = s.pass.tape;
  const std::string p = "model.layers." + std::to_string(layer) + ".self_attn.";
  const int64_t d = rope_dims_;
  Var q = tape.Linear(x, Param(s, p + "q_proj.weight"));
  Var k = tape.Linear(x, Param(s, p + "k_proj.weight"));
  Var v = tape.Linear(x, Param(s, p + "v_proj.weight"));
  q = tape.Rope(q, s.rope_table, heads_, d, 0, RopePairing::kHalf);
  k = tape.Rope(k, s.rope_table, kv_heads_, d, 0, RopePairing::kHalf);
  AttendShape shape;
  shape.heads = heads_;
  shape.kv_heads = kv_heads_;
  shape.key_dims = shape.value_dims = d;
  shape.scale = 1 / std::sqrt(static_cast<double>(d));
  shape.window = static_cast<int64_t>(folder_.Number("sliding_window", 0));
  Var y = tape.Attend(q, k, v, shape, s.pack, s.cache, layer);
  return tape.Linear(y, Param(s, p + "o_proj.weight"));
}

template <typename T>
Node<T>* OracleModel<T>::LatentMixer(Step& s, Var x, int64_t layer) const {
  Tape<T>& tape = s.pass.tape;
  const std::string p = "model.layers." + std::to_string(layer) + ".self_attn.";
  const int64_t dn = folder_.Int("qk_nope_head_dim"), dr = rope_dims_;
  const int64_t dv = folder_.Int("v_head_dim");
  const int64_t latent = folder_.Int("kv_lora_rank");
  const T latent_eps = T(1e-6);
  const int64_t tokens = x->rows;

  Var q;
  if (folder_.Number("q_lora_rank", 0) == 0) {
    q = tape.Linear(x, Param(s, p + "q_proj.weight"));
  } else {
    q = tape.Linear(x, Param(s, p + "q_a_proj.weight"));
    q = tape.RmsNorm(q, Param(s, p + "q_a_layernorm.weight"), latent_eps);
    q = tape.Linear(q, Param(s, p + "q_b_proj.weight"));
  }
  q = tape.Rope(q, s.rope_table, heads_, dr, dn, RopePairing::kInterleaved);
  Var nope = tape.Rearrange(q, HeadDims(tokens, heads_, dn + dr, 0, dn), tokens,
                            heads_ * dn);
  Var rotary = tape.Rearrange(q, HeadDims(tokens, heads_, dn + dr, dn, dr),
                              tokens, heads_ * dr);
  Var kv_b = Param(s, p + "kv_b_proj.weight");
  Var w_k = tape.Rearrange(kv_b, KeyPart(heads_, dn, dv, latent),
                           heads_ * latent, dn);
  Var w_v = tape.Rearrange(kv_b, ValuePart(heads_, dn, dv, latent), heads_ * dv,
                           latent);
  q = tape.Concat(tape.HeadLinear(nope, w_k, heads_), rotary, heads_);

  Var kv = tape.Linear(x, Param(s, p + "kv_a_proj_with_mqa.weight"));
  Var c = tape.RmsNorm(tape.Slice(kv, 0, latent),
                       Param(s, p + "kv_a_layernorm.weight"), latent_eps);
  Var key = tape.Rope(tape.Slice(kv, latent, dr), s.rope_table, 1, dr, 0,
                      RopePairing::kInterleaved);
  AttendShape shape;
  shape.heads = heads_;
  shape.kv_heads = 1;
  shape.key_dims = latent + dr;
  shape.value_dims = latent;
  shape.scale = rope_.softmax_scale / std::sqrt(static_cast<double>(dn + dr));
  Var y = tape.Attend(q, tape.Concat(c, key, 1), nullptr, shape, s.pack,
                      s.cache, layer);
  y = tape.HeadLinear(y, w_v, heads_);
  return tape.Linear(y, Param(s, p + "o_proj.weight"));
}

template <typename T>
Node<T>* OracleModel<T>::Mlp(Step& s, Var x, const std::string& prefix) const {
  Tape<T>& tape = s.pass.tape;
  Var w = tape.Stack({Param(s, prefix + "gate_proj.weight"),
                      Param(s, prefix + "up_proj.weight")});
  return tape.Linear(tape.Glu(tape.Linear(x, w)),
                     Param(s, prefix + "down_proj.weight"));
}

template <typename T>
Plan OracleModel<T>::Choose(Step& s, Var scores) const {
  const int64_t k = folder_.Int("num_experts_per_tok");
  std::vector<int32_t> idx(scores->rows * k);
  Select<T>(scores->value.data(), nullptr, scores->rows, scores->width, k,
            idx.data());
  if (s.forced != nullptr) idx = s.forced->at(s.pass.choices.size());
  s.pass.choices.push_back(idx);
  return MakePlan(idx.data(), scores->rows, scores->width, k);
}

template <typename T>
Node<T>* OracleModel<T>::Experts(Step& s, Var x, Var weights, const Plan& plan,
                                 const std::string& prefix) const {
  Tape<T>& tape = s.pass.tape;
  const char* gate = latent_ ? ".gate_proj.weight" : ".w1.weight";
  const char* up = latent_ ? ".up_proj.weight" : ".w3.weight";
  const char* down = latent_ ? ".down_proj.weight" : ".w2.weight";
  std::vector<Var> in, out;
  for (int64_t e = 0; e < plan.experts; ++e) {
    const std::string p = prefix + "experts." + std::to_string(e);
    in.push_back(Param(s, p + gate));
    in.push_back(Param(s, p + up));
    out.push_back(Param(s, p + down));
  }
  Var rows = tape.Dispatch(x, plan);
  Var h = tape.Glu(tape.GroupedMatmul(rows, tape.Stack(in), plan));
  return tape.Combine(tape.GroupedMatmul(h, tape.Stack(out), plan), weights,
                      plan);
}

template <typename T>
Node<T>* OracleModel<T>::MixtralMoe(Step& s, Var x,
                                    const std::string& prefix) const {
  Tape<T>& tape = s.pass.tape;
  Var p = tape.Softmax(tape.Linear(x, Param(s, prefix + "gate.weight"), true));
  const Plan plan = Choose(s, p);
  Var w = tape.Normalise(tape.Pick(p, plan));
  return Experts(s, x, w, plan, prefix);
}

template <typename T>
Node<T>* OracleModel<T>::DeepseekMoe(Step& s, Var x,
                                     const std::string& prefix) const {
  Tape<T>& tape = s.pass.tape;
  Var p = tape.Softmax(tape.Linear(x, Param(s, prefix + "gate.weight"), true));
  if (folder_.Text("topk_method", "greedy") == "group_limited_greedy")
    p = tape.GroupMask(p, folder_.Int("n_group"), folder_.Int("topk_group"),
                       T(0));
  const Plan plan = Choose(s, p);
  Var w =
      tape.Scale(tape.Pick(p, plan),
                 static_cast<T>(folder_.Number("routed_scaling_factor", 1)));
  return tape.Add(Experts(s, x, w, plan, prefix),
                  Mlp(s, x, prefix + "shared_experts."));
}

template <typename T>
std::unique_ptr<typename OracleModel<T>::Pass> OracleModel<T>::Run(
    const Pack& pack, PagedCache<T>* cache, const Choices* forced) const {
  auto pass = std::make_unique<Pass>(rounding_);
  Tape<T>& tape = pass->tape;
  Step s{*pass, pack, cache, forced,
         std::vector<T>(pack.tokens() * rope_dims_)};
  RopeTable(pack.positions.data(), pack.tokens(), rope_.inv_freq.data(),
            rope_dims_, static_cast<T>(rope_.table_scale), s.rope_table.data());
  Var x = tape.Embedding(pack.ids, Param(s, "model.embed_tokens.weight"));
  for (int64_t i = 0; i < layers_; ++i) {
    const std::string p = "model.layers." + std::to_string(i) + ".";
    Var h = tape.RmsNorm(x, Param(s, p + "input_layernorm.weight"), eps_);
    x = tape.Add(x, latent_ ? LatentMixer(s, h, i) : Mixer(s, h, i));
    h = tape.RmsNorm(x, Param(s, p + "post_attention_layernorm.weight"), eps_);
    const bool dense =
        latent_ && i < folder_.Number("first_k_dense_replace", 0);
    x = tape.Add(x, dense     ? Mlp(s, h, p + "mlp.")
                    : latent_ ? DeepseekMoe(s, h, p + "mlp.")
                              : MixtralMoe(s, h, p + "block_sparse_moe."));
  }
  if (cache != nullptr) x = tape.LastRows(x, pack);
  x = tape.RmsNorm(x, Param(s, "model.norm.weight"), eps_);
  const bool tied = folder_.config.value("tie_word_embeddings", false);
  pass->logits = tape.Linear(
      x, Param(s, tied ? "model.embed_tokens.weight" : "lm_head.weight"), true);
  return pass;
}

template <typename T>
PagedCache<T> OracleModel<T>::MakeCache(int64_t slots, int64_t tokens,
                                        int64_t page_length) const {
  PagedCache<T> cache;
  cache.layout.page_length = page_length;
  cache.layout.pages_per_sequence = (tokens + page_length - 1) / page_length;
  cache.layout.width = latent_ ? folder_.Int("kv_lora_rank") + rope_dims_
                               : 2 * kv_heads_ * rope_dims_;
  const int64_t pages = slots * cache.layout.pages_per_sequence;
  // Pages in reverse order: nothing may rely on where they lie.
  cache.block_table.resize(pages);
  std::iota(cache.block_table.rbegin(), cache.block_table.rend(), 0);
  cache.layers.assign(layers_,
                      std::vector<T>(pages * page_length * cache.layout.width));
  return cache;
}

template class OracleModel<float>;
template class OracleModel<double>;

}  // namespace moe::reference
