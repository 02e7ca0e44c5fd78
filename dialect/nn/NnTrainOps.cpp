// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result types, constraints and gradients of the end of a training step.
#include "dialect/nn/NnDialect.h"

using namespace mlir;
using namespace mlir::nn;

#define GET_OP_CLASSES
#include "dialect/nn/NnTrainOps.cpp.inc"

using Types = SmallVectorImpl<Type>;
using Loc = std::optional<Location>;
using Gradients = SmallVectorImpl<Value>;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Logits [T, V], and a vector [T] for each of |vectors|.
static LogicalResult checkLogits(Loc loc, StringRef name, Value logits,
                                 ValueRange vectors) {
  auto x = shaped(logits);
  bool good = x.getRank() == 2;
  for (Value vector : vectors)
    good = good && shaped(vector).getRank() == 1 &&
           (x.isDynamicDim(0) || shaped(vector).isDynamicDim(0) ||
            x.getDimSize(0) == shaped(vector).getDimSize(0));
  if (good)
    return success();
  return emitOptionalError(loc, "nn.", name,
                           " expects x [T, V] and vectors "
                           "[T], got ",
                           x, " and ", vectors.getTypes());
}

LogicalResult CrossEntropyOp::inferReturnTypes(MLIRContext *, Loc loc,
                                               CrossEntropyOp::Adaptor a,
                                               Types &types) {
  // cross_entropy C1
  if (failed(checkLogits(loc, "cross_entropy", a.getX(), a.getTargets())))
    return failure();
  auto x = shaped(a.getX());
  types.push_back(RankedTensorType::get({x.getDimSize(0)}, x.getElementType()));
  return success();
}

LogicalResult CrossEntropyOp::buildVjp(OpBuilder &b, ValueRange dy,
                                       Gradients &dx) {
  dx[0] = CrossEntropyGradOp::create(b, getLoc(), getX(), getTargets(), dy[0]);
  return success();
}

LogicalResult CrossEntropyGradOp::inferReturnTypes(
    MLIRContext *, Loc loc, CrossEntropyGradOp::Adaptor a, Types &types) {
  // cross_entropy_grad C1
  if (failed(checkLogits(loc, "cross_entropy_grad", a.getX(),
                         {a.getTargets(), a.getDy()})))
    return failure();
  types.push_back(a.getX().getType());
  return success();
}

LogicalResult HeadLossOp::inferReturnTypes(MLIRContext *, Loc loc,
                                           HeadLossOp::Adaptor a,
                                           Types &types) {
  auto x = shaped(a.getX()), w = shaped(a.getW());
  // head_loss C1
  if (x.getRank() != 2 || w.getRank() != 2 || x.isDynamicDim(1) ||
      x.getDimSize(1) != w.getDimSize(1))
    return emitOptionalError(
        loc, "nn.head_loss expects x [T, K] and w [V, K], got ", x, " and ", w);
  // head_loss C2
  SmallVector<Value> vectors{a.getTargets()};
  if (a.getDy())
    vectors.push_back(a.getDy());
  if (failed(checkLogits(loc, "head_loss", a.getX(), vectors)))
    return failure();
  types.push_back(accumulatorType(
      RankedTensorType::get({x.getDimSize(0)}, x.getElementType())));
  if (a.getDy()) {
    types.push_back(x);
    types.push_back(accumulatorType(w));
  }
  return success();
}

LogicalResult SumSquaresOp::inferReturnTypes(MLIRContext *, Loc loc,
                                             SumSquaresOp::Adaptor a,
                                             Types &types) {
  // sum_squares C1
  bool good = !a.getXs().empty();
  for (Value x : a.getXs())
    good = good && shaped(x).hasStaticShape() &&
           shaped(x).getElementType() ==
               shaped(a.getXs().front()).getElementType();
  if (!good)
    return emitOptionalError(
        loc, "nn.sum_squares expects tensors of static shape, got ",
        a.getXs().getTypes());
  types.push_back(
      RankedTensorType::get({}, shaped(a.getXs().front()).getElementType()));
  return success();
}

LogicalResult AdamwOp::inferReturnTypes(MLIRContext *, Loc loc,
                                        AdamwOp::Adaptor a, Types &types) {
  auto w = shaped(a.getW()), hyper = shaped(a.getHyper());
  // adamw C1
  for (Value other : {a.getGrad(), a.getM(), a.getV()})
    if (other.getType() != w || !w.hasStaticShape())
      return emitOptionalError(
          loc, "nn.adamw expects w, grad, m and v of one static shape, got ", w,
          " and ", other.getType());
  // adamw C2
  if (hyper.getRank() != 1 || hyper.getDimSize(0) != 8 ||
      hyper.getElementType() != w.getElementType())
    return emitOptionalError(loc, "nn.adamw expects hyper [8], got ", hyper);
  types.assign(3, w);
  return success();
}
