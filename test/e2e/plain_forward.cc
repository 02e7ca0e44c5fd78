// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/e2e/plain_forward.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numbers>
#include <numeric>

#include "lib/core/checkpoint.h"

namespace moe::compiled {
namespace {

using Row = std::vector<double>;

double Silu(double x) { return x / (1 + std::exp(-x)); }

void Softmax(Row& x) {
  const double largest = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double& value : x) sum += value = std::exp(value - largest);
  for (double& value : x) value /= sum;
}

// The indices of the |count| largest, the first of equals first.
std::vector<size_t> Largest(const Row& x, int64_t count) {
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return x[a] > x[b]; });
  order.resize(static_cast<size_t>(count));
  return order;
}

void AddTo(Row& x, const Row& y, double factor = 1) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += factor * y[i];
}

double Mscale(double factor, double m) {
  return factor <= 1 ? 1 : 0.1 * m * std::log(factor) + 1;
}

// Turns pairs of |x|: (i, i + d/2), or neighbours.
void Turn(std::span<double> x, const Row& cosine, const Row& sine,
          bool neighbours) {
  const size_t half = x.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    double& a = x[neighbours ? 2 * i : i];
    double& b = x[neighbours ? 2 * i + 1 : i + half];
    const double turned = a * cosine[i] - b * sine[i];
    b = b * cosine[i] + a * sine[i];
    a = turned;
  }
}

Row Piece(const Row& x, size_t from, size_t count) {
  const auto begin = x.begin() + static_cast<std::ptrdiff_t>(from);
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

double Dot(const double* a, const double* b, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

PlainModel::PlainModel(const std::string& folder) {
  const auto checkpoint = Checkpoint::Open(folder);
  const auto config = ReadConfig(folder);
  if (!checkpoint.ok() || !config.ok()) {
    std::fprintf(stderr, "cannot read %s\n", folder.c_str());
    std::exit(1);
  }
  config_ = *config;
  deepseek_ = config_.at("model_type") == "deepseek_v2";
  for (const Tensor* tensor : checkpoint->tensors()) {
    Matrix& matrix = weights_[tensor->name];
    matrix.columns = static_cast<size_t>(tensor->shape.back());
    const size_t wide = tensor->dtype == DType::kF32 ? 4 : 2;
    for (size_t at = 0; at < tensor->bytes; at += wide) {
      uint32_t bits = 0;  // bf16 is the upper half of f32
      std::memcpy(reinterpret_cast<char*>(&bits) + 4 - wide, tensor->data + at,
                  wide);
      float value;
      std::memcpy(&value, &bits, 4);
      matrix.values.push_back(value);
    }
    matrix.rows = matrix.values.size() / matrix.columns;
  }
}

const PlainModel::Matrix& PlainModel::Weight(const std::string& name) const {
  read_.insert(name);
  return weights_.at(name);
}

std::vector<std::string> PlainModel::Unread() const {
  std::vector<std::string> names;
  for (const auto& [name, matrix] : weights_)
    if (!read_.contains(name)) names.push_back(name);
  return names;
}

Row PlainModel::Linear(const std::string& name, const Row& x) const {
  const Matrix& w = Weight(name + ".weight");
  Row y(w.rows);
  for (size_t n = 0; n < w.rows; ++n)
    y[n] = Dot(&w.values[n * w.columns], x.data(), w.columns);
  return y;
}

Row PlainModel::Norm(const std::string& name, const Row& x, double eps) const {
  const Matrix& w = Weight(name + ".weight");
  const double square = Dot(x.data(), x.data(), x.size());
  const double factor =
      1 / std::sqrt(square / static_cast<double>(x.size()) + eps);
  Row y(x);
  for (size_t i = 0; i < x.size(); ++i) y[i] *= factor * w.values[i];
  return y;
}

Row PlainModel::Glu(const std::string& gate, const std::string& up,
                    const std::string& down, const Row& x) const {
  Row a = Linear(gate, x);
  const Row b = Linear(up, x);
  for (size_t i = 0; i < a.size(); ++i) a[i] = Silu(a[i]) * b[i];
  return Linear(down, a);
}

Row PlainModel::Experts(const std::string& name, const Row& x) const {
  Row scores = Linear(name + ".gate", x);
  Softmax(scores);
  if (deepseek_ && config_.at("topk_method") == "group_limited_greedy") {
    const auto groups = static_cast<size_t>(Int("n_group"));
    const size_t size = scores.size() / groups;
    Row best(groups);
    for (size_t e = 0; e < scores.size(); ++e)
      best[e / size] = std::max(best[e / size], scores[e]);
    Row kept(scores.size());
    for (size_t group : Largest(best, Int("topk_group")))
      for (size_t e = group * size; e < (group + 1) * size; ++e)
        kept[e] = scores[e];
    scores = kept;
  }
  const auto chosen = Largest(scores, Int("num_experts_per_tok"));
  double factor = 1;
  if (deepseek_) {
    factor = Number("routed_scaling_factor");
  } else {
    double sum = 0;
    for (size_t e : chosen) sum += scores[e];
    factor = 1 / sum;
  }
  Row y(x.size());
  for (size_t e : chosen) {
    const std::string expert = name + ".experts." + std::to_string(e);
    AddTo(y,
          deepseek_ ? Glu(expert + ".gate_proj", expert + ".up_proj",
                          expert + ".down_proj", x)
                    : Glu(expert + ".w1", expert + ".w3", expert + ".w2", x),
          factor * scores[e]);
  }
  return y;
}

Row PlainModel::FeedForward(int64_t layer, const Row& x) const {
  const std::string name = "model.layers." + std::to_string(layer);
  if (!deepseek_) return Experts(name + ".block_sparse_moe", x);
  const std::string mlp = name + ".mlp";
  const auto dense = [&](const std::string& at) {
    return Glu(at + ".gate_proj", at + ".up_proj", at + ".down_proj", x);
  };
  if (layer < Int("first_k_dense_replace")) return dense(mlp);
  Row y = Experts(mlp, x);
  AddTo(y, dense(mlp + ".shared_experts"));
  return y;
}

PlainModel::Heads PlainModel::Mixtral(const std::string& name, const Rows& x,
                                      const std::vector<Angles>& angles) const {
  const auto heads = static_cast<size_t>(Int("num_attention_heads")),
             pairs = static_cast<size_t>(Int("num_key_value_heads"));
  const size_t dims = Weight(name + ".q_proj.weight").rows / heads;
  Heads out{std::vector<Rows>(heads), std::vector<Rows>(heads),
            std::vector<Rows>(heads), 1 / std::sqrt(double(dims))};
  if (config_.contains("sliding_window") &&
      config_["sliding_window"].is_number())
    out.window = Int("sliding_window");
  for (size_t t = 0; t < x.size(); ++t) {
    const Row q = Linear(name + ".q_proj", x[t]),
              k = Linear(name + ".k_proj", x[t]),
              v = Linear(name + ".v_proj", x[t]);
    for (size_t h = 0; h < heads; ++h) {
      const size_t pair = h / (heads / pairs);
      Row query = Piece(q, h * dims, dims), key = Piece(k, pair * dims, dims);
      Turn(query, angles[t].cosine, angles[t].sine, false);
      Turn(key, angles[t].cosine, angles[t].sine, false);
      out.queries[h].push_back(query);
      out.keys[h].push_back(key);
      out.values[h].push_back(Piece(v, pair * dims, dims));
    }
  }
  return out;
}

PlainModel::Heads PlainModel::DeepSeek(
    const std::string& name, const Rows& x,
    const std::vector<Angles>& angles) const {
  const auto heads = static_cast<size_t>(Int("num_attention_heads")),
             plain = static_cast<size_t>(Int("qk_nope_head_dim")),
             turned = static_cast<size_t>(Int("qk_rope_head_dim")),
             latent = static_cast<size_t>(Int("kv_lora_rank")),
             wide = static_cast<size_t>(Int("v_head_dim"));
  const size_t dims = plain + turned;
  Heads out{std::vector<Rows>(heads), std::vector<Rows>(heads),
            std::vector<Rows>(heads), 1 / std::sqrt(double(dims))};
  const bool compressed = weights_.contains(name + ".q_a_proj.weight");
  for (size_t t = 0; t < x.size(); ++t) {
    const Row q = compressed
                      ? Linear(name + ".q_b_proj",
                               Norm(name + ".q_a_layernorm",
                                    Linear(name + ".q_a_proj", x[t]), 1e-6))
                      : Linear(name + ".q_proj", x[t]);
    const Row both = Linear(name + ".kv_a_proj_with_mqa", x[t]);
    Row shared = Piece(both, latent, turned);
    Turn(shared, angles[t].cosine, angles[t].sine, true);
    const Row kv =
        Linear(name + ".kv_b_proj",
               Norm(name + ".kv_a_layernorm", Piece(both, 0, latent), 1e-6));
    for (size_t h = 0; h < heads; ++h) {
      Row query = Piece(q, h * dims, dims);
      Turn(std::span(query).subspan(plain), angles[t].cosine, angles[t].sine,
           true);
      Row key = Piece(kv, h * (plain + wide), plain);
      key.insert(key.end(), shared.begin(), shared.end());
      out.queries[h].push_back(query);
      out.keys[h].push_back(key);
      out.values[h].push_back(Piece(kv, h * (plain + wide) + plain, wide));
    }
  }
  return out;
}

std::vector<PlainModel::Angles> PlainModel::Turns(
    std::span<const int32_t> positions, double& score_factor) const {
  const Json& rope = config_.at("rope_parameters");
  const std::string type = rope.at("rope_type").get<std::string>();
  const double theta = rope.at("rope_theta").get<double>();
  const double factor = rope.value("factor", 1.0);
  const double original = rope.value("original_max_position_embeddings",
                                     Number("max_position_embeddings"));
  const auto dims = static_cast<double>(
      deepseek_ ? Int("qk_rope_head_dim")
                : static_cast<int64_t>(
                      Weight("model.layers.0.self_attn.q_proj.weight").rows) /
                      Int("num_attention_heads"));
  const double circle = 2 * std::numbers::pi;
  double scale = 1, low = 0, high = 0;
  score_factor = 1;
  if (type == "yarn") {
    const auto place = [&](double beta) {
      return dims * std::log(original / (beta * circle)) /
             (2 * std::log(theta));
    };
    low = std::max(std::floor(place(rope.value("beta_fast", 32.0))), 0.0);
    high = std::min(std::ceil(place(rope.value("beta_slow", 1.0))), dims - 1);
    if (low == high) high += 0.001;
    const double m = rope.value("mscale", 0.0),
                 all = rope.value("mscale_all_dim", 0.0);
    scale = m != 0 && all != 0 ? Mscale(factor, m) / Mscale(factor, all)
                               : Mscale(factor, 1);
    if (deepseek_ && all != 0)
      score_factor = Mscale(factor, all) * Mscale(factor, all);
  }
  std::vector<Angles> out(positions.size());
  for (double i = 0; 2 * i < dims; ++i) {
    double frequency = std::pow(theta, -2 * i / dims);
    if (type == "linear") frequency /= factor;
    if (type == "yarn") {
      const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
      frequency = frequency * (1 - ramp) + frequency / factor * ramp;
    }
    if (type == "llama3") {
      const double slow = rope.at("low_freq_factor").get<double>(),
                   fast = rope.at("high_freq_factor").get<double>(),
                   turns = original * frequency / circle;
      const double t = std::clamp((turns - slow) / (fast - slow), 0.0, 1.0);
      frequency = (1 - t) * frequency / factor + t * frequency;
    }
    // Frequencies and angles are f32 numbers in these models.
    for (size_t t = 0; t < positions.size(); ++t) {
      const float angle =
          static_cast<float>(positions[t]) * static_cast<float>(frequency);
      out[t].cosine.push_back(std::cos(double(angle)) * scale);
      out[t].sine.push_back(std::sin(double(angle)) * scale);
    }
  }
  return out;
}

std::vector<double> PlainModel::Logits(std::span<const int32_t> ids,
                                       std::span<const int32_t> positions,
                                       size_t from) const {
  const double eps = Number("rms_norm_eps");
  double score_factor = 1;
  const std::vector<Angles> angles = Turns(positions, score_factor);
  const Matrix& table = Weight("model.embed_tokens.weight");
  Rows x;
  for (int32_t id : ids)
    x.push_back(Piece(table.values, static_cast<size_t>(id) * table.columns,
                      table.columns));
  const int64_t layers = Int("num_hidden_layers");
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::string name = "model.layers." + std::to_string(layer),
                      attention = name + ".self_attn";
    Rows normed;
    for (const Row& row : x)
      normed.push_back(Norm(name + ".input_layernorm", row, eps));
    const Heads heads = deepseek_ ? DeepSeek(attention, normed, angles)
                                  : Mixtral(attention, normed, angles);
    // Only the rows asked for leave the last layer.
    for (size_t t = layer + 1 == layers ? from : 0; t < x.size(); ++t) {
      const size_t first =
          heads.window > 0 && static_cast<int64_t>(t) >= heads.window
              ? t + 1 - static_cast<size_t>(heads.window)
              : 0;
      Row seen;
      for (size_t h = 0; h < heads.queries.size(); ++h) {
        const Row& query = heads.queries[h][t];
        Row weights;
        for (size_t j = first; j <= t; ++j)
          weights.push_back(
              Dot(query.data(), heads.keys[h][j].data(), query.size()) *
              heads.scale * score_factor);
        Softmax(weights);
        Row sum(heads.values[h][t].size());
        for (size_t j = first; j <= t; ++j)
          AddTo(sum, heads.values[h][j], weights[j - first]);
        seen.insert(seen.end(), sum.begin(), sum.end());
      }
      AddTo(x[t], Linear(attention + ".o_proj", seen));
      AddTo(x[t], FeedForward(layer, Norm(name + ".post_attention_layernorm",
                                          x[t], eps)));
    }
  }
  std::vector<double> logits;
  const bool tied = config_.at("tie_word_embeddings").get<bool>();
  for (size_t t = from; t < x.size(); ++t) {
    const Row row = Linear(tied ? "model.embed_tokens" : "lm_head",
                           Norm("model.norm", x[t], eps));
    logits.insert(logits.end(), row.begin(), row.end());
  }
  return logits;
}

}  // namespace moe::compiled
