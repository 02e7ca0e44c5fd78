// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Choices that look at other tokens: room of experts, tokens chosen by experts.
//
// Nothing is sorted. Who is among the C first of an expert is found by its
// limit: the largest key that at least C choices reach, bit by bit. Those above
// stay, and of those that have it the first in order of position.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

using P = arith::CmpIPredicate;

Value moe::cpu::capacityRows(Emitter &e, CapacityAttr limit, Value tokens,
                             int64_t experts) {
  OpBuilder &b = e.b;
  Type f64 = b.getF64Type();
  auto number = [&](double value) -> Value {
    return arith::ConstantOp::create(b, e.loc, b.getF64FloatAttr(value));
  };
  // In the order of CapacityAttr::rows.
  Value share = arith::SIToFPOp::create(b, e.loc, f64, tokens);
  share = e.divF(e.mulF(number(limit.getFactor().getValueAsDouble()), share),
                 number(experts));
  switch (limit.getRound()) {
  case CapacityRounding::Floor:
    share = math::FloorOp::create(b, e.loc, share);
    break;
  case CapacityRounding::Ceil:
    share = math::CeilOp::create(b, e.loc, share);
    break;
  case CapacityRounding::Nearest:
    share = math::RoundEvenOp::create(b, e.loc, share);
    break;
  }
  share = e.minF(e.mulF(number(limit.getTimesValue()), share), number(1e15));
  share = math::FloorOp::create(b, e.loc, share);
  Value rows = arith::FPToSIOp::create(b, e.loc, e.i64Type(), share);
  rows = e.maxI(rows, e.i64(limit.getMin()));
  if (int64_t multiple = limit.getMultiple(); multiple > 1)
    rows = e.mul(e.udiv(e.add(rows, e.i64(multiple - 1)), e.i64(multiple)),
                 e.i64(multiple));
  return limit.getExtra() ? e.add(rows, e.i64(limit.getExtra())) : rows;
}

void moe::cpu::eachSegment(
    EntryContext &c, Value seqs, Value tokens,
    function_ref<void(Value sequence, Value first, Value last)> body) {
  Emitter &e = c.e;
  if (!seqs)
    return body(e.i64(0), e.i64(0), tokens);
  e.loop(e.i64(0), c.sequences, 1, [&](Value sequence) {
    auto [first, last] = tokensOf(c, seqs, sequence);
    body(sequence, first, last);
  });
}

std::pair<Value, Value> moe::cpu::tokensOf(EntryContext &c, Value seqs,
                                           Value sequence) {
  Emitter &e = c.e;
  const Buffer &cu = c.buffer(seqs);
  return {e.toI64(loadInt(e, cu, sequence)),
          e.toI64(loadInt(e, cu, e.add(sequence, e.i64(1))))};
}

/// |keys| that order as unsigned integers, kGone being 0.
static Value asUnsigned(Emitter &e, Value keys) {
  return arith::XOrIOp::create(e.b, e.loc, keys, constantI(e, keys, kGone));
}

/// The limit-th largest of the keys in each lane, as asUnsigned gives them.
static Value thresholdKey(Emitter &e, Value first, Value last, Value limit,
                          function_ref<Value(Value at)> keyAt) {
  auto refine = [&](Value bit, ValueRange carried) {
    Value shift = e.toI32(e.sub(e.i64(31), bit));
    Value one = arith::ShLIOp::create(e.b, e.loc, e.i32(1), shift);
    Value candidate =
        arith::OrIOp::create(e.b, e.loc, carried[0], e.splat(one));
    Value count =
        e.loop(first, last, 1, ValueRange{e.splatI32(0)},
               [&](Value at, ValueRange count) {
                 Value reaches = e.cmp(P::uge, keyAt(at), candidate);
                 return SmallVector<Value>{e.select(
                     reaches, e.add(count[0], e.splatI32(1)), count[0])};
               })[0];
    return SmallVector<Value>{
        e.select(e.cmp(P::sge, count, limit), candidate, carried[0])};
  };
  return e.loop(e.i64(0), e.i64(32), 1, ValueRange{e.splatI32(0)}, refine)[0];
}

SmallVector<Value> moe::cpu::eachOfLargest(
    Emitter &e, Value first, Value last, Value limit,
    function_ref<Value(Value)> keyAt, ValueRange init,
    function_ref<SmallVector<Value>(Value, Value, ValueRange)> body) {
  auto unsignedAt = [&](Value at) { return asUnsigned(e, keyAt(at)); };
  Value threshold = thresholdKey(e, first, last, limit, unsignedAt);
  Value one = e.splatI32(1);
  Value above = e.loop(first, last, 1, ValueRange{e.splatI32(0)},
                       [&](Value at, ValueRange count) {
                         Value is = e.cmp(P::ugt, unsignedAt(at), threshold);
                         return SmallVector<Value>{
                             e.select(is, e.add(count[0], one), count[0])};
                       })[0];
  // How many of the threshold itself are still wanted, then what is carried.
  SmallVector<Value> carried{e.sub(limit, above)};
  llvm::append_range(carried, init);
  auto step = [&](Value at, ValueRange carried) {
    Value key = unsignedAt(at), ties = carried[0];
    Value tie = arith::AndIOp::create(e.b, e.loc, e.cmp(P::eq, key, threshold),
                                      e.cmp(P::sgt, ties, e.splatI32(0)));
    Value taken =
        arith::OrIOp::create(e.b, e.loc, e.cmp(P::ugt, key, threshold), tie);
    SmallVector<Value> next{e.select(tie, e.sub(ties, one), ties)};
    llvm::append_range(next, body(at, taken, carried.drop_front()));
    return next;
  };
  carried = e.loop(first, last, 1, carried, step);
  return SmallVector<Value>(llvm::drop_begin(carried));
}

namespace {
LogicalResult emitMaskChoices(EntryContext &c, Operation *op) {
  auto masked = cast<MaskChoicesOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(masked.getS()), k = lastDim(masked.getIdx());
  float fill = masked.getFill().convertToDouble();
  Buffer s = asRows(c, masked.getS(), experts),
         y = asRows(c, masked.getY(), experts),
         idx = asRows(c, masked.getIdx(), k);
  e.parallel(s.rows, Emitter::grainFor(experts + 8 * k), [&](Value token) {
    e.lanes(experts, [&](Value column, Value mask) {
      e.store(y, token, column, e.load(s, token, column, mask), mask);
    });
    e.loop(e.i64(0), e.i64(k), 1, [&](Value choice) {
      auto [valid, expert] = checkedExpert(
          e, e.loadScalar(e.address(idx, token, choice), idx.element), experts);
      Value cell = e.address(y, token, expert);
      e.ifThen(valid, [&] { e.storeScalar(cell, y.element, e.f32(fill)); });
    });
  });
  return success();
}

/// The choices of one segment under a limit, one after another.
class Room {
public:
  Room(EntryContext &c, CapacityOp op)
      : c(c), e(c.e), op(op), experts(op.getExperts()), k(lastDim(op.getIdx())),
        idx(asRows(c, op.getIdx(), 1)), kept(asRows(c, op.getKept(), 1)),
        used(table(0)), threshold(table(1)), count(table(2)) {}

  void run(Value first, Value last) {
    limit = e.toI32(
        e.minI(capacityRows(e, op.getLimit(), e.sub(last, first), experts),
               e.i64(std::numeric_limits<int32_t>::max())));
    fill(used, e.i32(0));
    if (op.getPriority())
      priority = asRows(c, op.getPriority(), 1);
    if (!op.getChoiceMajor())
      return level(e.mul(first, e.i64(k)), e.mul(last, e.i64(k)), 1);
    e.loop(e.i64(0), e.i64(k), 1, [&](Value choice) {
      level(e.add(e.mul(first, e.i64(k)), choice), e.mul(last, e.i64(k)), k);
    });
  }

  static Extent scratch(Operation *op, const Extent &) {
    return {0, 0, 3 * 4 * int64_t(cast<CapacityOp>(op).getExperts())};
  }

private:
  Buffer table(int64_t number) {
    Value base = e.offsetBytes(c.scratch(op), e.i64(4 * number * experts));
    return {base, e.b.getI32Type(), e.i64(experts), {0, 0, experts}, 1};
  }
  void fill(const Buffer &cells, Value value) {
    e.loop(e.i64(0), e.i64(experts), 1,
           [&](Value expert) { storeInt(e, cells, expert, value); });
  }
  void
  eachPair(Value from, Value to, int64_t step,
           function_ref<void(Value slot, Value valid, Value expert)> body) {
    e.loop(from, to, step, [&](Value slot) {
      auto [valid, expert] = checkedExpert(e, loadInt(e, idx, slot), experts);
      body(slot, valid, expert);
    });
  }
  void increment(const Buffer &cells, Value expert) {
    storeInt(e, cells, expert, e.add(loadInt(e, cells, expert), e.i32(1)));
  }
  Value keyAt(Value slot) {
    Value score = e.loadScalar(e.offset(priority.base, slot, priority.element),
                               priority.element);
    return asUnsigned(e, keysOf(e, score));
  }
  Value left(Value expert) { return e.sub(limit, loadInt(e, used, expert)); }

  /// Keeps what there is room for among the slots from, from + step, ….
  void level(Value from, Value to, int64_t step) {
    if (op.getPriority())
      findThresholds(from, to, step);
    eachPair(from, to, step, [&](Value slot, Value valid, Value expert) {
      storeInt(e, kept, slot, e.i32(experts));
      e.ifThen(valid, [&] {
        if (!op.getPriority()) {
          e.ifThen(e.cmp(P::slt, loadInt(e, used, expert), limit), [&] {
            increment(used, expert);
            storeInt(e, kept, slot, e.toI32(expert));
          });
          return;
        }
        // |count| has how many of the limit itself may still stay.
        Value key = keyAt(slot), at = loadInt(e, threshold, expert);
        Value ties = loadInt(e, count, expert);
        Value above = e.cmp(P::ugt, key, at);
        Value tie = arith::AndIOp::create(e.b, e.loc, e.cmp(P::eq, key, at),
                                          e.cmp(P::sgt, ties, e.i32(0)));
        e.ifThen(tie,
                 [&] { storeInt(e, count, expert, e.sub(ties, e.i32(1))); });
        e.ifThen(arith::OrIOp::create(e.b, e.loc, above, tie), [&] {
          increment(used, expert);
          storeInt(e, kept, slot, e.toI32(expert));
        });
      });
    });
  }

  void findThresholds(Value from, Value to, int64_t step) {
    auto countWhere = [&](function_ref<Value(Value key, Value cell)> holds) {
      fill(count, e.i32(0));
      eachPair(from, to, step, [&](Value slot, Value valid, Value expert) {
        Value counts = arith::AndIOp::create(
            e.b, e.loc, valid,
            holds(keyAt(slot), loadInt(e, threshold, expert)));
        e.ifThen(counts, [&] { increment(count, expert); });
      });
    };
    fill(threshold, e.i32(0));
    e.loop(e.i64(0), e.i64(32), 1, [&](Value bit) {
      Value one = arith::ShLIOp::create(e.b, e.loc, e.i32(1),
                                        e.toI32(e.sub(e.i64(31), bit)));
      auto with = [&](Value cell) -> Value {
        return arith::OrIOp::create(e.b, e.loc, cell, one);
      };
      countWhere([&](Value key, Value cell) {
        return e.cmp(P::uge, key, with(cell));
      });
      e.loop(e.i64(0), e.i64(experts), 1, [&](Value expert) {
        Value cell = loadInt(e, threshold, expert);
        Value reached = e.cmp(P::sge, loadInt(e, count, expert), left(expert));
        storeInt(e, threshold, expert, e.select(reached, with(cell), cell));
      });
    });
    countWhere([&](Value key, Value cell) { return e.cmp(P::ugt, key, cell); });
    e.loop(e.i64(0), e.i64(experts), 1, [&](Value expert) {
      storeInt(e, count, expert,
               e.sub(left(expert), loadInt(e, count, expert)));
    });
  }

  EntryContext &c;
  Emitter &e;
  CapacityOp op;
  int64_t experts, k;
  Buffer idx, kept, priority;
  Buffer used, threshold, count; // of each expert
  Value limit;                   // i32
};

LogicalResult emitCapacity(EntryContext &c, Operation *op) {
  auto capacity = cast<CapacityOp>(op);
  Room room(c, capacity);
  Value tokens = asRows(c, capacity.getIdx(), lastDim(capacity.getIdx())).rows;
  eachSegment(c, capacity.getCuSeqlens(), tokens,
              [&](Value, Value first, Value last) { room.run(first, last); });
  return success();
}

Extent nextChoiceScratch(Operation *op, const Extent &) {
  return {0, 0, 4 * int64_t(cast<NextChoiceOp>(op).getExperts())};
}

LogicalResult emitNextChoice(EntryContext &c, Operation *op) {
  auto next = cast<NextChoiceOp>(op);
  Emitter &e = c.e;
  int64_t experts = next.getExperts(), k = lastDim(next.getIdx());
  Buffer idx = asRows(c, next.getIdx(), k),
         placed = asRows(c, next.getPlaced(), 1);
  Buffer used{
      c.scratch(op), e.b.getI32Type(), e.i64(experts), {0, 0, experts}, 1};
  Value limit =
      e.toI32(e.minI(capacityRows(e, next.getLimit(), idx.rows, experts),
                     e.i64(std::numeric_limits<int32_t>::max())));
  e.loop(e.i64(0), e.i64(experts), 1,
         [&](Value expert) { storeInt(e, used, expert, e.i32(0)); });
  e.loop(e.i64(0), idx.rows, 1,
         [&](Value token) { storeInt(e, placed, token, e.i32(experts)); });
  e.loop(e.i64(0), e.i64(k), 1, [&](Value choice) {
    e.loop(e.i64(0), idx.rows, 1, [&](Value token) {
      auto [valid, expert] = checkedExpert(
          e, e.loadScalar(e.address(idx, token, choice), idx.element), experts);
      Value rows = loadInt(e, used, expert);
      Value asks = e.cmp(P::eq, loadInt(e, placed, token), e.i32(experts));
      Value fits = e.cmp(P::slt, rows, limit);
      Value moves = arith::AndIOp::create(
          e.b, e.loc, valid, arith::AndIOp::create(e.b, e.loc, asks, fits));
      e.ifThen(moves, [&] {
        storeInt(e, used, expert, e.add(rows, e.i32(1)));
        storeInt(e, placed, token, e.toI32(expert));
      });
    });
  });
  return success();
}

/// 16 experts at a time, each with a limit of its own.
LogicalResult emitSelectTokens(EntryContext &c, Operation *op) {
  auto select = cast<SelectTokensOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(select.getS());
  int64_t chunks = (experts + kLanes - 1) / kLanes;
  Buffer s = asRows(c, select.getS(), experts),
         idx = asRows(c, select.getIdx(), experts);
  auto segment = [&](Value, Value first, Value last) {
    Value tokens = e.sub(last, first);
    Value limit = e.splat(e.toI32(
        e.minI(capacityRows(e, select.getLimit(), tokens, experts), tokens)));
    e.parallel(e.i64(chunks), 1, [&](Value chunk) {
      Value column = e.mul(chunk, e.i64(kLanes));
      Value mask =
          experts % kLanes ? lanesBefore(e, column, e.i64(experts)) : Value();
      auto keyAt = [&](Value token) {
        return keysOf(e, e.load(s, token, column, mask), mask);
      };
      Value none = e.splatI32(experts);
      Value ids = e.add(e.iota(), e.splat(e.toI32(column)));
      eachOfLargest(e, first, last, limit, keyAt, {},
                    [&](Value token, Value taken, ValueRange) {
                      e.store(idx, token, column, e.select(taken, ids, none),
                              mask);
                      return SmallVector<Value>();
                    });
    });
  };
  eachSegment(c, select.getCuSeqlens(), s.rows, segment);
  return success();
}
} // namespace

void moe::cpu::addChoiceKernels(llvm::StringMap<KernelEntry> &table) {
  table[MaskChoicesOp::getOperationName()] = {emitMaskChoices};
  table[CapacityOp::getOperationName()] = {emitCapacity, Room::scratch};
  table[NextChoiceOp::getOperationName()] = {emitNextChoice, nextChoiceScratch};
  table[SelectTokensOp::getOperationName()] = {emitSelectTokens};
}
