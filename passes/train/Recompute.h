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
StringRef stringifyRecompute(Recompute policy);

/// Whether |op| may be computed again.
bool isComputedAgain(Operation *op, Recompute policy);

/// The values of |body| with the fewest bytes from which, with what stands
/// outside of it, all of |needed| can be computed again; what no operation of
/// |body| gives is among them.
llvm::SetVector<Value> valuesToKeep(Block &body, ArrayRef<Value> needed,
                                    Recompute policy);

/// Bytes of a value: for each token, and beside that.
struct ValueBytes {
  int64_t token = 0, fixed = 0;
  int64_t of(int64_t tokens) const { return token * tokens + fixed; }
};
ValueBytes bytesOf(Value value);

/// On a layers loop whose values a gradient keeps: bytes of one layer for each
/// token, and beside that (array of two i64).
inline constexpr llvm::StringLiteral kKeptBytes = "nn.kept_bytes";
/// On a function with gradients: the policy, as parseRecompute() reads it.
inline constexpr llvm::StringLiteral kRecompute = "nn.recompute";

} // namespace mlir::moe::train

#endif
