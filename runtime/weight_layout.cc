// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/weight_layout.h"

#include <algorithm>

#include "lib/core/errors.h"
#include "runtime/include/moe/abi.h"

namespace moe {
namespace {

constexpr int64_t kPanel = 32;
constexpr int64_t kUnitElements = int64_t{1} << 18;
constexpr int64_t kAlignment = 64;

void AddUnits(const ParamSpec& param, int64_t layer, int64_t offset,
              std::vector<FillUnit>& units) {
  const int64_t panels = std::max<int64_t>(kUnitElements / param.k / kPanel, 1);
  const int64_t columns = panels * kPanel;
  for (int64_t group = 0; group < param.groups; ++group)
    for (int64_t begin = 0; begin < param.n; begin += columns)
      units.push_back({&param, layer, group, begin,
                       std::min(begin + columns, param.n),
                       offset + group * param.group_bytes});
}

}  // namespace

absl::StatusOr<WeightLayout> LayOutWeights(const Manifest& manifest,
                                           const std::vector<bool>& mapped) {
  WeightLayout layout;
  layout.slot_offset.resize(static_cast<size_t>(manifest.param_slots),
                            WeightLayout::kMapped);
  for (const ParamSpec& param : manifest.params) {
    for (int64_t i = 0; i < param.layers; ++i) {
      const size_t slot = static_cast<size_t>(param.index + i);
      int64_t& total = mapped[slot] ? layout.mapped_bytes : layout.block_bytes;
      const int64_t offset = total;
      // Layers of raw numbers follow one another.
      const bool inside =
          param.format == ParamFormat::kRaw && i + 1 < param.layers;
      int64_t end;
      if (__builtin_add_overflow(total, param.bytes, &end) ||
          end > INT64_MAX - kAlignment)
        return Error(Code::R101, "the weights of the module together exceed ",
                     "any memory");
      total = inside ? end : (end + kAlignment - 1) & -kAlignment;
      if (mapped[slot]) continue;
      layout.slot_offset[slot] = offset;
      AddUnits(param, param.first_layer + i, offset, layout.units);
    }
  }
  return layout;
}

std::vector<bool> MappableSlots(const Manifest& manifest) {
  std::vector<bool> mapped(static_cast<size_t>(manifest.param_slots));
  if (manifest.Trains()) return mapped;  // steps write all of them
  for (const ParamSpec& param : manifest.params)
    if (param.MapsDirectly())
      std::fill_n(mapped.begin() + param.index, param.layers, true);
  return mapped;
}

}  // namespace moe
