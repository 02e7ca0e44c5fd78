// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_PASSES_TRAIN_PASSES_H
#define MOE_PASSES_TRAIN_PASSES_H

#include "dialect/moe/MoeDialect.h"

#include "mlir/Pass/Pass.h"

namespace mlir::moe::train {
#define GEN_PASS_DECL
#include "passes/train/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/train/Passes.h.inc"
} // namespace mlir::moe::train

#endif
