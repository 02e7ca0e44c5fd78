// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradients of attention.
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

void moe::cpu::addAttentionGradKernels(llvm::StringMap<KernelEntry> &table) {
}
