// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradients of products.
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

void moe::cpu::addMatmulGradKernels(llvm::StringMap<KernelEntry> &table) {
}
