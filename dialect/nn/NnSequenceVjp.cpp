// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Vector-Jacobian products of operations over sequences.
#include "dialect/nn/NnDialect.h"

using namespace mlir;
using namespace mlir::nn;

using Gradients = SmallVectorImpl<Value>;

LogicalResult FillOp::buildVjp(OpBuilder &, ValueRange, Gradients &) {
  return success();
}

/// dx[t] = dy[b], for means divided by the tokens of b. Those are divided by
/// before tokens get them, so that no 0/0 reaches a token of no sequence.
LogicalResult SegmentReduceOp::buildVjp(OpBuilder &b, ValueRange dy,
                                        Gradients &dx) {
  if (getKind() != ReduceKind::Sum && getKind() != ReduceKind::Mean)
    return emitOpError("has no gradient for maxima and minima");
  Value gradient = dy[0];
  if (getKind() == ReduceKind::Mean) {
    Value ones = splat(b, getLoc(), getX().getType(), getX(), 1.0);
    Value tokens = SegmentReduceOp::create(b, getLoc(), ones, getCuSeqlens(),
                                           ReduceKind::Sum);
    gradient = arith::DivFOp::create(b, getLoc(), gradient, tokens);
  }
  dx[0] =
      SegmentBroadcastOp::create(b, getLoc(), gradient, getX(), getCuSeqlens());
  return success();
}

LogicalResult SegmentBroadcastOp::buildVjp(OpBuilder &b, ValueRange dy,
                                           Gradients &dx) {
  if (isDifferentiable(getX().getType()))
    dx[0] = SegmentReduceOp::create(b, getLoc(), dy[0], getCuSeqlens(),
                                    ReduceKind::Sum);
  return success();
}

/// dx = y·(dy − Σ y·dy)
LogicalResult SegmentSoftmaxOp::buildVjp(OpBuilder &b, ValueRange dy,
                                         Gradients &dx) {
  Location loc = getLoc();
  Value product = arith::MulFOp::create(b, loc, getY(), dy[0]);
  Value along =
      SegmentReduceOp::create(b, loc, product, getCuSeqlens(), ReduceKind::Sum);
  Value spread =
      SegmentBroadcastOp::create(b, loc, along, getX(), getCuSeqlens());
  Value centred = arith::SubFOp::create(b, loc, dy[0], spread);
  dx[0] = arith::MulFOp::create(b, loc, getY(), centred);
  return success();
}

LogicalResult SegmentLinearOp::buildVjp(OpBuilder &b, ValueRange dy,
                                        Gradients &dx) {
  dx[0] = SegmentLinearDxOp::create(b, getLoc(), dy[0], getW(), getCuSeqlens());
  dx[1] = SegmentLinearDwOp::create(b, getLoc(), dy[0], getX(), getCuSeqlens());
  return success();
}
