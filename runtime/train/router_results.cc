// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/router_results.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

constexpr std::string_view kLoad = "load.", kState = "state.";

// The layers FIRST, FIRST + STEP, …
struct Layers {
  int64_t first = -1, step = 1;
};

// "FIRST" or "FIRST.STEP"; first is -1 for anything else.
Layers ReadLayers(std::string_view text) {
  Layers layers;
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, layers.first);
  if (error == std::errc() && at != end && *at == '.')
    error = std::from_chars(at + 1, end, layers.step).ec, at = end;
  if (error != std::errc() || at != end || layers.step < 1) return {};
  return layers;
}

bool IsConstant(const BufferSpec& buffer) {
  return std::all_of(
      buffer.shape.begin(), buffer.shape.end(),
      [](const Extent& extent) { return extent.dim == Extent::kConstant; });
}

absl::Status Refused(const BoundEntry& grad, const BufferSpec& buffer) {
  return Error(Code::M109, "entry ", Quoted(grad.spec().name), " gives ",
               Quoted(buffer.name),
               ", which does not fit the model. Compile it again.");
}

}  // namespace

absl::StatusOr<std::vector<ExpertLoad>> ExpertLoads(BoundEntry& grad,
                                                    const ModelSpec& model) {
  std::vector<ExpertLoad> loads;
  for (const BufferSpec& buffer : grad.spec().buffers) {
    if (buffer.role != BufferRole::kOutput || !buffer.name.starts_with(kLoad))
      continue;
    const Layers layers =
        ReadLayers(std::string_view(buffer.name).substr(kLoad.size()));
    if (layers.first < 0 || buffer.dtype != DType::kI32 ||
        buffer.shape.size() != 2 || !IsConstant(buffer))
      return Refused(grad, buffer);
    const auto* counts =
        static_cast<const int32_t*>(grad.OutputData(buffer.name));
    const auto experts = static_cast<size_t>(buffer.shape[1].add);
    for (int64_t i = 0; i < buffer.shape[0].add; ++i, counts += experts) {
      const int64_t layer = layers.first + i * layers.step;
      if (layer >= model.layers) return Refused(grad, buffer);
      loads.push_back({layer, {counts, experts}});
    }
  }
  std::sort(loads.begin(), loads.end(),
            [](const ExpertLoad& a, const ExpertLoad& b) {
              return a.layer < b.layer;
            });
  return loads;
}

absl::StatusOr<std::vector<RouterState>> RouterStates(BoundEntry& grad,
                                                      Engine& engine) {
  std::vector<RouterState> states;
  for (const BufferSpec& buffer : grad.spec().buffers) {
    const std::string_view name = buffer.name;
    if (buffer.role != BufferRole::kOutput || !name.starts_with(kState))
      continue;
    const ParamSpec* param = nullptr;
    Layers layers;
    for (const ParamSpec& one : engine.manifest().params) {
      const std::string prefix = Joined(kState, one.name, ".");
      if (!name.starts_with(prefix)) continue;
      layers = ReadLayers(name.substr(prefix.size()));
      if (layers.first >= 0) param = &one;
      if (param != nullptr) break;
    }
    if (param == nullptr || buffer.dtype != param->dtype ||
        param->format != ParamFormat::kRaw || buffer.shape.empty() ||
        !IsConstant(buffer))
      return Refused(grad, buffer);
    const auto bytes = static_cast<size_t>(param->bytes);
    size_t row = DTypeSize(buffer.dtype);
    for (size_t axis = 1; axis < buffer.shape.size(); ++axis)
      row *= static_cast<size_t>(buffer.shape[axis].add);
    if (row != bytes) return Refused(grad, buffer);
    std::byte* weights = engine.MutableWeights(*param);
    const auto* next =
        static_cast<const std::byte*>(grad.OutputData(buffer.name));
    for (int64_t i = 0; i < buffer.shape[0].add; ++i) {
      const int64_t slot = layers.first + i * layers.step - param->first_layer;
      if (slot < 0 || slot >= param->layers) return Refused(grad, buffer);
      const auto at = static_cast<size_t>(slot), from = static_cast<size_t>(i);
      states.push_back({weights + at * bytes, next + from * bytes, bytes});
    }
  }
  return states;
}

}  // namespace moe
