// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One head of one token over its keys, after those that a QueryBlock took in.
//
//   HeadAttention attention(e, sizes, source);
//   attention.run(q, qElement, position, out, outElement, block, i, seen);
#ifndef MOE_PASSES_LOWER_CPU_HEADATTENTION_H
#define MOE_PASSES_LOWER_CPU_HEADATTENTION_H

#include "passes/lower/cpu/QueryBlock.h"

namespace mlir::moe::cpu {

class HeadAttention {
public:
  HeadAttention(Emitter &e, const AttentionSizes &sizes, KeySource &source);

  /// |q| and |out| point to the rows of the head; |position| is the last key.
  /// The keys [0, seen), whole chunks, are in query |of| of |block|.
  void run(Value q, Type qElement, Value position, Value out, Type outElement,
           QueryBlock &block, Value of, Value seen);

private:
  Type f32() { return e.b.getF32Type(); }
  Value cell(Value base, Value at) { return e.offset(base, at, f32()); }
  Values chunk(Value begin, Value end, Value largest, Value total);
  void eachScore(function_ref<void(Value at, Value lanes)> body);
  void scoresOf(const Run &run, Value key, Value begin, int64_t count);
  void cap(Value count);
  Value scaledSums(ArrayRef<Value> v);
  Value addValues(Value begin, Value end, int64_t first, int64_t count,
                  Value factor, Value total);

  Emitter &e;
  const AttentionSizes &sizes;
  KeySource &source;
  Value query, sums, scores;
};

} // namespace mlir::moe::cpu

#endif
