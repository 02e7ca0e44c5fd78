// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/SmallProduct.h"

using namespace mlir;
using namespace mlir::moe::cpu;

namespace {
class SmallProduct {
public:
  SmallProduct(Emitter &e, const Rows &out, const Cells &a, const Rows &x,
               Value steps, bool add)
      : e(e), out(out), a(a), x(x), steps(steps), add(add) {}

  void run(Value rows, int64_t vectors) {
    bool wide = e.isa.vectors == 2;
    int64_t most = wide ? 2 : 1, whole = vectors / most * most;
    auto columns = [&](Value first, int64_t count) {
      int64_t atOnce = !wide ? 4 : count == 1 ? 16 : 8;
      e.loop(e.i64(0), rows, atOnce,
             [&](Value row) { tile(row, atOnce, first, count); });
    };
    if (whole)
      e.loop(e.i64(0), e.i64(whole * kLanes), most * kLanes,
             [&](Value first) { columns(first, most); });
    if (whole < vectors)
      columns(e.i64(whole * kLanes), vectors - whole);
  }

private:
  Type f32() { return e.b.getF32Type(); }
  Value cell(Value base, Value at) { return e.offset(base, at, f32()); }

  void tile(Value row, int64_t rows, Value column, int64_t vectors) {
    SmallVector<Value> places, sums;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t v = 0; v < vectors; ++v) {
        places.push_back(cell(out.at(e, e.add(row, e.i64(i))),
                              e.add(column, e.i64(v * kLanes))));
        sums.push_back(add ? e.loadLanes(places.back(), f32()) : e.splatF32(0));
      }
    Value first = cell(a.base, e.mul(row, e.i64(a.row)));
    sums = e.loop(e.i64(0), steps, 1, sums, [&](Value j, ValueRange sums) {
      Value from = cell(x.at(e, j), column);
      Value factors = cell(first, e.mul(j, e.i64(a.step)));
      SmallVector<Value> lanes, next;
      for (int64_t v = 0; v < vectors; ++v)
        lanes.push_back(e.loadLanes(cell(from, e.i64(v * kLanes)), f32()));
      for (int64_t i = 0; i < rows; ++i) {
        Value at = cell(factors, e.i64(i * a.row));
        Value factor = e.splat(e.loadScalar(at, f32()));
        for (int64_t v = 0; v < vectors; ++v)
          next.push_back(e.fma(factor, lanes[v], sums[i * vectors + v]));
      }
      return next;
    });
    for (auto [place, sum] : llvm::zip(places, sums))
      e.storeLanes(place, f32(), sum);
  }

  Emitter &e;
  const Rows &out;
  const Cells &a;
  const Rows &x;
  Value steps;
  bool add;
};
} // namespace

void moe::cpu::setProduct(Emitter &e, const Rows &out, Value rows,
                          int64_t vectors, const Cells &a, const Rows &x,
                          Value steps) {
  SmallProduct(e, out, a, x, steps, false).run(rows, vectors);
}

void moe::cpu::addProduct(Emitter &e, const Rows &out, Value rows,
                          int64_t vectors, const Cells &a, const Rows &x,
                          Value steps) {
  SmallProduct(e, out, a, x, steps, true).run(rows, vectors);
}
