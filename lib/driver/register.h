// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Dialects, passes and pipelines of the compiler.
#ifndef MOE_LIB_DRIVER_REGISTER_H
#define MOE_LIB_DRIVER_REGISTER_H

#include "mlir/IR/DialectRegistry.h"

namespace mlir::moe {
/// Adds every dialect that a program of any phase may hold to |registry|, and
/// registers all passes and pipelines (once per process).
void registerEverything(DialectRegistry &registry);
} // namespace mlir::moe

#endif
