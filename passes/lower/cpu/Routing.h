// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the files of routing and exchange kernels share.
#ifndef MOE_PASSES_LOWER_CPU_ROUTING_H
#define MOE_PASSES_LOWER_CPU_ROUTING_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {
/// Makes |plan| of |slots| choices, |idx| by token, then choice.
void emitPlan(Emitter &e, const PlanBuffers &plan, const Buffer &idx,
              Value slots);
/// make_plan, plan_indices, counts, combine (Plan.cpp).
void addPlanKernels(llvm::StringMap<KernelEntry> &table);
} // namespace mlir::moe::cpu

#endif
