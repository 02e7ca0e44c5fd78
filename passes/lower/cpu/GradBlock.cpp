// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/GradBlock.h"
#include "passes/lower/cpu/Pack.h"
#include "passes/lower/cpu/Views.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe::cpu;

constexpr float kInf = std::numeric_limits<float>::infinity();

int64_t GradBlock::size(const AttentionSizes &sizes) {
  return 2 * kLanes *
         (AttentionSizes::padded(sizes.keyDims) +
          AttentionSizes::padded(sizes.valueDims));
}

GradBlock::GradBlock(Emitter &e, const AttentionSizes &sizes, Value memory)
    : e(e), sizes(sizes) {
  int64_t key = AttentionSizes::padded(sizes.keyDims),
          value = AttentionSizes::padded(sizes.valueDims);
  auto part = [&](int64_t width, int64_t row) -> Rows {
    Value base = memory;
    memory = cell(memory, e.i64(kLanes * row));
    return {base, width};
  };
  queries = part(key, key);
  grads = part(value, value);
  queryColumns = part(kLanes, key);
  gradColumns = part(kLanes, value);
}

Value GradBlock::run(const Buffer &q, const Buffer &dy, const Buffer &dq,
                     Value token, Value count, Value head, const KeyRows &rows,
                     Value behind, Value seen, Value sink) {
  Value sixteen = e.i64(kLanes);
  int64_t keyVectors = queries.width / kLanes,
          valueVectors = grads.width / kLanes;
  read(q, sizes.keyDims, token, count, head, queries, queryColumns);
  read(dy, sizes.valueDims, token, count, head, grads, gradColumns);
  setProduct(e, rows.scores, seen, 1, {rows.keys.base, rows.keys.width, 1},
             queryColumns, e.i64(sizes.keyDims));
  setProduct(e, rows.products, seen, 1,
             {rows.values.base, rows.values.width, 1}, gradColumns,
             e.i64(sizes.valueDims));
  Value share = weights(rows, behind, seen, count, sink);

  Rows sums{queryColumns.base, queries.width}; // columns are no longer needed
  setProduct(e, sums, sixteen, keyVectors, {rows.products.base, 1, kLanes},
             rows.keys, seen);
  e.loop(e.i64(0), count, 1, [&](Value i) {
    Value row = sums.at(e, i);
    e.lanes(sizes.keyDims, [&](Value column, Value mask) {
      Value at = e.add(e.mul(head, e.i64(sizes.keyDims)), column);
      e.store(dq, e.add(token, i), at, e.loadLanes(cell(row, column), f32()),
              mask);
    });
  });
  addProduct(e, rows.keyGrads, seen, keyVectors,
             {rows.products.base, kLanes, 1}, queries, sixteen);
  addProduct(e, rows.valueGrads, seen, valueVectors,
             {rows.scores.base, kLanes, 1}, grads, sixteen);
  return share;
}

/// 16 rows in f32, also as columns; behind |count| the last one again.
void GradBlock::read(const Buffer &x, int64_t dims, Value token, Value count,
                     Value head, const Rows &rows, const Rows &columns) {
  Value last = e.sub(count, e.i64(1));
  e.lanes(dims, [&](Value column, Value mask) {
    Values lanes;
    Value at = e.add(e.mul(head, e.i64(dims)), column);
    for (int64_t i = 0; i < kLanes; ++i) {
      Value row = e.add(token, e.minI(e.i64(i), last));
      lanes.push_back(e.load(x, row, at, mask));
      e.storeLanes(cell(rows.at(e, e.i64(i)), column), f32(), lanes.back());
    }
    for (auto [i, turned] : llvm::enumerate(transposed(e, lanes)))
      e.storeLanes(columns.at(e, e.add(column, e.i64(i))), f32(), turned);
  });
}

/// Makes p of the scores and g of the products.
Value GradBlock::weights(const KeyRows &rows, Value behind, Value seen,
                         Value count, Value sink) {
  Value scale = e.splatF32(sizes.scale), one = e.splatF32(1);
  auto score = [&](Value key, ValueRange largest) {
    Value at = rows.scores.at(e, key);
    Value score = e.mulF(e.loadLanes(at, f32()), scale);
    if (sizes.cap) {
      Value limit = e.splatF32(sizes.cap);
      Value share = e.tanh(e.divF(score, limit));
      e.storeLanes(rows.slopes.at(e, key), f32(),
                   e.subF(one, e.mulF(share, share)));
      score = e.mulF(share, limit);
    }
    Value ago = e.sub(e.iota(), e.splat(e.toI32(e.add(behind, key))));
    auto keep = [&](arith::CmpIPredicate than, int64_t limit) {
      score = e.select(e.cmp(than, ago, e.splatI32(limit)), score,
                       e.splatF32(-kInf));
    };
    keep(arith::CmpIPredicate::sge, 0);
    if (sizes.window)
      keep(arith::CmpIPredicate::slt,
           std::min<int64_t>(sizes.window, INT32_MAX));
    e.storeLanes(at, f32(), score);
    return Values{e.maxF(largest[0], score)};
  };
  Value largest = e.loop(e.i64(0), seen, 1,
                         ValueRange{sink ? sink : e.splatF32(-kInf)}, score)[0];
  Values sums =
      e.loop(e.i64(0), seen, 1, ValueRange{e.splatF32(0), e.splatF32(0)},
             [&](Value key, ValueRange sums) {
               Value at = rows.scores.at(e, key);
               Value p = e.exp(e.subF(e.loadLanes(at, f32()), largest));
               e.storeLanes(at, f32(), p);
               Value d = e.loadLanes(rows.products.at(e, key), f32());
               return Values{e.addF(sums[0], p), e.fma(p, d, sums[1])};
             });
  Value atSink;
  if (sink) {
    atSink = e.exp(e.subF(sink, largest));
    sums[0] = e.addF(sums[0], atSink);
  }
  // Nothing of the queries behind the last one.
  Value factor = e.select(lanesBefore(e, e.i64(0), count), e.divF(one, sums[0]),
                          e.splatF32(0));
  Value mean = e.mulF(sums[1], factor);
  e.loop(e.i64(0), seen, 1, [&](Value key) {
    Value at = rows.scores.at(e, key), to = rows.products.at(e, key);
    Value p = e.mulF(e.loadLanes(at, f32()), factor);
    Value g = e.mulF(p, e.subF(e.loadLanes(to, f32()), mean));
    if (sizes.cap)
      g = e.mulF(g, e.loadLanes(rows.slopes.at(e, key), f32()));
    e.storeLanes(at, f32(), p);
    e.storeLanes(to, f32(), e.mulF(g, scale));
  });
  return sink ? e.mulF(e.mulF(atSink, factor), mean) : Value();
}
