// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows between ranks: first how many for each expert, then the rows.
//
// A rank sends the counts of all its experts, learns how many rows come from
// whom, checks them against the space that the plan of buffers gave them, and
// only then takes the rows.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Of moe_rt_v1 and moe_collective_v1 (abi.h).
constexpr int64_t kCollective = 32;
constexpr int64_t kCollectiveBytes = 56;

class Exchange {
public:
  Exchange(EntryContext &c, int64_t ranks, int64_t experts)
      : c(c), e(c.e), b(c.e.b), ranks(ranks), here(experts / ranks),
        sendCounts(e.scratch(8 * ranks)), receiveCounts(e.scratch(8 * ranks)) {}

  Value int32At(Value base, Value at) {
    return e.loadScalar(e.offset(base, at, b.getI32Type()), b.getI32Type());
  }
  void setInt32(Value base, Value at, Value value) {
    e.storeScalar(e.offset(base, at, b.getI32Type()), b.getI32Type(), value);
  }
  void setCount(Value counts, Value rank, Value count) {
    LLVM::StoreOp::create(b, e.loc, count,
                          e.offsetBytes(counts, e.mul(rank, e.i64(8))), 8);
  }
  void eachRank(function_ref<void(Value)> body) {
    e.loop(e.i64(0), e.i64(ranks), 1, body);
  }
  /// counts[p] = bounds[(p + 1)·step] − bounds[p·step], bounds being i32.
  void setDifferences(Value counts, Value bounds, int64_t step) {
    eachRank([&](Value rank) {
      Value at = e.mul(rank, e.i64(step));
      Value count =
          e.sub(int32At(bounds, e.add(at, e.i64(step))), int32At(bounds, at));
      setCount(counts, rank, e.toI64(count));
    });
  }

  /// rt->collective(all_to_all_v) with the counts as they are.
  void run(int64_t itemBytes, Value send, Value receive) {
    Value args = e.scratch(kCollectiveBytes);
    auto store = [&](int64_t at, Value value) {
      LLVM::StoreOp::create(b, e.loc, value, e.offsetBytes(args, e.i64(at)), 4);
    };
    store(0, e.i32(kCollectiveBytes));
    store(4, e.i32(0));
    store(8, e.i32(0)); // the one axis that exchanges go along
    store(12, e.i32(ranks));
    store(16, e.i64(itemBytes));
    store(24, send);
    store(32, receive);
    store(40, sendCounts);
    store(48, receiveCounts);
    Type ptr = e.ptrType();
    auto type = LLVM::LLVMFunctionType::get(b.getI32Type(), {ptr, ptr});
    Value function = e.loadPtr(e.offsetBytes(c.rt, e.i64(kCollective)));
    LLVM::CallOp::create(b, e.loc, type, ValueRange{function, c.rt, args});
  }

  EntryContext &c;
  Emitter &e;
  OpBuilder &b;
  int64_t ranks, here; // experts of a rank
  Value sendCounts, receiveCounts;
};

/// Rows per expert, sent and arrived.
Extent countScratch(Operation *op, const Extent &) {
  return {0, 0, 8 * cast<AllToAllVOp>(op).getPlan().getType().getExperts()};
}

/// Sum of the counts of all ranks; 0, with a failure noted, above |most|.
Value checkedTotal(Exchange &x, Value counts, int64_t experts, Value most) {
  Emitter &e = x.e;
  auto step = [&](Value at, ValueRange sum) {
    Value count = e.toI64(x.int32At(counts, at));
    // A negative count is a large one.
    Value wide = e.select(e.cmp(arith::CmpIPredicate::slt, count, e.i64(0)),
                          e.i64(int64_t(1) << 32), count);
    return SmallVector<Value>{e.add(sum[0], wide)};
  };
  Value total =
      e.loop(e.i64(0), e.i64(experts), 1, ValueRange{e.i64(0)}, step)[0];
  Value bad = e.cmp(arith::CmpIPredicate::sgt, total, most);
  e.ifThen(bad, [&] {
    emitFail(x.c, kTooManyRows, total, most);
    e.loop(e.i64(0), e.i64(experts), 1,
           [&](Value at) { x.setInt32(counts, at, e.i32(0)); });
  });
  return e.select(bad, e.i64(0), total);
}

LogicalResult emitAllToAllV(EntryContext &c, Operation *op) {
  auto exchange = cast<AllToAllVOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(exchange.getPlan());
  Exchange x(c, exchange.getRanks(), plan.experts);
  Value counts = c.scratch(op),
        arriving = e.offsetBytes(counts, e.i64(4 * plan.experts));
  e.lanes(plan.experts, [&](Value column, Value mask) {
    Value begin = loadAt(e, plan.offsets, column, mask),
          end = loadAt(e, plan.offsets, e.add(column, e.i64(1)), mask);
    e.storeLanes(e.offset(counts, column, e.b.getI32Type()), e.b.getI32Type(),
                 e.sub(end, begin), mask);
  });
  x.eachRank([&](Value rank) {
    x.setCount(x.sendCounts, rank, e.i64(x.here));
    x.setCount(x.receiveCounts, rank, e.i64(x.here));
  });
  x.run(4, counts, arriving);

  Buffer &arrived = c.buffers[exchange.getArrived()];
  PlanBuffers &local = c.plans[exchange.getLocal()];
  Value from = c.buffer(exchange.getFrom()).base;
  Value most = e.mul(c.rankTokens, e.i64(arrived.bound.perRankToken));
  Value total = checkedTotal(x, arriving, plan.experts, most);
  // Where the rows of each rank begin, and the expert of each row.
  x.setInt32(from, e.i64(0), e.i32(0));
  e.loop(e.i64(0), e.i64(x.ranks), 1, ValueRange{e.i64(0)},
         [&](Value rank, ValueRange start) {
           Value first = e.mul(rank, e.i64(x.here));
           auto expert = [&](Value which, ValueRange at) {
             Value count = e.toI64(x.int32At(arriving, e.add(first, which)));
             Value end = e.add(at[0], count);
             e.loop(at[0], end, 1, [&](Value row) {
               x.setInt32(local.idx.base, row, e.toI32(which));
             });
             return SmallVector<Value>{end};
           };
           Value end = e.loop(e.i64(0), e.i64(x.here), 1, start, expert)[0];
           x.setInt32(from, e.add(rank, e.i64(1)), e.toI32(end));
           return SmallVector<Value>{end};
         });
  for (Buffer *part : {&local.idx, &local.slot2row, &local.row2slot})
    part->rows = total;
  arrived.rows = total;
  emitPlan(e, local, local.idx, total);

  x.setDifferences(x.sendCounts, plan.offsets.base, x.here);
  x.setDifferences(x.receiveCounts, from, 1);
  x.run(arrived.width * Emitter::bytesOf(arrived.element),
        c.buffer(exchange.getRows()).base, arrived.base);
  return success();
}

/// Rows in order of arrival, to be sent from.
Extent stagingScratch(Operation *op, const Extent &) {
  auto back = cast<AllToAllVBackOp>(op);
  int64_t ranks = back.getFrom().getType().getDimSize(0) - 1;
  int64_t choices = std::min(back.getPlan().getType().getK(),
                             back.getLocal().getType().getExperts());
  RankedTensorType y = back.getY().getType();
  return Extent{0, 0, 0, ranks * choices}.times(
      y.getDimSize(1) * Emitter::bytesOf(y.getElementType()));
}

LogicalResult emitAllToAllVBack(EntryContext &c, Operation *op) {
  auto back = cast<AllToAllVBackOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(back.getPlan()),
                    &local = c.plan(back.getLocal());
  Exchange x(c, back.getFrom().getType().getDimSize(0) - 1, plan.experts);
  Buffer y = asRows(c, back.getY(), lastDim(back.getY())), staged = y;
  staged.base = c.scratch(op);
  Value from = c.buffer(back.getFrom()).base;
  Value total = e.toI64(x.int32At(from, e.i64(x.ranks)));
  e.parallel(total, Emitter::grainFor(y.width), [&](Value row) {
    Value source = e.toI64(x.int32At(local.slot2row.base, row));
    e.lanes(y.width, [&](Value column, Value mask) {
      e.store(staged, row, column, e.load(y, source, column, mask), mask);
    });
  });
  x.setDifferences(x.sendCounts, from, 1);
  x.setDifferences(x.receiveCounts, plan.offsets.base, x.here);
  x.run(y.width * Emitter::bytesOf(y.element), staged.base, c.result(op).base);
  return success();
}
} // namespace

void moe::cpu::addExchangeKernels(llvm::StringMap<KernelEntry> &table) {
  table[AllToAllVOp::getOperationName()] = {emitAllToAllV, countScratch};
  table[AllToAllVBackOp::getOperationName()] = {emitAllToAllVBack,
                                                stagingScratch};
}
