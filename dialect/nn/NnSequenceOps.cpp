// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result types and constraints of operations over sequences.
#include "dialect/nn/NnDialect.h"

using namespace mlir;
using namespace mlir::nn;

#define GET_OP_CLASSES
#include "dialect/nn/NnSequenceOps.cpp.inc"

using Types = SmallVectorImpl<Type>;
using Loc = std::optional<Location>;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// |type| with |rows| rows.
static RankedTensorType withRows(RankedTensorType type, int64_t rows) {
  SmallVector<int64_t> shape(type.getShape());
  shape[0] = rows;
  return RankedTensorType::get(shape, type.getElementType());
}

double FillOp::getNumber() {
  if (auto number = dyn_cast<FloatAttr>(getValue()))
    return number.getValueAsDouble();
  return cast<IntegerAttr>(getValue()).getInt();
}

LogicalResult FillOp::verify() {
  auto like = shaped(getLike()), y = shaped(getY());
  // fill C1
  for (auto [axis, size] : llvm::enumerate(y.getShape()))
    if (ShapedType::isDynamic(size) && (axis != 0 || like.getRank() < 1))
      return emitOpError("expects a result of static dimensions behind the "
                         "rows of `like`, got ")
             << y << " like " << like;
  // fill C2
  if (y.getElementType().isInteger(32) && !isa<IntegerAttr>(getValue()))
    return emitOpError("expects an integer for ") << y;
  return success();
}

LogicalResult SegmentReduceOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                SegmentReduceOp::Adaptor a,
                                                Types &types) {
  auto x = shaped(a.getX());
  // segment_reduce C1
  if (x.getRank() < 1)
    return emitOptionalError(loc, "nn.segment_reduce expects x [T, ..], got ",
                             x);
  // segment_reduce C2
  if (failed(checkBoundaries(loc, "nn.segment_reduce", a.getCuSeqlens())))
    return failure();
  types.push_back(withRows(x, sequencesOf(shaped(a.getCuSeqlens()))));
  return success();
}

LogicalResult SegmentBroadcastOp::inferReturnTypes(
    MLIRContext *, Loc loc, SegmentBroadcastOp::Adaptor a, Types &types) {
  auto x = shaped(a.getX()), like = shaped(a.getLike());
  // segment_broadcast C1
  if (x.getRank() < 1 || like.getRank() < 1)
    return emitOptionalError(
        loc, "nn.segment_broadcast expects x [B, ..] and like [T, ..], got ", x,
        " and ", like);
  // segment_broadcast C2
  if (failed(checkBoundaries(loc, "nn.segment_broadcast", a.getCuSeqlens())))
    return failure();
  types.push_back(withRows(x, like.getDimSize(0)));
  return success();
}

LogicalResult SegmentSoftmaxOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                 SegmentSoftmaxOp::Adaptor a,
                                                 Types &types) {
  // segment_softmax C1
  if (shaped(a.getX()).getRank() < 1)
    return emitOptionalError(loc, "nn.segment_softmax expects x [T, ..], got ",
                             a.getX().getType());
  // segment_softmax C2
  if (failed(checkBoundaries(loc, "nn.segment_softmax", a.getCuSeqlens())))
    return failure();
  types.push_back(a.getX().getType());
  return success();
}

LogicalResult SegmentLinearOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                SegmentLinearOp::Adaptor a,
                                                Types &types) {
  auto x = shaped(a.getX()), w = shaped(a.getW());
  // segment_linear C1
  if (x.getRank() != 2 || w.getRank() != 3 ||
      x.getDimSize(1) != w.getDimSize(2))
    return emitOptionalError(
        loc, "nn.segment_linear expects x [T, K] and w [B, N, K], got ", x,
        " and ", w);
  // segment_linear C2
  if (failed(checkBoundaries(loc, "nn.segment_linear", a.getCuSeqlens())))
    return failure();
  types.push_back(RankedTensorType::get({x.getDimSize(0), w.getDimSize(1)},
                                        x.getElementType()));
  return success();
}
