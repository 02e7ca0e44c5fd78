// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Constraints of losses.
#include "dialect/moe/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;

#define GET_OP_CLASSES
#include "dialect/moe/MoeLossOps.cpp.inc"

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static bool isScalarLike(Value loss, Value x) {
  auto type = shaped(loss);
  return type.getRank() == 0 &&
         type.getElementType() == shaped(x).getElementType();
}

static bool isScores(Value x) {
  return shaped(x).getRank() == 2 && !shaped(x).isDynamicDim(1);
}

LogicalResult BalanceLossOp::verify() {
  auto p = shaped(getP()), idx = shaped(getIdx());
  // balance_loss C1
  if (!isScores(getP()) || idx.getRank() != 2 || idx.isDynamicDim(1))
    return emitOpError("expects p [T, E] and idx [T, K], got ")
           << p << " and " << idx;
  int64_t devices = getDevices(), limit = getLimit();
  // balance_loss C2
  if (devices < 1 || p.getDimSize(1) % devices || limit < 1 || limit > devices)
    return emitOpError("expects devices that divide ")
           << p.getDimSize(1) << " experts and 1 <= limit <= devices, got "
           << devices << " and " << limit;
  // balance_loss C3
  if (getCuSeqlens() && shaped(getCuSeqlens()).getRank() != 1)
    return emitOpError("expects cu_seqlens [B+1], got ")
           << getCuSeqlens().getType();
  // balance_loss C4
  if (!isScalarLike(getLoss(), getP()))
    return emitOpError("expects a scalar result of ")
           << p.getElementType() << ", got " << getLoss().getType();
  return success();
}

LogicalResult ZLossOp::verify() {
  // z_loss C1
  if (shaped(getZ()).getRank() != 2)
    return emitOpError("expects z [T, E], got ") << getZ().getType();
  // z_loss C2
  if (!isScalarLike(getLoss(), getZ()))
    return emitOpError("expects a scalar result of ")
           << shaped(getZ()).getElementType() << ", got "
           << getLoss().getType();
  return success();
}

LogicalResult VariationLossOp::verify() {
  // variation_loss C1
  if (!isScores(getX()) || (getUnbiased() && shaped(getX()).getDimSize(1) < 2))
    return emitOpError("expects x [T, E], with at least two experts for an "
                       "unbiased variance, got ")
           << getX().getType();
  // variation_loss C2
  if (!isScalarLike(getLoss(), getX()))
    return emitOpError("expects a scalar result of ")
           << shaped(getX()).getElementType() << ", got "
           << getLoss().getType();
  return success();
}
