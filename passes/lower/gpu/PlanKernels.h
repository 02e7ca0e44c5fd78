// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Kernels that make a plan of indices and counts; README.md tells grids and
// arguments.
#ifndef MOE_PASSES_LOWER_GPU_PLANKERNELS_H
#define MOE_PASSES_LOWER_GPU_PLANKERNELS_H

#include "passes/lower/gpu/WarpEmitter.h"

namespace mlir::moe::device {

/// From the counts of each block of tokens to the offsets of experts and the
/// first row of each block inside each expert: one block of threads.
LLVM::LLVMFuncOp emitPlanScan(WarpEmitter &e, StringRef name, int64_t experts);

/// Gives each choice its row, in token order: one block of threads for each
/// block of tokens.
LLVM::LLVMFuncOp emitPlanPlace(WarpEmitter &e, StringRef name, int64_t experts,
                               int64_t k);

} // namespace mlir::moe::device

#endif
