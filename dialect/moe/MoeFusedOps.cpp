// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Constraints of the operations that hold chains of others.
#include "dialect/moe/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;

#define GET_OP_CLASSES
#include "dialect/moe/MoeFusedOps.cpp.inc"

/// The same for every token: no dimension of it is that of the tokens.
static bool isConstantShaped(Value value) {
  return cast<RankedTensorType>(value.getType()).hasStaticShape();
}

bool RoutePermuteOp::isRowWise(Operation *op) {
  if (auto linear = dyn_cast<nn::LinearOp>(op))
    return isConstantShaped(linear.getW());
  if (op->hasTrait<nn::RowWise>() ||
      OpTrait::hasElementwiseMappableTraits(op) || isa<arith::ConstantOp>(op))
    return isMemoryEffectFree(op);
  if (auto softmax = dyn_cast<nn::SoftmaxOp>(op))
    return softmax.getAxis() > 0;
  if (auto reduce = dyn_cast<nn::ReduceOp>(op))
    return reduce.getAxis() > 0;
  // A new leading axis gives every token the same vector.
  auto broadcast = dyn_cast<nn::BroadcastOp>(op);
  return broadcast &&
         (broadcast.getAxis() > 0 || isConstantShaped(broadcast.getX()));
}

Value RoutePermuteOp::getYieldedIndices() {
  return getBody().front().getTerminator()->getOperand(0);
}

Value RoutePermuteOp::getYieldedWeights() {
  return getBody().front().getTerminator()->getOperand(1);
}

LogicalResult RoutePermuteOp::verify() {
  auto x = cast<RankedTensorType>(getX().getType());
  // route_permute C1
  if (x.getRank() != 2)
    return emitOpError("expects x [T, D], got ") << x;
  Block &block = getBody().front();
  // route_permute C2
  if (block.getArgumentTypes() != getOperandTypes())
    return emitOpError("expects a region of x and ")
           << getParams().size() << " parameters";
  PlanType plan = getPlan().getType();
  auto yielded = block.getTerminator()->getOperandTypes();
  auto idx = yielded.size() == 2 ? dyn_cast<RankedTensorType>(yielded[0])
                                 : RankedTensorType();
  RankedTensorType weights = getWeights().getType();
  // route_permute C3
  if (!idx || idx.getRank() != 2 || !idx.getElementType().isInteger(32) ||
      idx.getDimSize(1) != plan.getK() || yielded[1] != weights ||
      weights.getRank() != 2 || weights.getDimSize(1) != plan.getK())
    return emitOpError("expects the region to yield i32 [T, ")
           << plan.getK() << "] and " << weights;
  // route_permute C4
  for (Operation &op : block.without_terminator())
    if (!isRowWise(&op))
      return op.emitOpError("is not row-wise and cannot stand in "
                            "moe.route_permute");
  return success();
}
