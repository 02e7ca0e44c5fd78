// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/reference/oracle_folder.h"

#include <algorithm>
#include <cmath>

#include "lib/core/checkpoint.h"
#include "lib/core/dtype.h"
#include "lib/core/safetensors.h"

namespace moe::reference {
namespace {

Weight Widen(const Tensor& tensor) {
  Weight w{tensor.shape, std::vector<float>(*ElementCount(tensor.shape))};
  const int64_t size = DTypeSize(tensor.dtype);
  for (size_t i = 0; i < w.values.size(); ++i)
    w.values[i] =
        LoadFloat(tensor.dtype, tensor.data + static_cast<int64_t>(i) * size);
  return w;
}

double NumberOf(const Json& object, const char* key, double fallback) {
  auto it = object.find(key);
  return it == object.end() || it->is_null() ? fallback : it->get<double>();
}

void Yarn(const Json& rope, double theta, int64_t d, double original,
          bool deepseek, std::vector<double>& inv, RopeFrequencies& out) {
  const double factor = rope.at("factor").get<double>();
  auto dim_of = [&](double turns) {
    return static_cast<double>(d) * std::log(original / (turns * 2 * M_PI)) /
           (2 * std::log(theta));
  };
  double low = dim_of(NumberOf(rope, "beta_fast", 32));
  double high = dim_of(NumberOf(rope, "beta_slow", 1));
  low = std::max(std::floor(low), 0.0);
  high = std::min(std::ceil(high), static_cast<double>(d) - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inv.size(); ++i) {
    const double ramp =
        std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    inv[i] = inv[i] * (1 - ramp) + inv[i] / factor * ramp;
  }
  auto mscale = [&](double m) {
    return factor <= 1 ? 1.0 : 0.1 * m * std::log(factor) + 1;
  };
  const double m = NumberOf(rope, "mscale", 0);
  const double all = NumberOf(rope, "mscale_all_dim", 0);
  out.table_scale = m != 0 && all != 0 ? mscale(m) / mscale(all) : mscale(1);
  out.table_scale = NumberOf(rope, "attention_factor", out.table_scale);
  if (deepseek && all != 0) out.softmax_scale = mscale(all) * mscale(all);
}

void Llama3(const Json& rope, double original, std::vector<double>& inv) {
  const double factor = rope.at("factor").get<double>();
  const double low = rope.at("low_freq_factor").get<double>();
  const double high = rope.at("high_freq_factor").get<double>();
  for (double& f : inv) {
    const double length = 2 * M_PI / f;
    const double blend =
        std::clamp((original / length - low) / (high - low), 0.0, 1.0);
    f = (1 - blend) * f / factor + blend * f;
  }
}

}  // namespace

double OracleFolder::Number(const char* key, double fallback) const {
  return NumberOf(config, key, fallback);
}

int64_t OracleFolder::Int(const char* key) const {
  return config.at(key).get<int64_t>();
}

std::string OracleFolder::Text(const char* key, const char* fallback) const {
  auto it = config.find(key);
  return it == config.end() || it->is_null() ? fallback
                                             : it->get<std::string>();
}

OracleFolder ReadFolder(const std::string& dir) {
  OracleFolder folder{dir, ReadConfig(dir).value(), {}};
  const Checkpoint checkpoint = Checkpoint::Open(dir).value();
  for (const Tensor* tensor : checkpoint.tensors())
    folder.weights.emplace(tensor->name, Widen(*tensor));
  return folder;
}

std::map<std::string, Weight> ReadTensors(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::Open(path).value();
  std::map<std::string, Weight> result;
  for (const Tensor& tensor : file.tensors())
    result.emplace(tensor.name, Widen(tensor));
  return result;
}

Json ReadJson(const std::string& path) { return ReadJsonFile(path).value(); }

RopeFrequencies RopeOf(const OracleFolder& folder, int64_t d) {
  const Json& rope = folder.config.at("rope_parameters");
  const std::string type = rope.at("rope_type").get<std::string>();
  const double theta = rope.at("rope_theta").get<double>();
  const double original = NumberOf(rope, "original_max_position_embeddings",
                                   folder.Number("max_position_embeddings", 0));
  std::vector<double> inv;
  for (int64_t i = 0; i < d / 2; ++i)
    inv.push_back(std::pow(
        theta, -2.0 * static_cast<double>(i) / static_cast<double>(d)));
  RopeFrequencies out;
  if (type == "linear") {
    for (double& f : inv) f /= rope.at("factor").get<double>();
  } else if (type == "yarn") {
    const bool deepseek = folder.Text("model_type", "") == "deepseek_v2";
    Yarn(rope, theta, d, original, deepseek, inv, out);
  } else if (type == "llama3") {
    Llama3(rope, original, inv);
  }
  out.inv_freq.assign(inv.begin(), inv.end());
  return out;
}

}  // namespace moe::reference
