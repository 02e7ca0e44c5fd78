// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The loss, and the update of parameters.
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

void moe::cpu::addTrainingKernels(llvm::StringMap<KernelEntry> &table) {
}
