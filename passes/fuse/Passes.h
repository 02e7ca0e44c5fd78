// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_PASSES_FUSE_PASSES_H
#define MOE_PASSES_FUSE_PASSES_H

#include "dialect/moe/MoeDialect.h"

#include "mlir/Pass/Pass.h"

namespace mlir::moe::fuse {
#define GEN_PASS_DECL
#include "passes/fuse/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/fuse/Passes.h.inc"

/// Replaces |experts| by grouped operations on the rows of all experts. Emits a
/// diagnostic where its body has no such form.
LogicalResult distribute(ExpertsOp experts);
} // namespace mlir::moe::fuse

#endif
