// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradients of attention for 16 queries of one head by all keys that they see:
//
//   s = q·k, d = dy·v;  p = softmax(s), a = Σ p·d, g = p·(d − a)·scale
//   dq = Σ g·k,  dk += Σ g·q,  dv += Σ p·dy
//
// Scores and products have a query in each lane, and are made once.
#ifndef MOE_PASSES_LOWER_CPU_GRADBLOCK_H
#define MOE_PASSES_LOWER_CPU_GRADBLOCK_H

#include "passes/lower/cpu/QueryBlock.h"
#include "passes/lower/cpu/SmallProduct.h"

namespace mlir::moe::cpu {

/// Rows for keys of one key head; those behind the last key up to a multiple
/// of 16 are zero in |keys| and |values|.
struct KeyRows {
  Rows keys, values;
  Rows keyGrads, valueGrads;     // added to
  Rows scores, products, slopes; // of 16; slopes where there is a cap
};

class GradBlock {
public:
  /// |memory| has size(sizes) cells of f32.
  GradBlock(Emitter &e, const AttentionSizes &sizes, Value memory);
  static int64_t size(const AttentionSizes &sizes);

  /// Takes |count| queries from row |token| of |q| and of |dy|, the part of
  /// |head|, and writes the same part of |dq|. |behind| is the position of the
  /// first key less that of the first query, |seen| the number of keys, a
  /// multiple of 16. With a |sink|, lanes of one score without a value, gives
  /// for each query its probability times a; else null.
  Value run(const Buffer &q, const Buffer &dy, const Buffer &dq, Value token,
            Value count, Value head, const KeyRows &rows, Value behind,
            Value seen, Value sink);

private:
  Type f32() { return e.b.getF32Type(); }
  Value cell(Value base, Value at) { return e.offset(base, at, f32()); }
  void read(const Buffer &x, int64_t dims, Value token, Value count, Value head,
            const Rows &rows, const Rows &columns);
  Value weights(const KeyRows &rows, Value behind, Value seen, Value count,
                Value sink);

  Emitter &e;
  const AttentionSizes &sizes;
  Rows queries, grads; // rows of q and of dy
  Rows queryColumns, gradColumns;
};

} // namespace mlir::moe::cpu

#endif
