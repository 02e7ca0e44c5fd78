// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/gpu/PlanKernels.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::device;

/// The sum of |value| (i32) over the lanes up to this one.
static Value inclusiveScan(WarpEmitter &e, Value value) {
  for (int32_t by = 1; by < kWarp; by *= 2) {
    Value below = e.shuffleUp(value, by);
    value = e.select(e.isBefore(by), value, e.add(value, below));
  }
  return value;
}

LLVM::LLVMFuncOp device::emitPlanScan(WarpEmitter &e, StringRef name,
                                      int64_t experts) {
  Type i32 = e.b.getI32Type();
  int64_t threads = std::min<int64_t>(1024, registersOf(experts) * kWarp);
  int64_t warps = threads / kWarp;
  OpBuilder::InsertionGuard guard(e.b);
  auto kernel =
      e.kernel(name, {Access::Read, Access::Write, Access::Write}, 1, threads);
  Value counts = e.argument(0), bases = e.argument(1), offsets = e.argument(2),
        blocks = e.argument(3);
  Value totals = e.shared("totals", i32, warps);
  // |threads| experts at a time; rows of all experts before are carried on.
  auto group = [&](Value first, ValueRange before) -> SmallVector<Value> {
    Value expert = e.add(first, e.toI64(e.thread()));
    Value exists = e.cmp(WarpEmitter::kSlt, expert, e.i64(experts));
    Value count = e.ifElse(
        exists,
        [&] {
          return e.loop(
              e.i64(0), blocks, 1, ValueRange(e.i32(0)),
              [&](Value block, ValueRange sum) -> SmallVector<Value> {
                Value at = e.add(e.mul(block, e.i64(experts)), expert);
                e.store(e.at(bases, at, i32), i32, sum[0]);
                return {e.add(sum[0], e.load(e.at(counts, at, i32), i32))};
              });
        },
        [&] { return SmallVector<Value>{e.i32(0)}; })[0];
    Value upTo = inclusiveScan(e, count);
    e.ifThen(e.isLane(kWarp - 1),
             [&] { e.store(e.at(totals, e.toI64(e.warp()), i32), i32, upTo); });
    e.barrier();
    Value start = before[0], all = before[0];
    for (int64_t w = 0; w < warps; ++w) {
      Value total = e.load(e.at(totals, e.i64(w), i32), i32);
      Value inFront = e.cmp(WarpEmitter::kSgt, e.warp(), e.i32(w));
      start = e.add(start, e.select(inFront, total, e.i32(0)));
      all = e.add(all, total);
    }
    e.barrier();
    e.ifThen(exists, [&] {
      e.store(e.at(offsets, expert, i32), i32,
              e.sub(e.add(start, upTo), count));
    });
    return {all};
  };
  Value rows =
      e.loop(e.i64(0), e.i64(experts), threads, ValueRange(e.i32(0)), group)[0];
  Value isFirst = e.cmp(WarpEmitter::kEq, e.thread(), e.i32(0));
  e.ifThen(isFirst,
           [&] { e.store(e.at(offsets, e.i64(experts), i32), i32, rows); });
  e.finish();
  return kernel;
}

LLVM::LLVMFuncOp device::emitPlanPlace(WarpEmitter &e, StringRef name,
                                       int64_t experts, int64_t k) {
  Type i32 = e.b.getI32Type();
  OpBuilder::InsertionGuard guard(e.b);
  auto kernel = e.kernel(
      name,
      {Access::Read, Access::Read, Access::Read, Access::Write, Access::Write},
      2, 128);
  Value idx = e.argument(0), bases = e.argument(1), offsets = e.argument(2),
        slot2row = e.argument(3), row2slot = e.argument(4),
        tokens = e.argument(5), perBlock = e.argument(6);
  Value next = e.shared("next", i32, experts);
  Value block = e.block();
  // The next row of each expert.
  e.overThreads(experts, [&](Value expert) {
    Value at = e.add(e.mul(block, e.i64(experts)), expert);
    Value row = e.add(e.load(e.at(offsets, expert, i32), i32),
                      e.load(e.at(bases, at, i32), i32));
    e.store(e.at(next, expert, i32), i32, row);
  });
  e.barrier();
  Value first = e.mul(block, perBlock);
  Value end = e.mul(e.minI(e.add(first, perBlock), tokens), e.i64(k));
  first = e.mul(first, e.i64(k));
  // One warp goes through the choices in order, 32 at a time.
  Value isFirst = e.cmp(WarpEmitter::kEq, e.warp(), e.i32(0));
  e.ifThen(isFirst, [&] {
    e.loop(first, end, kWarp, [&](Value from) {
      Value slot = e.add(from, e.toI64(e.lane()));
      Value exists = e.cmp(WarpEmitter::kSlt, slot, end);
      Value expert = e.ifElse(
          exists,
          [&] { return SmallVector<Value>{e.load(e.at(idx, slot, i32), i32)}; },
          [&] { return SmallVector<Value>{e.i32(experts)}; })[0];
      Value valid = e.cmp(WarpEmitter::kUlt, expert, e.i32(experts));
      // Choices of the same expert: those of lower lanes come first.
      Value alike = e.lanesLike(expert);
      Value below = e.sub(e.shl(e.i32(1), e.lane()), e.i32(1));
      Value rank = math::CtPopOp::create(e.b, e.loc, e.andI(alike, below));
      Value cell = e.at(next, e.toI64(e.select(valid, expert, e.i32(0))), i32);
      Value row = e.add(e.load(cell, i32), rank);
      e.syncWarp();
      Value leads = e.andI(valid, e.cmp(WarpEmitter::kEq, rank, e.i32(0)));
      e.ifThen(leads, [&] {
        Value count = math::CtPopOp::create(e.b, e.loc, alike);
        e.store(cell, i32, e.add(row, count));
      });
      e.syncWarp();
      e.ifThen(exists, [&] {
        e.store(e.at(slot2row, slot, i32), i32,
                e.select(valid, row, e.i32(-1)));
      });
      e.ifThen(valid, [&] {
        e.store(e.at(row2slot, e.toI64(row), i32), i32, e.toI32(slot));
      });
    });
  });
  e.finish();
  return kernel;
}
