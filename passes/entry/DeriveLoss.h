// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The loss of a model, for the entries of training.
#ifndef MOE_PASSES_ENTRY_DERIVELOSS_H
#define MOE_PASSES_ENTRY_DERIVELOSS_H

#include "passes/entry/Passes.h"

namespace mlir::moe::entry {
/// What the entries of training take behind the arguments of the model.
SmallVector<std::pair<StringRef, Type>> lossArguments(MLIRContext *context);

/// Replaces the logits that |function| returns by objective, loss and aux_loss.
void deriveLoss(func::FuncOp function);
} // namespace mlir::moe::entry

#endif
