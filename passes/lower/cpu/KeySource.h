// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Where attention finds its keys and values: in the pack or in pages.
#ifndef MOE_PASSES_LOWER_CPU_KEYSOURCE_H
#define MOE_PASSES_LOWER_CPU_KEYSOURCE_H

#include "passes/lower/cpu/Emitter.h"

namespace mlir::moe::cpu {

using Values = SmallVector<Value>;

/// Consecutive positions whose records lie at one distance: [first, last).
struct Run {
  Value first, last;
  Value keys, values; // of position |origin|
  Value origin;
};

/// The keys and values of one key head of one sequence, by position.
class KeySource {
public:
  virtual ~KeySource() = default;
  /// Calls |body| for the runs of [begin, end), which is not empty, in order.
  virtual Values runs(Value begin, Value end, ValueRange init,
                      function_ref<Values(const Run &, ValueRange)> body) = 0;

  Type element;                   // of keys and values
  int64_t keyStride, valueStride; // elements from one position to the next
  Value keys, values;             // of the first record
};

/// Rows of the pack, the first being position 0.
class PackSource : public KeySource {
public:
  explicit PackSource(Value zero) : zero(zero) {}
  Values runs(Value begin, Value end, ValueRange init,
              function_ref<Values(const Run &, ValueRange)> body) override {
    return body({begin, end, keys, values, zero}, init);
  }

private:
  Value zero;
};

/// Records in pages, a run for each page; the first record is that of page 0 of
/// the layer. Divides twice for all the positions of a call.
class PageSource : public KeySource {
public:
  PageSource(Emitter &e, Value pageLength) : e(e), pageLength(pageLength) {}
  Value table; // row of the block table

  Values runs(Value begin, Value end, ValueRange init,
              function_ref<Values(const Run &, ValueRange)> body) override {
    Value first = e.udiv(begin, pageLength);
    Value behind = e.add(e.udiv(e.sub(end, e.i64(1)), pageLength), e.i64(1));
    auto runOf = [&](Value at) -> Run {
      Type i32 = e.b.getI32Type();
      Value page = e.toI64(e.loadScalar(e.offset(table, at, i32), i32));
      Value skip = e.mul(e.mul(page, pageLength), e.i64(keyStride));
      Value origin = e.mul(at, pageLength);
      return {e.maxI(begin, origin), e.minI(end, e.add(origin, pageLength)),
              e.offset(keys, skip, element), e.offset(values, skip, element),
              origin};
    };
    if (init.empty()) {
      e.loop(first, behind, 1, [&](Value at) { body(runOf(at), {}); });
      return {};
    }
    return e.loop(first, behind, 1, init, [&](Value at, ValueRange carried) {
      return body(runOf(at), carried);
    });
  }

private:
  Emitter &e;
  Value pageLength;
};

} // namespace mlir::moe::cpu

#endif
