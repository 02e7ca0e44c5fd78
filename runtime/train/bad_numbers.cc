// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/bad_numbers.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "lib/core/dtype.h"
#include "lib/core/errors.h"

namespace moe {
namespace {

int64_t LayerElements(const ParamSpec& param) {
  return param.groups * param.n * param.k;
}

// The tensor of a checkpoint that |element| of a parameter comes from.
std::string TensorAt(const ParamSpec& param, int64_t element) {
  const int64_t row = element / param.k;
  const int64_t n = row % param.n, group = row / param.n % param.groups;
  const int64_t layer = row / param.n / param.groups;
  for (const SourceSpec& source : param.sources)
    if (n >= source.n0 && n < source.n0 + source.n)
      return Quoted(source.TensorName(param.first_layer + layer, group));
  return Quoted(param.name);
}

bool InLayers(const ParamSpec& param) {
  return !param.sources.empty() &&
         param.sources.front().pattern.find("{i}") != std::string::npos;
}

}  // namespace

std::string FirstBadWeight(Engine& engine) {
  for (const ParamSpec& param : engine.manifest().params) {
    const std::byte* values = engine.MutableWeights(param);
    const int64_t count = param.layers * LayerElements(param);
    for (int64_t i = 0; i < count; ++i)
      if (!std::isfinite(
              LoadFloat(param.dtype, values + i * DTypeSize(param.dtype))))
        return Joined("weights ", TensorAt(param, i));
  }
  return {};
}

std::string FirstBadGradient(const TrainStep& step) {
  // A backward pass comes to the head, then to the layers, then to the
  // embedding, which is the first parameter of a model.
  std::optional<std::pair<int64_t, std::string>> found;
  const auto params = step.params();
  for (size_t p = 0; p < params.size(); ++p) {
    const ParamSpec& spec = *params[p].spec;
    const int64_t each = LayerElements(spec);
    for (int64_t layer = spec.layers - 1; layer >= 0; --layer) {
      const int64_t place = InLayers(spec) ? spec.first_layer + layer
                            : p == 0       ? -1
                                           : INT64_MAX;
      if (found && place <= found->first) continue;
      for (int64_t i = layer * each; i < (layer + 1) * each; ++i)
        if (!std::isfinite(params[p].gradient[i])) {
          found = {place, TensorAt(spec, i)};
          break;
        }
    }
  }
  return found ? Joined("the gradient of ", found->second) : "";
}

}  // namespace moe
