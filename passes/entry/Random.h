// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Keys of random numbers in the entries of a model. Until an entry has one,
// `moe.layer_key` of a constant stands for it.
#ifndef MOE_PASSES_ENTRY_RANDOM_H
#define MOE_PASSES_ENTRY_RANDOM_H

#include "dialect/moe/MoeDialect.h"

namespace mlir::moe::entry {
/// i32 [6]: seed, step, layer, tokens in front (moe.random).
RankedTensorType keyType(MLIRContext *context);

/// Whether layers of |op| ask for a key.
bool wantsKey(Operation *op);
/// Gives |key| to all layers of |function|.
void useKey(func::FuncOp function, Value key);

/// Drops elements of branches and of what goes into the first layer of
/// |function| at random, each with the probability |rate|. Branches are what
/// layers add to what they carry.
LogicalResult addDropout(func::FuncOp function, Value key, double rate);
} // namespace mlir::moe::entry

#endif
