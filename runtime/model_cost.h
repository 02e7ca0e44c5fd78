// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a step must at least do: floating point operations of the matmuls, and
// bytes of weights and cache that have to be read.

#ifndef MOE_RUNTIME_MODEL_COST_H_
#define MOE_RUNTIME_MODEL_COST_H_

#include <cstdint>

#include "runtime/manifest.h"

namespace moe {

struct StepShape {
  int64_t tokens = 1;          // in the step
  int64_t sequences = 1;       // logits are made for the last token of each
  int64_t context_tokens = 0;  // tokens of cache read, all sequences together
};

struct StepCost {
  double flops = 0;
  double bytes = 0;
};

// Experts that k of E choices per token leave untouched are not counted: of E
// experts, tokens that choose evenly touch E (1 - (1 - k/E)^tokens). Attention
// arithmetic is left out, so this is a lower bound.
StepCost CostOfStep(const Manifest& manifest, const StepShape& shape);

}  // namespace moe

#endif  // MOE_RUNTIME_MODEL_COST_H_
