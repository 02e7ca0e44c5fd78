// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_PASSES_LOWER_CPU_HEADLOSS_H
#define MOE_PASSES_LOWER_CPU_HEADLOSS_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {
/// nn.head_loss (HeadLoss.cpp).
void addHeadLossKernel(llvm::StringMap<KernelEntry> &table);
} // namespace mlir::moe::cpu

#endif
