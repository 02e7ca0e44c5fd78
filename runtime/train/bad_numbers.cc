// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/bad_numbers.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

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

// Elements of one layer of a parameter that are 0 while this lives.
class TakenOut {
 public:
  TakenOut(Engine& engine, const ParamSpec& param, int64_t layer)
      : bytes_(
            static_cast<size_t>(LayerElements(param) * DTypeSize(param.dtype))),
        place_(engine.MutableWeights(param) +
               static_cast<size_t>(layer - param.first_layer) * bytes_),
        kept_(place_, place_ + bytes_) {
    std::fill_n(place_, bytes_, std::byte{0});
  }
  TakenOut(const TakenOut&) = delete;
  TakenOut& operator=(const TakenOut&) = delete;
  ~TakenOut() { std::copy(kept_.begin(), kept_.end(), place_); }

 private:
  size_t bytes_;
  std::byte* place_;
  std::vector<std::byte> kept_;
};

// Calls use(param) for those that have weights of |layer|; -1 stands for what
// is in no layer.
template <typename Use>
void EachOfLayer(const Manifest& manifest, int64_t layer, Use&& use) {
  for (const ParamSpec& param : manifest.params)
    if (layer < 0 ? !InLayers(param)
                  : InLayers(param) && layer >= param.first_layer &&
                        layer < param.first_layer + param.layers)
      use(param);
}

// The element of a layer that is farthest from 0, and how far.
std::pair<double, int64_t> Largest(Engine& engine, const ParamSpec& param,
                                   int64_t layer) {
  const int64_t each = LayerElements(param);
  const int64_t begin = (layer - param.first_layer) * each;
  const std::byte* values = engine.MutableWeights(param);
  std::pair<double, int64_t> largest{-1, begin};
  for (int64_t i = begin; i < begin + each; ++i) {
    const double size =
        std::abs(LoadFloat(param.dtype, values + i * DTypeSize(param.dtype)));
    if (size > largest.first) largest = {size, i};
  }
  return largest;
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

std::string FirstBadActivation(Engine& engine, TrainStep& step,
                               std::span<const TrainRow> rows) {
  const Manifest& manifest = engine.manifest();
  const int64_t targets = CountTargets(rows);
  const auto finite = [&] {
    const auto loss = step.Backward(rows, targets, 0);
    return loss.ok() && std::isfinite(loss->loss);
  };
  // A layer of zeros adds nothing to what passes it by.
  std::vector<std::unique_ptr<TakenOut>> out;
  int64_t layer = manifest.model->layers;
  size_t before = 0;  // of |out|, without the layer that it was
  while (layer > 0) {
    before = out.size();
    EachOfLayer(manifest, --layer, [&](const ParamSpec& param) {
      out.push_back(std::make_unique<TakenOut>(engine, param, layer));
    });
    if (finite()) break;
    if (layer == 0) layer = -1;
  }
  if (layer >= 0) out.resize(before);
  // Of the tensors without which the loss is finite the one with the largest
  // number: others only lead there.
  std::pair<double, std::string> found{-1, ""};
  EachOfLayer(manifest, layer, [&](const ParamSpec& param) {
    const int64_t at = std::max(layer, param.first_layer);
    const auto [size, element] = Largest(engine, param, at);
    const TakenOut without(engine, param, at);
    if (size > found.first && finite())
      found = {size, TensorAt(param, element)};
  });
  return Joined("activations",
                layer >= 0 ? Joined(" of layer ", layer) : std::string(),
                found.second.empty() ? "" : " behind ", found.second);
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
