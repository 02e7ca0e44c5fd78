// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/HeadAttention.h"
#include "passes/lower/cpu/Views.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe::cpu;

/// Keys whose scores are summed together.
constexpr int64_t kKeys = 4;
constexpr float kInf = std::numeric_limits<float>::infinity();

HeadAttention::HeadAttention(Emitter &e, const AttentionSizes &sizes,
                             KeySource &source)
    : e(e), sizes(sizes), source(source) {
  query = e.scratch(AttentionSizes::padded(sizes.keyDims) * 4);
  scores = e.scratch(kChunk * 4);
}

void HeadAttention::run(Value q, Type qElement, Value position, Value out,
                        Type outElement, QueryBlock &block, Value of,
                        Value seen) {
  sums = block.sums(of);
  e.lanes(sizes.keyDims, [&](Value column, Value mask) {
    e.storeLanes(cell(query, column), f32(),
                 e.loadLanes(e.offset(q, column, qElement), qElement, mask));
  });
  Value begin = seen, firstKey, end = e.add(position, e.i64(1));
  if (sizes.window) {
    firstKey = e.maxI(e.i64(0), e.sub(end, e.i64(sizes.window)));
    begin = e.maxI(begin,
                   arith::AndIOp::create(e.b, e.loc, firstKey, e.i64(-kChunk)));
  }
  Values state =
      e.loop(begin, end, kChunk,
             ValueRange{e.loadScalar(block.largest(of), f32()),
                        e.loadScalar(block.total(of), f32())},
             [&](Value first, ValueRange state) {
               Value from = firstKey ? e.maxI(first, firstKey) : first;
               return chunk(from, e.minI(e.add(first, e.i64(kChunk)), end),
                            state[0], state[1]);
             });
  Value total = e.splat(state[1]);
  e.lanes(sizes.valueDims, [&](Value column, Value mask) {
    Value value = e.divF(e.loadLanes(cell(sums, column), f32()), total);
    e.storeLanes(e.offset(out, column, outElement), outElement, value, mask);
  });
}

/// Takes the keys [begin, end) of one chunk in; gives the next largest score
/// and sum of exponentials.
Values HeadAttention::chunk(Value begin, Value end, Value largest,
                            Value total) {
  eachScore(
      [&](Value at, Value) { e.storeLanes(at, f32(), e.splatF32(-kInf)); });
  source.runs(begin, end, {}, [&](const Run &run, ValueRange) {
    Value whole = e.add(
        run.first, arith::AndIOp::create(e.b, e.loc, e.sub(run.last, run.first),
                                         e.i64(-kKeys)));
    e.loop(run.first, whole, kKeys,
           [&](Value key) { scoresOf(run, key, begin, kKeys); });
    e.loop(whole, run.last, 1,
           [&](Value key) { scoresOf(run, key, begin, 1); });
    return Values();
  });
  if (sizes.cap)
    cap(e.sub(end, begin));
  Value best;
  eachScore(
      [&](Value, Value lanes) { best = best ? e.maxF(best, lanes) : lanes; });
  Value raised = e.maxF(largest, e.maxLanes(best));
  Value factor = e.exp(e.subF(largest, raised)), shift = e.splat(raised);
  eachScore([&](Value at, Value lanes) {
    e.storeLanes(at, f32(), e.exp(e.subF(lanes, shift)));
  });
  total = e.mulF(total, factor);
  // Blocks of lanes that fit the registers; the first one also adds up.
  int64_t vectors = AttentionSizes::padded(sizes.valueDims) / kLanes,
          most = e.isa.vectors == 2 ? 8 : 4;
  for (int64_t first = 0; first < vectors; first += most) {
    Value sum = addValues(begin, end, first, std::min(most, vectors - first),
                          e.splat(factor), first ? Value() : total);
    total = first ? total : sum;
  }
  return {raised, total};
}

void HeadAttention::eachScore(function_ref<void(Value at, Value lanes)> body) {
  for (int64_t i = 0; i < kChunk; i += kLanes) {
    Value at = cell(scores, e.i64(i));
    body(at, e.loadLanes(at, f32()));
  }
}

/// Caps the first |count| scores.
void HeadAttention::cap(Value count) {
  Value at = e.i64(0);
  eachScore([&](Value place, Value lanes) {
    Value capped =
        e.select(lanesBefore(e, at, count), sizes.capped(e, lanes), lanes);
    e.storeLanes(place, f32(), capped);
    at = e.add(at, e.i64(kLanes));
  });
}

/// Scores of |count| keys from |key|, stored from the place of key - begin.
void HeadAttention::scoresOf(const Run &run, Value key, Value begin,
                             int64_t count) {
  Values keys;
  Value start = e.mul(e.sub(key, run.origin), e.i64(source.keyStride));
  for (int64_t i = 0; i < count; ++i)
    keys.push_back(e.offset(
        run.keys, i ? e.add(start, e.i64(i * source.keyStride)) : start,
        source.element));
  Values dots(count, e.splatF32(0));
  dots = shortLanes(
      e, sizes.keyDims, dots, [&](Value column, Value mask, ValueRange dots) {
        Value q = e.loadLanes(cell(query, column), f32());
        Values next;
        for (auto [base, dot] : llvm::zip(keys, dots))
          next.push_back(
              e.fma(q,
                    e.loadLanes(e.offset(base, column, source.element),
                                source.element, mask),
                    dot));
        return next;
      });
  Value at = cell(scores, e.sub(key, begin));
  if (count == 1)
    return e.storeScalar(at, f32(),
                         e.mulF(e.sumLanes(dots[0]), e.f32(sizes.scale)));
  LLVM::StoreOp::create(e.b, e.loc, scaledSums(dots), at, 4);
}

/// The sums of the lanes of four vectors, times the scale, by the tree of
/// Emitter::sumLanes: lanes 8 apart, 4, 2, 1.
Value HeadAttention::scaledSums(ArrayRef<Value> v) {
  auto shuffle = [&](Value a, Value b, ArrayRef<int64_t> order) -> Value {
    return vector::ShuffleOp::create(e.b, e.loc, a, b, order);
  };
  // Of each group of 2·apart lanes, the front halves and the back halves.
  auto fold = [&](Value a, Value b, int64_t apart) {
    SmallVector<int64_t> front, back;
    for (int64_t i = 0; i < 2 * kLanes; i += 2 * apart)
      for (int64_t j = i; j < i + apart; ++j) {
        front.push_back(j);
        back.push_back(j + apart);
      }
    return e.addF(shuffle(a, b, front), shuffle(a, b, back));
  };
  auto turn = [&](Value a, int64_t apart) {
    SmallVector<int64_t> order;
    for (int64_t i = 0; i < kLanes; ++i)
      order.push_back(i ^ apart);
    return e.addF(a, shuffle(a, a, order));
  };
  Value sums = fold(fold(v[0], v[1], 8), fold(v[2], v[3], 8), 4);
  sums = turn(turn(sums, 2), 1);
  Value four = shuffle(sums, sums, {0, 4, 8, 12});
  auto type = cast<VectorType>(four.getType());
  Value scale = arith::ConstantOp::create(
      e.b, e.loc, DenseElementsAttr::get(type, sizes.scale));
  return e.mulF(four, scale);
}

/// sums = sums·factor + Σ p·value for |count| vectors of lanes from vector
/// |first|; also total + Σ p where |total| is given.
Value HeadAttention::addValues(Value begin, Value end, int64_t first,
                               int64_t count, Value factor, Value total) {
  Values state;
  for (int64_t i = 0; i < count; ++i)
    state.push_back(e.mulF(
        e.loadLanes(cell(sums, e.i64((first + i) * kLanes)), f32()), factor));
  if (total)
    state.push_back(total);
  auto addKey = [&](const Run &run, Value key, ValueRange state) {
    Value p = e.loadScalar(cell(scores, e.sub(key, begin)), f32()),
          lanes = e.splat(p);
    Value start = e.mul(e.sub(key, run.origin), e.i64(source.valueStride));
    Values next;
    for (int64_t i = 0; i < count; ++i) {
      int64_t column = (first + i) * kLanes;
      Value mask = sizes.valueDims - column < kLanes
                       ? e.tailMask(sizes.valueDims - column)
                       : Value();
      Value at =
          e.offset(run.values, e.add(start, e.i64(column)), source.element);
      next.push_back(
          e.fma(lanes, e.loadLanes(at, source.element, mask), state[i]));
    }
    if (total)
      next.push_back(e.addF(state[count], p));
    return next;
  };
  state = source.runs(begin, end, state, [&](const Run &run, ValueRange state) {
    return e.loop(
        run.first, run.last, 1, state,
        [&](Value key, ValueRange state) { return addKey(run, key, state); });
  });
  for (int64_t i = 0; i < count; ++i)
    e.storeLanes(cell(sums, e.i64((first + i) * kLanes)), f32(), state[i]);
  return total ? state.back() : Value();
}
