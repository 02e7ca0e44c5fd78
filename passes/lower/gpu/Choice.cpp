// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Choosing experts within a row. Scores are compared as integers that order as
// selection does, and the lower index wins among equals: a maximum over the
// warp, then a minimum over the indices of those that have it.
#include "passes/lower/gpu/RowEmitter.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::device;

/// Behind every key of a score: chosen already, or no score at all.
static constexpr int32_t kGone = std::numeric_limits<int32_t>::min();
static constexpr int32_t kLargest = std::numeric_limits<int32_t>::max();

Value RowEmitter::keyOf(Value score) {
  Value bits = e.bits(score), zero = e.i32(0);
  Value size = e.andI(bits, e.i32(0x7fffffff));
  Value flushed = e.select(e.cmp(e.kSlt, size, e.i32(0x00800000)), zero, size);
  Value key =
      e.select(e.cmp(e.kSlt, bits, zero), e.sub(zero, flushed), flushed);
  return e.select(e.cmp(e.kSgt, size, e.i32(0x7f800000)), e.i32(kLargest), key);
}

Value RowEmitter::isTaken(ValueRange taken, int64_t reg) {
  Value bit = e.andI(taken[reg / 32], e.i32(int32_t(1u << reg % 32)));
  return e.cmp(e.kNe, bit, e.i32(0));
}

RowEmitter::Registers RowEmitter::take(ValueRange taken, Value best) {
  Value reg = e.shr(best, e.i32(5));
  Value bit = e.shl(e.i32(1), e.andI(reg, e.i32(31)));
  Value mine = e.cmp(e.kEq, e.andI(best, e.i32(kWarp - 1)), e.lane());
  bit = e.select(mine, bit, e.i32(0));
  Registers next;
  for (auto [w, word] : llvm::enumerate(taken)) {
    Value here = e.cmp(e.kEq, e.shr(reg, e.i32(5)), e.i32(w));
    next.push_back(e.orI(word, e.select(here, bit, e.i32(0))));
  }
  return next;
}

Value RowEmitter::bestOf(int64_t begin, int64_t end, KeyOf key,
                         ValueRange taken) {
  Value best, at;
  for (int64_t r = begin; r < end; ++r) {
    Value own = e.select(isTaken(taken, r), e.i32(kGone), key(r));
    Value better = best ? e.cmp(e.kSgt, own, best) : Value();
    best = best ? e.select(better, own, best) : own;
    at = at ? e.select(better, e.i32(r), at) : e.i32(r);
  }
  at = e.add(e.shl(at, e.i32(5)), e.lane());
  Value isBest = e.cmp(e.kEq, best, e.maxOfWarpI(best));
  return e.minOfWarpI(e.select(isBest, at, e.i32(kLargest)));
}

RowEmitter::Choice RowEmitter::choose(int64_t width, int64_t count, KeyOf key) {
  int64_t regs = registersOf(width);
  auto own = [&](int64_t r) { return inside(width, r, key(r), e.i32(kGone)); };
  // Keys are made anew in each round: kept, they would cost as many registers
  // as the scores.
  Registers state{e.i32(width)};
  state.append((regs + 31) / 32, e.i32(0));
  state = e.loop(e.i64(0), e.i64(count), 1, state,
                 [&](Value round, ValueRange carried) {
                   ValueRange taken = carried.drop_front();
                   Value best = bestOf(0, regs, own, taken);
                   Value mine = e.cmp(e.kEq, e.toI32(round), e.lane());
                   Registers next{e.select(mine, best, carried.front())};
                   next.append(take(taken, best));
                   return next;
                 });
  return {state.front(), Registers(llvm::drop_begin(state))};
}

Value RowEmitter::elementAt(const RowValue &row, Value index) {
  Value lane = e.andI(index, e.i32(kWarp - 1)), reg = e.shr(index, e.i32(5));
  Value element;
  for (auto [r, own] : llvm::enumerate(row.regs)) {
    Value there = e.shuffleFrom(own, lane);
    element =
        element ? e.select(e.cmp(e.kEq, reg, e.i32(r)), there, element) : there;
  }
  return element;
}

LogicalResult RowEmitter::select(SelectOp inner) {
  int64_t k = inner.getK();
  if (k > kMaxChoices)
    return inner.emitOpError("has code for GPUs up to ")
           << kMaxChoices << " choices, got " << k;
  const RowValue &s = value(inner.getS());
  RowValue scores = s;
  if (inner.getBias())
    for (auto [r, reg] : llvm::enumerate(scores.regs))
      reg = e.addF(reg, value(inner.getBias()).regs[r]);
  auto key = [&](int64_t r) { return keyOf(scores.regs[r]); };
  Value indices = choose(s.width, k, key).indices;
  if (auto above = inner.getAbove()) {
    Value least = keyOf(e.f32(above->convertToDouble()));
    Value enough = e.cmp(e.kSgt, keyOf(elementAt(scores, indices)), least);
    indices = e.select(enough, indices, e.i32(s.width));
  }
  return bind(inner, {indices});
}

LogicalResult RowEmitter::maskChoices(MaskChoicesOp inner) {
  const RowValue &idx = value(inner.getIdx());
  Registers regs = value(inner.getS()).regs;
  Value fill = e.f32(inner.getFill().convertToDouble());
  for (int64_t k = 0; k < idx.width; ++k) {
    Value at = e.shuffleFrom(idx.regs[k / kWarp], e.i32(k % kWarp));
    for (auto [r, reg] : llvm::enumerate(regs))
      reg = e.select(e.cmp(e.kEq, at, e.elementOf(r)), fill, reg);
  }
  return bind(inner, std::move(regs));
}

LogicalResult RowEmitter::pick(PickOp inner) {
  const RowValue &s = value(inner.getS()), &idx = value(inner.getIdx());
  Registers regs;
  for (Value index : idx.regs) {
    Value valid = e.cmp(e.kUlt, index, e.i32(s.width));
    regs.push_back(e.select(valid, elementAt(s, index), e.f32(0)));
  }
  return bind(inner, std::move(regs));
}

LogicalResult RowEmitter::scatterPick(ScatterPickOp inner) {
  const RowValue &g = value(inner.getG()), &idx = value(inner.getIdx());
  Registers regs(registersOf(inner.getExperts()), e.f32(0));
  for (int64_t k = 0; k < g.width; ++k) {
    Value lane = e.i32(k % kWarp);
    Value term = e.shuffleFrom(g.regs[k / kWarp], lane);
    Value at = e.shuffleFrom(idx.regs[k / kWarp], lane);
    for (auto [r, reg] : llvm::enumerate(regs))
      reg = e.select(e.cmp(e.kEq, at, e.elementOf(r)), e.addF(reg, term), reg);
  }
  return bind(inner, std::move(regs));
}

Value RowEmitter::groupKey(GroupMaskOp inner, const RowValue &s,
                           int64_t group) {
  int64_t size = s.width / inner.getGroups(), first = group * size;
  int64_t begin = first / kWarp, end = registersOf(first + size);
  auto key = [&](int64_t r) {
    Value own = keyOf(s.regs[r]);
    int64_t low = std::max<int64_t>(first - r * kWarp, 0);
    int64_t high = std::min(first + size - r * kWarp, kWarp);
    if (high < kWarp)
      own = e.select(e.isBefore(high), own, e.i32(kGone));
    return low ? e.select(e.isBefore(low), e.i32(kGone), own) : own;
  };
  if (inner.getScore() == GroupScore::Max) {
    Value best;
    for (int64_t r = begin; r < end; ++r)
      best = best ? e.maxI(best, key(r)) : key(r);
    return e.maxOfWarpI(best);
  }
  // The sum of the best, from the best on.
  Registers taken((registersOf(s.width) + 31) / 32, e.i32(0));
  Value total;
  for (int64_t n = 0; n < int64_t(inner.getTop()); ++n) {
    Value best = bestOf(begin, end, key, taken);
    Value score = elementAt(s, best);
    total = total ? e.addF(total, score) : score;
    taken = take(taken, best);
  }
  return keyOf(total);
}

LogicalResult RowEmitter::groupMask(GroupMaskOp inner) {
  int64_t groups = inner.getGroups();
  if (groups > kMaxGroups)
    return inner.emitOpError("has code for GPUs up to ")
           << kMaxGroups << " groups, got " << groups;
  const RowValue &s = value(inner.getS());
  // Keys of groups lie over lanes as scores do.
  Registers keys(registersOf(groups), e.i32(kGone));
  for (int64_t g = 0; g < groups; ++g) {
    Value &key = keys[g / kWarp];
    key = e.select(e.isLane(g % kWarp), groupKey(inner, s, g), key);
  }
  auto keyOfGroup = [&](int64_t r) { return keys[r]; };
  Value kept = choose(groups, inner.getKeep(), keyOfGroup).taken.front();
  Value fill = e.f32(inner.getFill().convertToDouble());
  Registers regs;
  for (auto [r, reg] : llvm::enumerate(s.regs)) {
    Value group = e.udiv(e.elementOf(r), e.i32(int32_t(s.width / groups)));
    Value word = e.shuffleFrom(kept, e.andI(group, e.i32(kWarp - 1)));
    Value bit = e.andI(e.shr(word, e.shr(group, e.i32(5))), e.i32(1));
    regs.push_back(e.select(e.cmp(e.kNe, bit, e.i32(0)), reg, fill));
  }
  return bind(inner, std::move(regs));
}
