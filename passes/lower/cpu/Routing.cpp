// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Choosing experts: scores as integers that order as selection does.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

Value moe::cpu::keysOf(Emitter &e, Value scores, Value mask) {
  using P = arith::CmpIPredicate;
  Type type = e.b.getI32Type();
  if (isa<VectorType>(scores.getType()))
    type = e.vecI32();
  Value bits = arith::BitcastOp::create(e.b, e.loc, type, scores);
  auto constant = [&](int32_t value) { return constantI(e, bits, value); };
  Value zero = constant(0);
  Value size = arith::AndIOp::create(e.b, e.loc, bits, constant(0x7fffffff));
  Value flushed =
      e.select(e.cmp(P::slt, size, constant(0x00800000)), zero, size);
  Value key =
      e.select(e.cmp(P::slt, bits, zero), e.sub(zero, flushed), flushed);
  key = e.select(e.cmp(P::sgt, size, constant(0x7f800000)),
                 constant(0x7fffffff), key);
  return keep(e, mask, key, constant(kGone));
}

std::pair<Value, Value> moe::cpu::checkedExpert(Emitter &e, Value expert,
                                                int64_t experts) {
  Value valid = e.cmp(arith::CmpIPredicate::ult, expert, e.i32(experts));
  return {valid, e.toI64(e.select(valid, expert, e.i32(0)))};
}

namespace {

/// Indices 16·chunk … 16·chunk + 15.
Value indicesOf(Emitter &e, int64_t chunk) {
  return chunk ? e.add(e.iota(), e.splatI32(chunk * kLanes)) : e.iota();
}

/// The index of the largest key, the lowest of several.
Value bestOf(Emitter &e, ValueRange keys) {
  Value best = keys[0], at = indicesOf(e, 0);
  for (int64_t chunk = 1; chunk < int64_t(keys.size()); ++chunk) {
    Value better = e.cmp(arith::CmpIPredicate::sgt, keys[chunk], best);
    best = e.select(better, keys[chunk], best);
    at = e.select(better, indicesOf(e, chunk), at);
  }
  Value isBest =
      e.cmp(arith::CmpIPredicate::eq, best, e.splat(e.maxLanesI32(best)));
  return e.minLanesI32(e.select(isBest, at, e.splatI32(0x7fffffff)));
}

/// Lanes of the largest keys of all chunks.
Value maxKeys(Emitter &e, ValueRange keys) {
  Value best = keys[0];
  for (Value chunk : keys.drop_front())
    best = arith::MaxSIOp::create(e.b, e.loc, best, chunk);
  return best;
}

SmallVector<Value> without(Emitter &e, ValueRange keys, Value index) {
  SmallVector<Value> rest;
  Value lanes = e.splat(index);
  for (auto [chunk, key] : llvm::enumerate(keys))
    rest.push_back(
        e.select(e.cmp(arith::CmpIPredicate::eq, indicesOf(e, chunk), lanes),
                 e.splatI32(kGone), key));
  return rest;
}

/// Keys of |count| scores; |scores| gives 16 of them.
SmallVector<Value>
allKeys(Emitter &e, int64_t count,
        function_ref<Value(Value column, Value mask)> scores) {
  SmallVector<Value> keys;
  for (int64_t at = 0; at < count; at += kLanes) {
    Value mask = count - at < kLanes ? e.tailMask(count - at) : Value();
    keys.push_back(keysOf(e, scores(e.i64(at), mask), mask));
  }
  return keys;
}

LogicalResult emitSelect(EntryContext &c, Operation *op) {
  auto select = cast<SelectOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(select.getS()), k = select.getK();
  Buffer s = asRows(c, select.getS(), experts),
         idx = asRows(c, select.getIdx(), k);
  const Buffer *bias = select.getBias() ? &c.buffer(select.getBias()) : nullptr;
  e.parallel(s.rows, Emitter::grainFor(experts * (k + 1)), [&](Value token) {
    SmallVector<Value> keys =
        allKeys(e, experts, [&](Value column, Value mask) {
          Value scores = e.load(s, token, column, mask);
          return bias ? e.addF(scores, loadVector(e, *bias, column, mask))
                      : scores;
        });
    Value least;
    if (auto above = select.getAbove())
      least = keysOf(e, e.f32(above->convertToDouble()));
    e.loop(e.i64(0), e.i64(k), 1, keys, [&](Value choice, ValueRange left) {
      Value best = bestOf(e, left), chosen = best;
      if (least) {
        Value enough = e.cmp(arith::CmpIPredicate::sgt,
                             e.maxLanesI32(maxKeys(e, left)), least);
        chosen = e.select(enough, best, e.i32(experts));
      }
      e.storeScalar(e.address(idx, token, choice), idx.element, chosen);
      return without(e, left, best);
    });
  });
  return success();
}

/// Runs |body| over the scores of each token, 16 members of one group at a time:
/// |kept| says in all lanes whether the group is among the best.
void eachGroup(
    EntryContext &c, const Buffer &s, int64_t groups, int64_t keep, int64_t top,
    function_ref<void(Value token, Value at, Value kept, Value mask)> body) {
  Emitter &e = c.e;
  int64_t experts = s.width, size = experts / groups;
  Type f32 = e.b.getF32Type(), i32 = e.b.getI32Type();
  e.parallel(s.rows, Emitter::grainFor(experts * (top + 1)), [&](Value token) {
    Value cells = e.scratch((groups + kLanes) * 4);
    // The sum of the best members of each group.
    e.loop(e.i64(0), e.i64(groups), 1, [&](Value group) {
      Value first = e.mul(group, e.i64(size));
      SmallVector<Value> carried =
          allKeys(e, size, [&](Value column, Value lanes) {
            return e.load(s, token, e.add(first, column), lanes);
          });
      carried.push_back(e.f32(0));
      auto addBest = [&](Value, ValueRange carried) {
        Value best = bestOf(e, carried.drop_back());
        Value score = e.loadScalar(
            e.address(s, token, e.add(first, e.toI64(best))), s.element);
        SmallVector<Value> next = without(e, carried.drop_back(), best);
        next.push_back(e.addF(carried.back(), score));
        return next;
      };
      Value score = e.loop(e.i64(0), e.i64(top), 1, carried, addBest).back();
      e.storeScalar(e.offset(cells, group, f32), f32, score);
    });
    // The best groups lose their keys.
    SmallVector<Value> keys =
        allKeys(e, groups, [&](Value column, Value lanes) {
          return e.loadLanes(e.offset(cells, column, f32), f32, lanes);
        });
    keys = e.loop(e.i64(0), e.i64(keep), 1, keys, [&](Value, ValueRange left) {
      return without(e, left, bestOf(e, left));
    });
    for (auto [chunk, key] : llvm::enumerate(keys))
      e.storeLanes(e.offset(cells, e.i64(chunk * kLanes), i32), i32, key);
    e.loop(e.i64(0), e.i64(groups), 1, [&](Value group) {
      Value key = e.loadScalar(e.offset(cells, group, i32), i32);
      Value kept = e.splat(e.cmp(arith::CmpIPredicate::eq, key, e.i32(kGone)));
      e.lanes(size, [&](Value column, Value lanes) {
        body(token, e.add(e.mul(group, e.i64(size)), column), kept, lanes);
      });
    });
  });
}

LogicalResult emitGroupMask(EntryContext &c, Operation *op) {
  auto mask = cast<GroupMaskOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(mask.getS());
  int64_t top = mask.getScore() == GroupScore::Max ? 1 : mask.getTop();
  float fill = mask.getFill().convertToDouble();
  Buffer s = asRows(c, mask.getS(), experts),
         y = asRows(c, mask.getY(), experts);
  eachGroup(c, s, mask.getGroups(), mask.getKeep(), top,
            [&](Value token, Value at, Value kept, Value lanes) {
              Value own = e.load(s, token, at, lanes);
              e.store(y, token, at, e.select(kept, own, e.splatF32(fill)),
                      lanes);
            });
  return success();
}

LogicalResult emitGroupMaskGrad(EntryContext &c, Operation *op) {
  auto grad = cast<GroupMaskGradOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(grad.getS());
  int64_t top = grad.getScore() == GroupScore::Max ? 1 : grad.getTop();
  Buffer s = asRows(c, grad.getS(), experts),
         dy = asRows(c, grad.getDy(), experts),
         ds = asRows(c, grad.getDs(), experts);
  eachGroup(c, s, grad.getGroups(), grad.getKeep(), top,
            [&](Value token, Value at, Value kept, Value lanes) {
              Value own = e.load(dy, token, at, lanes);
              e.store(ds, token, at, e.select(kept, own, e.splatF32(0)), lanes);
            });
  return success();
}

LogicalResult emitPick(EntryContext &c, Operation *op) {
  auto pick = cast<PickOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(pick.getS()), k = lastDim(pick.getIdx());
  Buffer s = asRows(c, pick.getS(), experts), idx = asRows(c, pick.getIdx(), k),
         y = asRows(c, pick.getY(), k);
  e.parallel(idx.rows, Emitter::grainFor(8 * k), [&](Value token) {
    e.loop(e.i64(0), e.i64(k), 1, [&](Value choice) {
      auto [valid, expert] = checkedExpert(
          e, e.loadScalar(e.address(idx, token, choice), idx.element), experts);
      Value score = e.loadScalar(e.address(s, token, expert), s.element);
      e.storeScalar(e.address(y, token, choice), y.element,
                    e.select(valid, score, e.f32(0)));
    });
  });
  return success();
}

LogicalResult emitScatterPick(EntryContext &c, Operation *op) {
  auto scatter = cast<ScatterPickOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(scatter.getY()), k = lastDim(scatter.getIdx());
  Buffer g = asRows(c, scatter.getG(), k), idx = asRows(c, scatter.getIdx(), k),
         y = asRows(c, scatter.getY(), experts);
  e.parallel(idx.rows, Emitter::grainFor(8 * k + experts), [&](Value token) {
    e.lanes(experts, [&](Value column, Value mask) {
      e.store(y, token, column, e.splatF32(0), mask);
    });
    e.loop(e.i64(0), e.i64(k), 1, [&](Value choice) {
      auto [valid, expert] = checkedExpert(
          e, e.loadScalar(e.address(idx, token, choice), idx.element), experts);
      Value cell = e.address(y, token, expert);
      e.ifThen(valid, [&] {
        Value term = e.loadScalar(e.address(g, token, choice), g.element);
        e.storeScalar(cell, y.element,
                      e.addF(e.loadScalar(cell, y.element), term));
      });
    });
  });
  return success();
}
} // namespace

void moe::cpu::addRoutingKernels(llvm::StringMap<KernelEntry> &table) {
  table[GroupMaskOp::getOperationName()] = {emitGroupMask};
  table[GroupMaskGradOp::getOperationName()] = {emitGroupMaskGrad};
  table[SelectOp::getOperationName()] = {emitSelect};
  table[PickOp::getOperationName()] = {emitPick};
  table[ScatterPickOp::getOperationName()] = {emitScatterPick};
  addPlanKernels(table);
  addChoiceKernels(table);
  addAssignKernels(table);
  addRandomKernels(table);
}
