// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The region of a moe.route_permute for the row of one token, by one warp.
//
// A value [T, N] is, for one token, N elements in ceil(N / 32) registers per
// lane: element n is in lane n % 32, register n / 32. Lanes of the last register
// beyond N hold anything; whoever combines lanes leaves them out. A value [T]
// is one register that has the same content in all lanes. Vectors [N] that all
// tokens share are laid out as rows.
#ifndef MOE_PASSES_LOWER_GPU_ROWEMITTER_H
#define MOE_PASSES_LOWER_GPU_ROWEMITTER_H

#include "passes/lower/gpu/WarpEmitter.h"

namespace mlir::moe::device {

constexpr int64_t kMaxExperts = 4096, kMaxChoices = 32, kMaxGroups = 256;

/// One row: |width| elements, 0 for a scalar. f32 (also for bf16 tensors, whose
/// values are kept rounded), i32 or i1.
struct RowValue {
  SmallVector<Value> regs;
  int64_t width = 0;
};

class RowEmitter {
public:
  /// Pointers to the operands of |op|; |stage| is shared memory of this warp,
  /// stageSize(op) f32 elements.
  RowEmitter(WarpEmitter &emitter, RoutePermuteOp op, ValueRange pointers,
             Value stage)
      : e(emitter), op(op), pointers(pointers), stage(stage) {}

  /// Emits all operations for token |token| (i64). Failure, with a diagnostic
  /// on the operation, where one has no code here.
  LogicalResult run(Value token);
  const RowValue &value(Value tensor) const {
    return values.find(tensor)->second;
  }

  static int64_t stageSize(RoutePermuteOp op);

private:
  using Registers = SmallVector<Value>;

  LogicalResult emit(Operation *op);
  /// Binds the result of |op|, floats rounded to its element type.
  LogicalResult bind(Operation *op, Registers regs);
  const RowValue &operand(Operation *op, unsigned i) {
    return value(op->getOperand(i));
  }
  /// Elements of a vector that all tokens share, at |pointer|.
  Registers loadVector(Value pointer, RankedTensorType type);
  /// Whether |tensor| is the row of the token in memory.
  bool isTokenRow(Value tensor);
  Value pointerOf(Value argument) const {
    return pointers[cast<BlockArgument>(argument).getArgNumber()];
  }

  // RowOps.cpp
  LogicalResult elementwise(Operation *op);
  LogicalResult constant(arith::ConstantOp op);
  LogicalResult fill(nn::FillOp op);
  LogicalResult broadcast(nn::BroadcastOp op);
  LogicalResult softmax(nn::SoftmaxOp op);
  LogicalResult reduce(nn::ReduceOp op);
  /// |value| of register |reg| where it belongs to the row, else |other|.
  Value inside(int64_t width, int64_t reg, Value value, Value other);
  Value sum(const RowValue &row);
  Value largest(const RowValue &row);
  Value smallest(const RowValue &row);

  // GateProduct.cpp
  LogicalResult linear(nn::LinearOp op);
  /// Products of the token row with |count| rows of |w| from row |first| on,
  /// |end| rows in all, to the stage.
  void products(nn::LinearOp op, Value first, int64_t firstIfKnown,
                int64_t count, int64_t end);
  Value transposedSum(Registers sums);

  // Choice.cpp
  using KeyOf = function_ref<Value(int64_t reg)>;
  struct Choice {
    Value indices;   // lane k holds choice k
    Registers taken; // bit r % 32 of word r / 32: register r of this lane
  };
  /// The |count| best of |width| keys.
  Choice choose(int64_t width, int64_t count, KeyOf key);
  /// One round: the number (i32, the same in all lanes) of the largest key, the
  /// lowest of several, among registers [begin, end).
  Value bestOf(int64_t begin, int64_t end, KeyOf key, ValueRange taken);
  Registers take(ValueRange taken, Value best);
  Value isTaken(ValueRange taken, int64_t reg);
  /// An f32 as i32: ascending with the value, NaN largest, zeros of both signs
  /// and denormals 0.
  Value keyOf(Value score);
  LogicalResult select(SelectOp op);
  LogicalResult maskChoices(MaskChoicesOp op);
  LogicalResult pick(PickOp op);
  LogicalResult scatterPick(ScatterPickOp op);
  LogicalResult groupMask(GroupMaskOp op);
  Value groupKey(GroupMaskOp op, const RowValue &s, int64_t group);
  /// Element |index| (i32, in each lane its own) of |row|.
  Value elementAt(const RowValue &row, Value index);

  WarpEmitter &e;
  RoutePermuteOp op;
  SmallVector<Value> pointers;
  Value stage, token;
  DenseMap<Value, RowValue> values;
};

} // namespace mlir::moe::device

#endif
