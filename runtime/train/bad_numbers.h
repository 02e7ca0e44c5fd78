// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where numbers that are not finite came from, by the names that tensors have
// in a checkpoint.

#ifndef MOE_RUNTIME_TRAIN_BAD_NUMBERS_H_
#define MOE_RUNTIME_TRAIN_BAD_NUMBERS_H_

#include <span>
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

// "activations of layer 3 behind 'model.layers.3.mlp.gate.weight'": where a
// forward pass over |rows|, which does not give a finite loss though all weights
// are finite, leaves the numbers. Layers are taken out from the end until the
// loss is finite, then tensors of the layer that it was; weights are back as
// they were, gradients are lost. Slow; for once.
std::string FirstBadActivation(Engine& engine, TrainStep& step,
                               std::span<const TrainRow> rows);

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_BAD_NUMBERS_H_
