// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Builds kernels of which each warp works on one thing:
//
//   WarpEmitter e(builder, loc);
//   auto kernel = e.kernel("sum", {{f32, Access::Read}, {f32, Access::Write}}, {"count"}, 256);
//   Value x = e.load(e.at(e.argument(0), e.toI64(e.lane()), f32), f32);
//   e.store(e.at(e.argument(1), e.i64(0), f32), f32, e.sumOfWarp(x));
//   e.finish();
//
// Scalars, loops and functions of f32 are those of the CPU's emitter, so that
// exp and its like have the same bits everywhere. Sums over a warp are
// butterflies: one fixed order, the same value in every lane.
#ifndef MOE_PASSES_LOWER_GPU_WARPEMITTER_H
#define MOE_PASSES_LOWER_GPU_WARPEMITTER_H

#include "passes/lower/cpu/Emitter.h"
#include "passes/lower/gpu/Passes.h"

namespace mlir::moe::device {

constexpr int64_t kWarp = 32;

/// Registers per lane that hold |width| elements, element n in lane n % 32.
inline int64_t registersOf(int64_t width) {
  return (width + kWarp - 1) / kWarp;
}

enum class Access { Read, Write };

class WarpEmitter : public cpu::Emitter {
public:
  WarpEmitter(OpBuilder &builder, Location loc)
      : Emitter(builder, loc, cpu::Isa{1, 1}) {}

  // Kernels.
  /// Begins a kernel at the insertion point: pointers to global memory that do
  /// not overlap and are aligned to 16 bytes, then |integers| numbers in i64.
  LLVM::LLVMFuncOp kernel(StringRef name, ArrayRef<Access> pointers,
                          int64_t integers, int64_t threads);
  /// Ends the kernel.
  void finish();
  Value argument(int64_t i) { return arguments[i]; }
  /// Memory of a block: |count| elements, aligned to 16 bytes.
  Value shared(StringRef name, Type element, int64_t count);
  Value thread() { return threadId; } // i32, all three
  Value lane() { return laneId; }
  Value warp() { return warpId; }
  Value block(); // i64
  void barrier();
  void syncWarp();
  /// Runs |body| for i64 numbers below |count|, spread over the block.
  void overThreads(int64_t count, function_ref<void(Value)> body);

  // Memory, in the address space of the pointer.
  Value at(Value base, Value index, Type element);
  Value load(Value ptr, Type element) { return loadScalar(ptr, element); }
  void store(Value ptr, Type element, Value value) {
    storeScalar(ptr, element, value);
  }
  /// |count| (a power of two, at most 8) elements of a row from |ptr|, which is
  /// aligned to their size or 16 bytes, as f32.
  SmallVector<Value> loadRow(Value ptr, Type element, int64_t count);

  // Between the lanes of a warp; all lanes take part.
  Value shuffleXor(Value value, int32_t mask);
  Value shuffleUp(Value value, int32_t by);
  Value shuffleFrom(Value value, Value lane);
  Value maxOfWarpI(Value value); // i32, signed
  Value minOfWarpI(Value value);
  Value sumOfWarp(Value value);
  Value maxOfWarp(Value value); // NaN if any is
  Value minOfWarp(Value value);
  /// The lanes that hold the same i32.
  Value lanesLike(Value value);
  /// Whether this lane is number |lane|, or in front of it.
  Value isLane(int32_t lane) { return cmp(kEq, laneId, i32(lane)); }
  Value isBefore(int32_t lane) { return cmp(kUlt, laneId, i32(lane)); }
  /// Number of element |reg| of this lane, i32.
  Value elementOf(int64_t reg);

  // Bits.
  Value andI(Value a, Value c) { return arith::AndIOp::create(b, loc, a, c); }
  Value orI(Value a, Value c) { return arith::OrIOp::create(b, loc, a, c); }
  Value shl(Value a, Value c) { return arith::ShLIOp::create(b, loc, a, c); }
  Value shr(Value a, Value c) { return arith::ShRUIOp::create(b, loc, a, c); }
  Value bits(Value f32);
  Value number(Value i32);

  static constexpr arith::CmpIPredicate kEq = arith::CmpIPredicate::eq,
                                        kNe = arith::CmpIPredicate::ne,
                                        kSgt = arith::CmpIPredicate::sgt,
                                        kSlt = arith::CmpIPredicate::slt,
                                        kUlt = arith::CmpIPredicate::ult;

private:
  Value shuffle(Value value, Value offset, NVVM::ShflKind kind);
  Value butterfly(Value value, function_ref<Value(Value, Value)> combine);

  LLVM::LLVMFuncOp current;
  SmallVector<Value> arguments;
  Value threadId, laneId, warpId;
};

} // namespace mlir::moe::device

#endif
