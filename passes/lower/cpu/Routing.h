// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The two halves of the routing kernels.
#ifndef MOE_PASSES_LOWER_CPU_ROUTING_H
#define MOE_PASSES_LOWER_CPU_ROUTING_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {
/// make_plan, plan_indices, counts, combine (Plan.cpp).
void addPlanKernels(llvm::StringMap<KernelEntry> &table);
} // namespace mlir::moe::cpu

#endif
