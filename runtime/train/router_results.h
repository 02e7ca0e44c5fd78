// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the gradients of a batch tell of its routers: results "load.FIRST" and
// "state.PARAM.FIRST", of the layers FIRST, FIRST + STEP, … with ".STEP" behind
// the name where they are not neighbours.

#ifndef MOE_RUNTIME_TRAIN_ROUTER_RESULTS_H_
#define MOE_RUNTIME_TRAIN_ROUTER_RESULTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/bound_entry.h"
#include "runtime/engine.h"

namespace moe {

// Tokens that each expert of a layer got.
struct ExpertLoad {
  int64_t layer = 0;
  std::span<const int32_t> tokens;
};

// A state of a router after the batch, and the weights that it replaces: a bias
// that balances loads, a threshold.
struct RouterState {
  std::byte* weights = nullptr;
  const std::byte* next = nullptr;
  size_t bytes = 0;
};

// By layer. M109 if the entry does not fit the model.
absl::StatusOr<std::vector<ExpertLoad>> ExpertLoads(BoundEntry& grad,
                                                    const ModelSpec& model);
absl::StatusOr<std::vector<RouterState>> RouterStates(BoundEntry& grad,
                                                      Engine& engine);

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_ROUTER_RESULTS_H_
