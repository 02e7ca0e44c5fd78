// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Names of checkpoint tensors with a place for the layer and the expert:
//   ExpandPattern("l.{i}.e.{e}.w", 3, 7)   // "l.3.e.7.w"
//   ExpandPattern("l.{2i+1}.w", 3, 0)      // "l.7.w"
// Pure functions.

#ifndef MOE_LIB_CORE_TENSOR_PATTERN_H_
#define MOE_LIB_CORE_TENSOR_PATTERN_H_

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moe {

// The layer that a pattern names for index i: scale * i + offset.
struct LayerPlace {
  int64_t scale = 1, offset = 0;
};

// |text| starts with a place: {e}, {i}, or {Ai+B} with A or B left out. Then
// |end| is the index behind it, and |layer| is set unless it is {e}.
struct PatternPlace {
  size_t end = 0;
  std::optional<LayerPlace> layer;
};
inline std::optional<PatternPlace> ReadPlace(std::string_view text) {
  if (text.substr(0, 3) == "{e}") return PatternPlace{3, std::nullopt};
  if (text.empty() || text[0] != '{') return std::nullopt;
  const char *at = text.data() + 1, *end = text.data() + text.size();
  LayerPlace layer;
  const auto number = [&](int64_t& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 0 || value > 1'000'000) return false;
    at = next;
    return true;
  };
  if (at != end && *at >= '0' && *at <= '9' && !number(layer.scale))
    return std::nullopt;
  if (at == end || *at++ != 'i') return std::nullopt;
  if (at != end && *at == '+' && (++at, !number(layer.offset)))
    return std::nullopt;
  if (at == end || *at++ != '}') return std::nullopt;
  return PatternPlace{static_cast<size_t>(at - text.data()), layer};
}

// The first place of a layer in |pattern|.
inline std::optional<LayerPlace> LayerOfPattern(std::string_view pattern) {
  for (size_t i = 0; i < pattern.size(); ++i)
    if (const auto place = ReadPlace(pattern.substr(i)); place && place->layer)
      return place->layer;
  return std::nullopt;
}

// |pattern| for index |layer| and expert |group|. Places of a layer stay as
// they are without one.
inline std::string ExpandPattern(std::string_view pattern,
                                 std::optional<int64_t> layer, int64_t group) {
  std::string name;
  while (!pattern.empty()) {
    const auto place = ReadPlace(pattern);
    if (!place || (place->layer && !layer)) {
      name += pattern.front();
      pattern.remove_prefix(1);
      continue;
    }
    name += std::to_string(place->layer ? place->layer->scale * *layer +
                                              place->layer->offset
                                        : group);
    pattern.remove_prefix(place->end);
  }
  return name;
}

}  // namespace moe

#endif  // MOE_LIB_CORE_TENSOR_PATTERN_H_
