// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sixteen queries of one head of a sequence over the chunks of keys that all of
// them see, in the order of operations of each query alone.
//
//   QueryBlock block(e, sizes, source);
//   block.start(16);
//   block.run(q, stride, element, e.i64(128)); // keys [0, 128)
//   e.loadScalar(block.total(query), f32)      // and what it has so far
#ifndef MOE_PASSES_LOWER_CPU_QUERYBLOCK_H
#define MOE_PASSES_LOWER_CPU_QUERYBLOCK_H

#include "passes/lower/cpu/KeySource.h"

namespace mlir::moe::cpu {

/// Keys that raise the largest score together, from position 0.
constexpr int64_t kChunk = 64;

/// Sizes of one attention.
struct AttentionSizes {
  int64_t heads, keyHeads, keyDims, valueDims, window;
  float scale, cap;
  bool tiled; // query head h reads key head h mod keyHeads
  /// cap·tanh(score / cap) of lanes.
  Value capped(Emitter &e, Value score) const {
    Value limit = e.splatF32(cap);
    return e.mulF(e.tanh(e.divF(score, limit)), limit);
  }
  static int64_t padded(int64_t n) {
    return (n + kLanes - 1) / kLanes * kLanes;
  }
};

class QueryBlock {
public:
  QueryBlock(Emitter &e, const AttentionSizes &sizes, KeySource &source);

  /// No key taken in, for the first |queries|; |sink|, which may be null, is a
  /// score without a value.
  void start(Value queries, Value sink);
  /// Takes in the keys [0, end), whole chunks, for 16 queries whose rows of
  /// |element| lie |stride| elements apart.
  void run(Value q, int64_t stride, Type element, Value end);

  // What a query has: pointers to f32.
  Value largest(Value query) { return cell(largests, query); }
  Value total(Value query) { return cell(totals, query); }
  /// Weighted values, zero behind the value dims up to whole vectors.
  Value sums(Value query);

private:
  Type f32() { return e.b.getF32Type(); }
  Value cell(Value base, Value at) { return e.offset(base, at, f32()); }
  void transpose(Value q, int64_t stride, Type element);
  void chunk(Value begin);
  void scoresOf(const Run &run, Value key, Value begin);
  Values laneSums(ArrayRef<Value> keys, ArrayRef<int64_t> lanes);
  void addValues(Value begin, Value query, int64_t queries, Value first,
                 int64_t vectors, int64_t left);

  Emitter &e;
  const AttentionSizes &sizes;
  KeySource &source;
  Value queries; // [key dims][16 queries]
  Value scores;  // [64 keys][16 queries]
  Value factors; // [16 queries]: of a chunk, for what was before it
  Value widened; // keys in f32 where they are stored in another type
  Value largests, totals, allSums;
};

} // namespace mlir::moe::cpu

#endif
