// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where numbers that are not finite came from, by the names that tensors have
// in a checkpoint.

#ifndef MOE_RUNTIME_TRAIN_BAD_NUMBERS_H_
#define MOE_RUNTIME_TRAIN_BAD_NUMBERS_H_

#include <string>

#include "runtime/engine.h"
#include "runtime/train/train_step.h"

namespace moe {

// "weights 'model.layers.3.mlp.gate.weight'": the first of the model that is
// not finite; empty if there is none.
std::string FirstBadWeight(Engine& engine);

// "the gradient of 'lm_head.weight'": the first that a backward pass came to,
// which goes from the last layer to the first.
std::string FirstBadGradient(const TrainStep& step);

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_BAD_NUMBERS_H_
