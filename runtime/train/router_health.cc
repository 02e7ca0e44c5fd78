// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/router_health.h"

#include <algorithm>
#include <cmath>

namespace moe {

LayerHealth HealthOf(const LayerLoad& load, int64_t choices) {
  LayerHealth health;
  health.layer = load.layer;
  const auto experts = static_cast<double>(load.tokens.size());
  int64_t sum = 0;
  for (const int64_t tokens : load.tokens) {
    sum += tokens;
    health.dead += tokens == 0;
  }
  if (choices > 0)
    health.dropped = static_cast<double>(std::max<int64_t>(choices - sum, 0)) /
                     static_cast<double>(choices);
  if (sum == 0) {
    health.entropy = 0;
    return health;
  }
  const double mean = static_cast<double>(sum) / experts;
  double squares = 0, entropy = 0;
  health.min = health.max = static_cast<double>(load.tokens.front()) / mean;
  for (const int64_t tokens : load.tokens) {
    const double ratio = static_cast<double>(tokens) / mean;
    health.min = std::min(health.min, ratio);
    health.max = std::max(health.max, ratio);
    squares += (ratio - 1) * (ratio - 1);
    if (tokens > 0) entropy -= ratio / experts * std::log(ratio / experts);
  }
  health.cv = std::sqrt(squares / experts);
  if (experts > 1) health.entropy = entropy / std::log(experts);
  return health;
}

}  // namespace moe
