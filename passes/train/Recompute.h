// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which values of a layer its gradient keeps, and which it computes again.
#ifndef MOE_PASSES_TRAIN_RECOMPUTE_H
#define MOE_PASSES_TRAIN_RECOMPUTE_H

#include "dialect/moe/MoeDialect.h"

#include "llvm/ADT/SetVector.h"

namespace mlir::moe::train {

/// What may be computed again in the backward pass. Choices of experts and
/// plans never are, nor what ranks exchange.
enum class Recompute {
  None,      // what moves elements, or reads parameters
  Selective, // and what costs a few operations for an element
  Full,      // and products and attention
};
std::optional<Recompute> parseRecompute(StringRef text);

/// Whether |op| may be computed again.
bool isComputedAgain(Operation *op, Recompute policy);

/// The values of |body| with the fewest bytes from which, with what stands
/// outside of it, all of |needed| can be computed again; what no operation of
/// |body| gives is among them.
llvm::SetVector<Value> valuesToKeep(Block &body, ArrayRef<Value> needed,
                                    Recompute policy);

/// Bytes of |value| of |body| for 1024 tokens.
int64_t bytesOf(Value value);

} // namespace mlir::moe::train

#endif
