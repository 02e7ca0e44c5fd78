// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_LIB_DRIVER_PRINT_PTX_H
#define MOE_LIB_DRIVER_PRINT_PTX_H

namespace mlir::moe {
/// Registers the pass --moe-print-ptx of `moe-opt`: the PTX of every gpu.module
/// on standard output, an error where there is none.
void registerPrintPtx();
} // namespace mlir::moe

#endif
