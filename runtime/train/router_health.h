// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How evenly a router spreads tokens over experts, in numbers.
//
//   const LayerHealth health = HealthOf(load, tokens * top_k);

#ifndef MOE_RUNTIME_TRAIN_ROUTER_HEALTH_H_
#define MOE_RUNTIME_TRAIN_ROUTER_HEALTH_H_

#include <cstdint>
#include <vector>

namespace moe {

// Tokens that each expert of a layer got.
struct LayerLoad {
  int64_t layer = 0;
  std::vector<int64_t> tokens;
};

// Ratios are to the fair share, the mean load of an expert.
struct LayerHealth {
  int64_t layer = 0;
  double min = 0, max = 0;
  double cv = 0;       // standard deviation over the mean
  int64_t dead = 0;    // experts without a token
  double entropy = 1;  // of the load, over that of an even one: 0 to 1
  double dropped = 0;  // part of the choices that no expert took
};

// |choices|: tokens times experts chosen for each; 0 if that is not fixed.
LayerHealth HealthOf(const LayerLoad& load, int64_t choices);

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_ROUTER_HEALTH_H_
