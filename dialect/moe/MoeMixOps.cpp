// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result types, constraints and gradients of dense mixtures.
#include "dialect/moe/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;

#define GET_OP_CLASSES
#include "dialect/moe/MoeMixOps.cpp.inc"

using Types = SmallVectorImpl<Type>;
using Loc = std::optional<Location>;
using Gradients = SmallVectorImpl<Value>;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}

LogicalResult MixOp::inferReturnTypes(MLIRContext *, Loc loc, MixOp::Adaptor a,
                                      Types &types) {
  auto w = shaped(a.getA()), x = shaped(a.getX());
  // mix C1
  if (w.getRank() != 2 || x.getRank() != 2 || w.isDynamicDim(1))
    return emitOptionalError(
        loc, "moe.mix expects a [T, N] with static N and x [T, D], got ", w,
        " and ", x);
  // mix C2
  if (failed(nn::checkBoundaries(loc, "moe.mix", a.getCuSeqlens())))
    return failure();
  types.push_back(
      RankedTensorType::get({nn::sequencesOf(shaped(a.getCuSeqlens())),
                             w.getDimSize(1), x.getDimSize(1)},
                            x.getElementType()));
  return success();
}

LogicalResult UnmixOp::inferReturnTypes(MLIRContext *, Loc loc,
                                        UnmixOp::Adaptor a, Types &types) {
  auto w = shaped(a.getA()), s = shaped(a.getS());
  // unmix C1
  if (w.getRank() != 2 || s.getRank() != 3 ||
      w.getDimSize(1) != s.getDimSize(1))
    return emitOptionalError(
        loc, "moe.unmix expects a [T, N] and s [B, N, D], got ", w, " and ", s);
  // unmix C2
  if (failed(nn::checkBoundaries(loc, "moe.unmix", a.getCuSeqlens())))
    return failure();
  types.push_back(RankedTensorType::get({w.getDimSize(0), s.getDimSize(2)},
                                        s.getElementType()));
  return success();
}

LogicalResult MixDotOp::inferReturnTypes(MLIRContext *, Loc loc,
                                         MixDotOp::Adaptor a, Types &types) {
  auto x = shaped(a.getX()), s = shaped(a.getS());
  // mix_dot C1
  if (x.getRank() != 2 || s.getRank() != 3 ||
      x.getDimSize(1) != s.getDimSize(2))
    return emitOptionalError(
        loc, "moe.mix_dot expects x [T, D] and s [B, N, D], got ", x, " and ",
        s);
  // mix_dot C2
  if (failed(nn::checkBoundaries(loc, "moe.mix_dot", a.getCuSeqlens())))
    return failure();
  types.push_back(RankedTensorType::get({x.getDimSize(0), s.getDimSize(1)},
                                        x.getElementType()));
  return success();
}

LogicalResult MergeParamsOp::inferReturnTypes(MLIRContext *, Loc loc,
                                              MergeParamsOp::Adaptor a,
                                              Types &types) {
  auto w = shaped(a.getW()), param = shaped(a.getParam());
  // merge_params C1
  if (w.getRank() != 2 || param.getRank() < 2 ||
      w.getDimSize(1) != param.getDimSize(0))
    return emitOptionalError(
        loc, "moe.merge_params expects w [B, E] and param [E, ..], got ", w,
        " and ", param);
  SmallVector<int64_t> shape(param.getShape());
  shape[0] = w.getDimSize(0);
  types.push_back(RankedTensorType::get(shape, w.getElementType()));
  return success();
}

LogicalResult MergeParamsGradOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                  MergeParamsGradOp::Adaptor a,
                                                  Types &types) {
  auto w = shaped(a.getW()), param = shaped(a.getParam()),
       dy = shaped(a.getDy());
  // merge_params_grad C1
  if (w.getRank() != 2 || param.getRank() < 2 ||
      w.getDimSize(1) != param.getDimSize(0))
    return emitOptionalError(
        loc, "moe.merge_params_grad expects w [B, E] and param [E, ..], got ",
        w, " and ", param);
  // merge_params_grad C2
  if (dy.getRank() != param.getRank() ||
      dy.getShape().drop_front() != param.getShape().drop_front())
    return emitOptionalError(
        loc, "moe.merge_params_grad expects dy [B, ..] like param, got ", dy,
        " and ", param);
  types.push_back(w);
  types.push_back(nn::accumulatorType(param));
  return success();
}

LogicalResult MixOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = MixDotOp::create(b, getLoc(), getX(), dy[0], getCuSeqlens());
  dx[1] = UnmixOp::create(b, getLoc(), getA(), dy[0], getCuSeqlens());
  return success();
}

LogicalResult UnmixOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = MixDotOp::create(b, getLoc(), dy[0], getS(), getCuSeqlens());
  dx[1] = MixOp::create(b, getLoc(), getA(), dy[0], getCuSeqlens());
  return success();
}

LogicalResult MixDotOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = UnmixOp::create(b, getLoc(), dy[0], getS(), getCuSeqlens());
  dx[1] = MixOp::create(b, getLoc(), dy[0], getX(), getCuSeqlens());
  return success();
}

LogicalResult MergeParamsOp::buildVjp(OpBuilder &b, ValueRange dy,
                                      Gradients &dx) {
  auto grad = MergeParamsGradOp::create(b, getLoc(), getW(), getParam(), dy[0]);
  dx[0] = grad.getDw();
  dx[1] = grad.getDparam();
  return success();
}
