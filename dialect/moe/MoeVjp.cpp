// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Vector-Jacobian products of routing and experts: from dy, the gradient of the
// result, those of the operands. Plans and selected indices carry none.
#include "dialect/moe/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;

using Gradients = SmallVectorImpl<Value>;

LogicalResult GroupMaskOp::buildVjp(OpBuilder &b, ValueRange dy,
                                    Gradients &dx) {
  dx[0] = GroupMaskGradOp::create(b, getLoc(), getS(), dy[0], getGroups(),
                                  getKeep(), getScore(), getTop());
  return success();
}

LogicalResult PickOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = ScatterPickOp::create(
      b, getLoc(), dy[0], getIdx(),
      cast<RankedTensorType>(getS().getType()).getDimSize(1));
  return success();
}

LogicalResult ScatterPickOp::buildVjp(OpBuilder &b, ValueRange dy,
                                      Gradients &dx) {
  dx[0] = PickOp::create(b, getLoc(), dy[0], getIdx());
  return success();
}

LogicalResult StopGradientOp::buildVjp(OpBuilder &, ValueRange, Gradients &) {
  return success();
}

LogicalResult DispatchOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  if (!nn::isDifferentiable(getX().getType()))
    return success();
  dx[0] =
      DispatchGradOp::create(b, getLoc(), getX().getType(), dy[0], getPlan());
  return success();
}

LogicalResult UngroupOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = GroupOp::create(b, getLoc(), dy[0], getPlan());
  return success();
}

LogicalResult GroupOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = UngroupOp::create(b, getLoc(), dy[0], getPlan());
  return success();
}

LogicalResult CombineOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  auto grad =
      CombineGradOp::create(b, getLoc(), getRows(), getPlan(), getW(), dy[0]);
  dx[0] = grad.getDrows();
  dx[2] = grad.getDw();
  return success();
}

LogicalResult GroupedMatmulOp::buildVjp(OpBuilder &b, ValueRange dy,
                                        Gradients &dx) {
  dx[0] = GroupedMatmulDxOp::create(b, getLoc(), dy[0], getPlan(), getW());
  if (getGather())
    dx[0] =
        DispatchGradOp::create(b, getLoc(), getX().getType(), dx[0], getPlan());
  dx[2] = GroupedMatmulDwOp::create(b, getLoc(), dy[0], getPlan(), getX(),
                                    getGather());
  if (getBias())
    dx[3] = GroupedSumOp::create(b, getLoc(), dy[0], getPlan());
  return success();
}

LogicalResult GroupedBroadcastOp::buildVjp(OpBuilder &b, ValueRange dy,
                                           Gradients &dx) {
  dx[0] = GroupedSumOp::create(b, getLoc(), dy[0], getPlan());
  return success();
}
