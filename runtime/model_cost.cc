// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/model_cost.h"

#include <algorithm>
#include <cmath>

namespace moe {
namespace {

// A matrix over the vocabulary: the embedding table where it is raw (rows are
// looked up), the output head where it is packed.
bool OverVocabulary(const ParamSpec& param, const ModelSpec& model) {
  return param.rank == 2 && param.groups == 1 && param.n == model.vocab_size;
}

StepCost CostOfParam(const ParamSpec& param, const ModelSpec& model,
                     const StepShape& shape) {
  const auto layers = static_cast<double>(param.layers);
  const auto elements = static_cast<double>(param.n * param.k);
  const auto tokens = static_cast<double>(shape.tokens);
  double bytes = layers * static_cast<double>(param.bytes);
  if (param.rank == 1) return {0, bytes};
  if (OverVocabulary(param, model)) {
    if (param.format == ParamFormat::kRaw) {
      const auto row = static_cast<double>(param.k * DTypeSize(param.dtype));
      return {0, std::min(bytes, tokens * row)};
    }
    return {2 * elements * static_cast<double>(shape.sequences), bytes};
  }
  double rows = tokens * static_cast<double>(param.groups);
  if (param.PerExpert(model.experts) && model.top_k > 0) {
    const double chosen =
        static_cast<double>(model.top_k) / static_cast<double>(model.experts);
    rows = tokens * static_cast<double>(model.top_k);
    bytes *= 1 - std::pow(1 - chosen, tokens);
  }
  return {2 * elements * rows * layers, bytes};
}

}  // namespace

StepCost CostOfStep(const Manifest& manifest, const StepShape& shape) {
  const ModelSpec model = manifest.model.value_or(ModelSpec{});
  StepCost cost;
  for (const ParamSpec& param : manifest.params) {
    const StepCost one = CostOfParam(param, model, shape);
    cost.flops += one.flops;
    cost.bytes += one.bytes;
  }
  if (model.kv)
    cost.bytes += static_cast<double>(shape.context_tokens) *
                  static_cast<double>(model.kv->TokenBytes());
  return cost;
}

}  // namespace moe
