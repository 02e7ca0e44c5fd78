// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Plans: rows grouped by expert, and the way back to tokens.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

/// Stable counting sort of the choices, in one thread. Cell e + 1 of the
/// offsets counts expert e, then holds its next row, and so ends as its end.
void moe::cpu::emitPlan(Emitter &e, const PlanBuffers &plan, const Buffer &idx,
                        Value slots) {
  int64_t experts = plan.experts;
  Value one = e.i64(1), none = e.i32(experts);
  auto isValid = [&](Value expert) {
    return e.cmp(arith::CmpIPredicate::ult, expert, none);
  };
  auto cellOf = [&](Value expert) { return e.add(e.toI64(expert), one); };
  e.lanes(experts + 1, [&](Value column, Value mask) {
    storeAt(e, plan.offsets, column, e.splatI32(0), mask);
  });
  e.loop(e.i64(0), slots, 1, [&](Value slot) {
    Value expert = loadInt(e, idx, slot), valid = isValid(expert);
    storeInt(e, plan.idx, slot, e.select(valid, expert, none));
    e.ifThen(valid, [&] {
      Value cell = cellOf(expert);
      storeInt(e, plan.offsets, cell,
               e.add(loadInt(e, plan.offsets, cell), e.i32(1)));
    });
  });
  e.loop(one, e.i64(experts + 1), 1, ValueRange{e.i32(0)},
         [&](Value cell, ValueRange start) {
           Value count = loadInt(e, plan.offsets, cell);
           storeInt(e, plan.offsets, cell, start[0]);
           return SmallVector<Value>{e.add(start[0], count)};
         });
  e.loop(e.i64(0), slots, 1, [&](Value slot) {
    Value expert = loadInt(e, plan.idx, slot);
    Value row = e.ifElse(
        isValid(expert),
        [&] {
          Value cell = cellOf(expert), row = loadInt(e, plan.offsets, cell);
          storeInt(e, plan.offsets, cell, e.add(row, e.i32(1)));
          storeInt(e, plan.row2slot, e.toI64(row), e.toI32(slot));
          return SmallVector<Value>{row};
        },
        [&] { return SmallVector<Value>{e.i32(-1)}; })[0];
    storeInt(e, plan.slot2row, slot, row);
  });
}

namespace {
LogicalResult emitMakePlan(EntryContext &c, Operation *op) {
  auto make = cast<MakePlanOp>(op);
  emitPlan(c.e, c.plan(make.getPlan()), c.buffer(make.getIdx()),
           asRows(c, make.getIdx(), 1).rows);
  return success();
}

LogicalResult emitPlanIndices(EntryContext &c, Operation *op) {
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(op->getOperand(0));
  const Buffer &y = c.result(op);
  parallelElements(c, op->getResult(0), [&](Value index, Value mask) {
    storeAt(e, y, index, loadAt(e, plan.idx, index, mask), mask);
  });
  return success();
}

LogicalResult emitCounts(EntryContext &c, Operation *op) {
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(op->getOperand(0));
  const Buffer &y = c.result(op);
  e.lanes(plan.experts, [&](Value column, Value mask) {
    Value first = loadAt(e, plan.offsets, column, mask),
          last = loadAt(e, plan.offsets, e.add(column, e.i64(1)), mask);
    storeAt(e, y, column, e.sub(last, first), mask);
  });
  return success();
}

/// Rows of one expert keep the order of tokens: those in front of a sequence
/// are the valid choices in front of it.
LogicalResult emitPlanSeqs(EntryContext &c, Operation *op) {
  auto seqs = cast<PlanSeqsOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(seqs.getPlan());
  const Buffer &cu = c.buffer(seqs.getCuSeqlens()), &y = c.result(op);
  Value k = e.i64(plan.k);
  storeInt(e, y, e.i64(0), e.i32(0));
  e.loop(e.i64(0), c.sequences, 1, [&](Value sequence) {
    Value next = e.add(sequence, e.i64(1));
    Value rows = e.loop(
        e.mul(e.toI64(loadInt(e, cu, sequence)), k),
        e.mul(e.toI64(loadInt(e, cu, next)), k), 1,
        ValueRange{loadInt(e, y, sequence)}, [&](Value slot, ValueRange rows) {
          Value has = e.cmp(arith::CmpIPredicate::sge,
                            loadInt(e, plan.slot2row, slot), e.i32(0));
          return SmallVector<Value>{
              e.select(has, e.add(rows[0], e.i32(1)), rows[0])};
        })[0];
    storeInt(e, y, next, rows);
  });
  return success();
}

/// The weighted rows of one token.
class Combination {
public:
  Combination(Emitter &e, const PlanBuffers &plan, const Buffer &rows,
              const Buffer &w, const Buffer &y, Value token)
      : e(e), plan(plan), rows(rows), w(w), y(y), token(token) {}

  void run() {
    // Few choices, all valid: addresses and weights stay in registers.
    if (plan.k > 16)
      return general();
    Value all = arith::ConstantOp::create(e.b, e.loc, e.b.getBoolAttr(true));
    SmallVector<Value> from, weights;
    for (int64_t k = 0; k < plan.k; ++k) {
      from.push_back(row(e.i64(k)));
      weights.push_back(weight(e.i64(k)));
      all = arith::AndIOp::create(e.b, e.loc, all, isValid(from.back()));
    }
    auto fast = [&] {
      e.lanes(rows.width, [&](Value column, Value mask) {
        Value sum = e.splatF32(0);
        for (auto [row, weight] : llvm::zip(from, weights))
          sum = e.fma(weight, e.load(rows, row, column, mask), sum);
        e.store(y, token, column, sum, mask);
      });
      return SmallVector<Value>();
    };
    auto slow = [&] {
      general();
      return SmallVector<Value>();
    };
    e.ifElse(all, fast, slow);
  }

private:
  Value slot(Value choice) {
    return e.add(e.mul(token, e.i64(plan.k)), choice);
  }
  Value row(Value choice) {
    return e.toI64(loadInt(e, plan.slot2row, slot(choice)));
  }
  Value weight(Value choice) {
    return e.splat(e.loadScalar(e.address(w, token, choice), w.element));
  }
  Value isValid(Value row) {
    return e.cmp(arith::CmpIPredicate::sge, row, e.i64(0));
  }

  void general() {
    e.lanes(rows.width, [&](Value column, Value mask) {
      auto step = [&](Value choice, ValueRange sum) {
        Value from = row(choice);
        auto add = [&] {
          return SmallVector<Value>{
              e.fma(weight(choice), e.load(rows, from, column, mask), sum[0])};
        };
        auto skip = [&] { return SmallVector<Value>{sum[0]}; };
        return e.ifElse(isValid(from), add, skip);
      };
      Value sum = e.loop(e.i64(0), e.i64(plan.k), 1, ValueRange{e.splatF32(0)},
                         step)[0];
      e.store(y, token, column, sum, mask);
    });
  }

  Emitter &e;
  const PlanBuffers &plan;
  const Buffer &rows, &w, &y;
  Value token;
};

LogicalResult emitCombine(EntryContext &c, Operation *op) {
  auto combine = cast<CombineOp>(op);
  Emitter &e = c.e;
  const PlanBuffers &plan = c.plan(combine.getPlan());
  int64_t width = lastDim(combine.getY());
  Buffer rows = asRows(c, combine.getRows(), width),
         y = asRows(c, combine.getY(), width),
         w = asRows(c, combine.getW(), plan.k);
  e.parallel(y.rows, Emitter::grainFor(width * plan.k), [&](Value token) {
    Combination(e, plan, rows, w, y, token).run();
  });
  return success();
}
} // namespace

void moe::cpu::addPlanKernels(llvm::StringMap<KernelEntry> &table) {
  table[MakePlanOp::getOperationName()] = {emitMakePlan};
  table[PlanIndicesOp::getOperationName()] = {emitPlanIndices};
  table[CountsOp::getOperationName()] = {emitCounts};
  table[PlanSeqsOp::getOperationName()] = {emitPlanSeqs};
  table[CombineOp::getOperationName()] = {emitCombine};
}
