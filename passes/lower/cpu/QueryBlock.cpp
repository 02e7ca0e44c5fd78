// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The scores have a query in each lane: what the sum of the lanes of one query
// is elsewhere is here a sum of vectors, without moves between lanes. The values
// have their columns in the lanes, and a vector of them serves many queries.
#include "passes/lower/cpu/QueryBlock.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe::cpu;

/// Keys whose scores are summed together, and lanes of theirs at one time: as
/// many sums as fit half the registers.
static int64_t keysAtOnce(const Isa &isa) { return isa.vectors == 2 ? 4 : 2; }
static size_t lanesAtOnce(const Isa &isa) { return isa.vectors == 2 ? 4 : 2; }

constexpr float kInf = std::numeric_limits<float>::infinity();

QueryBlock::QueryBlock(Emitter &e, const AttentionSizes &sizes,
                       KeySource &source)
    : e(e), sizes(sizes), source(source) {
  int64_t keyDims = AttentionSizes::padded(sizes.keyDims);
  queries = e.scratch(keyDims * kLanes * 4);
  scores = e.scratch(kChunk * kLanes * 4);
  factors = e.scratch(kLanes * 4);
  if (!source.element.isF32())
    widened = e.scratch(keyDims * keysAtOnce(e.isa) * 4);
  largests = e.scratch(kLanes * 4);
  totals = e.scratch(kLanes * 4);
  allSums = e.scratch(kLanes * AttentionSizes::padded(sizes.valueDims) * 4);
}

Value QueryBlock::sums(Value query) {
  int64_t row = AttentionSizes::padded(sizes.valueDims);
  return cell(allSums, e.mul(query, e.i64(row)));
}

void QueryBlock::start(Value queries, Value sink) {
  e.storeLanes(largests, f32(), sink ? e.splat(sink) : e.splatF32(-kInf));
  e.storeLanes(totals, f32(), e.splatF32(sink ? 1 : 0));
  int64_t row = AttentionSizes::padded(sizes.valueDims);
  e.loop(e.i64(0), e.mul(queries, e.i64(row)), kLanes, [&](Value at) {
    e.storeLanes(cell(allSums, at), f32(), e.splatF32(0));
  });
}

void QueryBlock::run(Value q, int64_t stride, Type element, Value end) {
  transpose(q, stride, element);
  e.loop(e.i64(0), end, kChunk, [&](Value begin) { chunk(begin); });
}

/// Rows of queries to columns.
void QueryBlock::transpose(Value q, int64_t stride, Type element) {
  e.lanes(sizes.keyDims, [&](Value column, Value mask) {
    Values rows;
    for (int64_t i = 0; i < kLanes; ++i)
      rows.push_back(
          e.loadLanes(e.offset(q, e.add(column, e.i64(i * stride)), element),
                      element, mask));
    // Exchange what is off the diagonal, in blocks of 8, 4, 2, 1.
    for (int64_t size = kLanes / 2; size; size /= 2) {
      SmallVector<int64_t> front, back;
      for (int64_t i = 0; i < kLanes; ++i) {
        bool second = i & size;
        front.push_back(second ? kLanes + i - size : i);
        back.push_back(second ? kLanes + i : i + size);
      }
      for (int64_t i = 0; i < kLanes; ++i) {
        if (i & size)
          continue;
        Value a = rows[i], c = rows[i + size];
        rows[i] = vector::ShuffleOp::create(e.b, e.loc, a, c, front);
        rows[i + size] = vector::ShuffleOp::create(e.b, e.loc, a, c, back);
      }
    }
    for (auto [i, row] : llvm::enumerate(rows)) {
      Value at = e.mul(e.add(column, e.i64(i)), e.i64(kLanes));
      e.storeLanes(cell(queries, at), f32(), row);
    }
  });
}

void QueryBlock::chunk(Value begin) {
  Value end = e.add(begin, e.i64(kChunk));
  source.runs(begin, end, {}, [&](const Run &run, ValueRange) {
    e.loop(run.first, run.last, keysAtOnce(e.isa),
           [&](Value key) { scoresOf(run, key, begin); });
    return Values();
  });
  auto score = [&](Value key) {
    return cell(scores, e.mul(key, e.i64(kLanes)));
  };
  Value largest = e.loadLanes(largests, f32());
  Values best =
      e.loop(e.i64(0), e.i64(kChunk), 4, Values(4, e.splatF32(-kInf)),
             [&](Value key, ValueRange best) {
               Values next;
               for (int64_t i = 0; i < 4; ++i) {
                 Value at = score(e.add(key, e.i64(i)));
                 next.push_back(e.maxF(best[i], e.loadLanes(at, f32())));
               }
               return next;
             });
  Value raised = e.maxF(
      largest, e.maxF(e.maxF(best[0], best[1]), e.maxF(best[2], best[3])));
  Value factor = e.exp(e.subF(largest, raised));
  Value total = e.mulF(e.loadLanes(totals, f32()), factor);
  total = e.loop(e.i64(0), e.i64(kChunk), 2, ValueRange{total},
                 [&](Value key, ValueRange total) {
                   Value sum = total[0];
                   for (int64_t i = 0; i < 2; ++i) {
                     Value at = score(e.add(key, e.i64(i)));
                     Value p = e.exp(e.subF(e.loadLanes(at, f32()), raised));
                     e.storeLanes(at, f32(), p);
                     sum = e.addF(sum, p);
                   }
                   return Values{sum};
                 })[0];
  e.storeLanes(largests, f32(), raised);
  e.storeLanes(totals, f32(), total);
  e.storeLanes(factors, f32(), factor);
  // Eight queries by two vectors of columns, or what half the registers hold.
  bool wide = e.isa.vectors == 2;
  int64_t vectors = AttentionSizes::padded(sizes.valueDims) / kLanes,
          together = wide ? 2 : 1, rows = wide ? 8 : 4;
  int64_t whole = sizes.valueDims / (together * kLanes) * together;
  e.loop(e.i64(0), e.i64(kLanes), rows, [&](Value query) {
    e.loop(e.i64(0), e.i64(whole), together, [&](Value first) {
      addValues(begin, query, rows, first, together, sizes.valueDims);
    });
    if (whole < vectors)
      addValues(begin, query, rows, e.i64(whole), vectors - whole,
                sizes.valueDims - whole * kLanes);
  });
}

/// Scores of a few keys from |key| by all queries; the last one of |run| stands
/// for keys behind it.
void QueryBlock::scoresOf(const Run &run, Value key, Value begin) {
  Values keys, places;
  int64_t count = keysAtOnce(e.isa),
          row = AttentionSizes::padded(sizes.keyDims);
  Value last = e.sub(run.last, e.i64(1));
  for (int64_t i = 0; i < count; ++i) {
    Value at = i ? e.minI(e.add(key, e.i64(i)), last) : key;
    places.push_back(cell(scores, e.mul(e.sub(at, begin), e.i64(kLanes))));
    keys.push_back(e.offset(
        run.keys, e.mul(e.sub(at, run.origin), e.i64(source.keyStride)),
        source.element));
    if (!widened)
      continue;
    Value wide = cell(widened, e.i64(i * row));
    e.lanes(sizes.keyDims, [&](Value column, Value mask) {
      Value from = e.offset(keys[i], column, source.element);
      e.storeLanes(cell(wide, column), f32(),
                   e.loadLanes(from, source.element, mask));
    });
    keys[i] = wide;
  }
  // The leaves of the tree of Emitter::sumLanes in order.
  const int64_t lanes[kLanes] = {0, 8, 4, 12, 2, 10, 6, 14,
                                 1, 9, 5, 13, 3, 11, 7, 15};
  for (auto [at, sum] : llvm::zip(places, laneSums(keys, lanes))) {
    Value score = e.mulF(sum, e.splatF32(sizes.scale));
    e.storeLanes(at, f32(), sizes.cap ? sizes.capped(e, score) : score);
  }
}

/// For each key the sums over |lanes| of the products with the queries.
Values QueryBlock::laneSums(ArrayRef<Value> keys, ArrayRef<int64_t> lanes) {
  size_t count = keys.size(), half = lanes.size() / 2;
  auto add = [&](ArrayRef<Value> a, ArrayRef<Value> c) {
    Values sums;
    for (auto [left, right] : llvm::zip(a, c))
      sums.push_back(e.addF(left, right));
    return sums;
  };
  if (lanes.size() > lanesAtOnce(e.isa)) {
    Values front = laneSums(keys, lanes.take_front(half));
    return add(front, laneSums(keys, lanes.drop_front(half)));
  }
  // Chains over the columns of each lane: those of one lane behind another.
  auto step = [&](Value column, ValueRange dots, int64_t columns) {
    Values next = llvm::to_vector(dots);
    for (auto [j, lane] : llvm::enumerate(lanes)) {
      if (lane >= columns)
        continue;
      Value dim = e.add(column, e.i64(lane));
      Value q = e.loadLanes(cell(queries, e.mul(dim, e.i64(kLanes))), f32());
      for (size_t i = 0; i < count; ++i) {
        Value k = e.splat(e.loadScalar(cell(keys[i], dim), f32()));
        next[j * count + i] = e.fma(q, k, dots[j * count + i]);
      }
    }
    return next;
  };
  Values dots(count * lanes.size(), e.splatF32(0));
  int64_t whole = sizes.keyDims / kLanes * kLanes;
  if (whole > 2 * kLanes)
    dots = e.loop(e.i64(0), e.i64(whole), kLanes, dots,
                  [&](Value column, ValueRange dots) {
                    return step(column, dots, kLanes);
                  });
  else
    for (int64_t column = 0; column < whole; column += kLanes)
      dots = step(e.i64(column), dots, kLanes);
  if (sizes.keyDims > whole)
    dots = step(e.i64(whole), dots, sizes.keyDims - whole);
  ArrayRef<Value> left = dots;
  for (; left.size() > count; left = dots) {
    Values sums;
    for (size_t j = 0; j < left.size(); j += 2 * count)
      sums.append(add(left.slice(j, count), left.slice(j + count, count)));
    dots = sums;
  }
  return dots;
}

/// sums = sums·factor + Σ p·value over the chunk, for |queries| from |query|
/// and |vectors| of columns from vector |first|, |left| columns at most.
void QueryBlock::addValues(Value begin, Value query, int64_t queries,
                           Value first, int64_t vectors, int64_t left) {
  Value column = e.mul(first, e.i64(kLanes));
  Values state, cells;
  for (int64_t i = 0; i < queries; ++i) {
    Value at = e.add(query, e.i64(i)), row = sums(at);
    Value factor = e.splat(e.loadScalar(cell(factors, at), f32()));
    for (int64_t v = 0; v < vectors; ++v) {
      cells.push_back(cell(row, e.add(column, e.i64(v * kLanes))));
      state.push_back(e.mulF(e.loadLanes(cells.back(), f32()), factor));
    }
  }
  auto addKey = [&](const Run &run, Value key, ValueRange state) {
    Value start = e.mul(e.sub(key, run.origin), e.i64(source.valueStride));
    Value weights = e.mul(e.sub(key, begin), e.i64(kLanes));
    weights = cell(scores, e.add(weights, query));
    Values values, next;
    for (int64_t v = 0; v < vectors; ++v) {
      int64_t rest = left - v * kLanes;
      Value at =
          e.offset(run.values, e.add(e.add(start, column), e.i64(v * kLanes)),
                   source.element);
      values.push_back(e.loadLanes(at, source.element,
                                   rest < kLanes ? e.tailMask(rest) : Value()));
    }
    for (int64_t i = 0; i < queries; ++i) {
      Value p = e.splat(e.loadScalar(cell(weights, e.i64(i)), f32()));
      for (int64_t v = 0; v < vectors; ++v)
        next.push_back(e.fma(p, values[v], state[i * vectors + v]));
    }
    return next;
  };
  state = source.runs(begin, e.add(begin, e.i64(kChunk)), state,
                      [&](const Run &run, ValueRange state) {
                        return e.loop(run.first, run.last, 1, state,
                                      [&](Value key, ValueRange state) {
                                        return addKey(run, key, state);
                                      });
                      });
  for (auto [at, value] : llvm::zip(cells, state))
    e.storeLanes(at, f32(), value);
}
