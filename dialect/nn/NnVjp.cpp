// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Vector-Jacobian products of the nn operations: from dy, the gradient of the
// result, those of the operands.
#include "dialect/nn/NnDialect.h"

using namespace mlir;
using namespace mlir::nn;

#include "dialect/nn/Differentiable.cpp.inc"

using Gradients = SmallVectorImpl<Value>;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}

bool nn::isDifferentiable(Type type) {
  if (auto tensor = dyn_cast<RankedTensorType>(type))
    return isa<FloatType>(tensor.getElementType());
  return isa<FloatType>(type);
}

static Type withElement(Type type, Type element) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor ? Type(tensor.clone(element)) : element;
}

Type nn::accumulatorType(Type type) {
  bool wide = getElementTypeOrSelf(type).isF64();
  return wide ? type : withElement(type, Float32Type::get(type.getContext()));
}

Value nn::castElement(OpBuilder &b, Location loc, Value value, Type type) {
  if (value.getType() == type)
    return value;
  unsigned from = getElementTypeOrSelf(value.getType()).getIntOrFloatBitWidth(),
           to = getElementTypeOrSelf(type).getIntOrFloatBitWidth();
  // bf16 and f16 hold each other only by way of f32.
  if (from == to)
    value = castElement(b, loc, value, accumulatorType(value.getType()));
  if (from < to)
    return arith::ExtFOp::create(b, loc, type, value);
  return arith::TruncFOp::create(b, loc, type, value);
}

Value nn::splat(OpBuilder &b, Location loc, Type type, Value like,
                double number) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  FloatAttr element = b.getFloatAttr(getElementTypeOrSelf(type), number);
  if (!tensor)
    return arith::ConstantOp::create(b, loc, element);
  if (tensor.hasStaticShape())
    return arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(tensor, element.getValue()));
  auto row = RankedTensorType::get(tensor.getShape().drop_front(),
                                   tensor.getElementType());
  Value constant = arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(row, element.getValue()));
  return BroadcastOp::create(b, loc, tensor, constant, like, /*axis=*/0);
}

Value nn::sumOver(OpBuilder &b, Location loc, Value x, int64_t axis) {
  return ReduceOp::create(b, loc,
                          castElement(b, loc, x, accumulatorType(x.getType())),
                          ReduceKind::Sum, axis);
}

/// |x| repeated along |axis| to the shape of |like|.
static Value broadcastLike(OpBuilder &b, Location loc, Value x, Value like,
                           int64_t axis) {
  return BroadcastOp::create(b, loc,
                             shaped(like).clone(shaped(x).getElementType()), x,
                             axis == 0 ? like : Value(), axis);
}

LogicalResult EmbeddingOp::buildVjp(OpBuilder &b, ValueRange dy,
                                    Gradients &dx) {
  Type type = accumulatorType(getTable().getType());
  bool fixed = cast<RankedTensorType>(type).hasStaticShape();
  dx[1] = EmbeddingGradOp::create(b, getLoc(), type, getIds(), dy[0],
                                  fixed ? Value() : getTable());
  return success();
}

LogicalResult LinearOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = LinearDxOp::create(b, getLoc(), dy[0], getW());
  dx[1] = LinearDwOp::create(b, getLoc(), dy[0], getX());
  if (getBias())
    dx[2] = sumOver(b, getLoc(), dy[0], 0);
  return success();
}

LogicalResult HeadLinearOp::buildVjp(OpBuilder &b, ValueRange dy,
                                     Gradients &dx) {
  dx[0] = HeadLinearDxOp::create(b, getLoc(), dy[0], getW());
  dx[1] = HeadLinearDwOp::create(b, getLoc(), dy[0], getX());
  return success();
}

LogicalResult RmsNormOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  auto grad =
      RmsNormGradOp::create(b, getLoc(), getX(), getW(), dy[0], getEpsAttr());
  dx[0] = grad.getDx();
  dx[1] = grad.getDw();
  return success();
}

LogicalResult LayerNormOp::buildVjp(OpBuilder &b, ValueRange dy,
                                    Gradients &dx) {
  auto grad =
      LayerNormGradOp::create(b, getLoc(), getX(), getW(), dy[0], getEpsAttr());
  dx[0] = grad.getDx();
  dx[1] = grad.getDw();
  if (getBias())
    dx[2] = grad.getDbias();
  return success();
}

/// A rotation is orthogonal: the gradient turns by the opposite angle. Tables
/// of rotary positions are constants.
LogicalResult RopeOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  int64_t half = shaped(getTable()).getDimSize(1) / 2;
  Value cosines = SliceOp::create(b, getLoc(), getTable(), 0, half),
        sines = SliceOp::create(b, getLoc(), getTable(), half, half);
  Value opposite = ConcatOp::create(
      b, getLoc(),
      ValueRange{cosines, arith::NegFOp::create(b, getLoc(), sines)});
  dx[0] =
      RopeOp::create(b, getLoc(), dy[0], opposite, getPairing(), getStart());
  return success();
}

LogicalResult AttendOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  if (getCache())
    return emitOpError("has no gradient where it reads a cache");
  SmallVector<Type> more;
  if (getV())
    more.push_back(getV().getType());
  if (getSinks())
    more.push_back(accumulatorType(getSinks().getType()));
  auto grad = AttendGradOp::create(
      b, getLoc(), getQ().getType(), getK().getType(), more, getQ(), getK(),
      getV(), getCuSeqlens(), dy[0], getSinks(), getScaleAttr(),
      getWindowAttr(), getValueDimsAttr(), getTiledAttr(), getCapAttr());
  dx[0] = grad.getDq();
  dx[1] = grad.getDk();
  if (getV())
    dx[getVMutable().begin()->getOperandNumber()] = grad.getDv();
  if (getSinks())
    dx[getSinksMutable().begin()->getOperandNumber()] = grad.getDsinks();
  return success();
}

LogicalResult GluOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = GluGradOp::create(b, getLoc(), getX(), dy[0], getAct(), getLimit(),
                            getShift());
  return success();
}

LogicalResult ActivateOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = ActivateGradOp::create(b, getLoc(), getX(), dy[0], getAct());
  return success();
}

/// dx = y·(dy − Σ y·dy)
LogicalResult SoftmaxOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  Value product = arith::MulFOp::create(b, getLoc(), getY(), dy[0]);
  Value along =
      ReduceOp::create(b, getLoc(), product, ReduceKind::Sum, getAxis());
  Value centred = arith::SubFOp::create(
      b, getLoc(), dy[0], broadcastLike(b, getLoc(), along, getY(), getAxis()));
  dx[0] = arith::MulFOp::create(b, getLoc(), getY(), centred);
  return success();
}

LogicalResult ReduceOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  if (getKind() == ReduceKind::Sum)
    dx[0] = broadcastLike(b, getLoc(), dy[0], getX(), getAxis());
  else
    dx[0] = ReduceGradOp::create(b, getLoc(), getX(), getY(), dy[0], getKind(),
                                 getAxis());
  return success();
}

LogicalResult BroadcastOp::buildVjp(OpBuilder &b, ValueRange dy,
                                    Gradients &dx) {
  dx[0] = sumOver(b, getLoc(), dy[0], getAxis());
  return success();
}

LogicalResult ReshapeOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = ReshapeOp::create(b, getLoc(), getX().getType(), dy[0]);
  return success();
}

/// Zeros around dy.
LogicalResult SliceOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  SmallVector<Value> parts;
  auto zeros = [&](int64_t columns) {
    if (columns == 0)
      return;
    SmallVector<int64_t> shape(shaped(getX()).getShape());
    shape.back() = columns;
    parts.push_back(splat(b, getLoc(), shaped(getX()).clone(shape), dy[0], 0));
  };
  zeros(getStart());
  parts.push_back(dy[0]);
  zeros(shaped(getX()).getShape().back() - int64_t(getStart()) -
        int64_t(getSize()));
  dx[0] = ConcatOp::create(b, getLoc(), parts);
  return success();
}

LogicalResult ConcatOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  int64_t start = 0;
  for (auto [i, x] : llvm::enumerate(getXs())) {
    int64_t width = shaped(x).getShape().back();
    dx[i] = SliceOp::create(b, getLoc(), dy[0], start, width);
    start += width;
  }
  return success();
}

LogicalResult LastRowsOp::buildVjp(OpBuilder &b, ValueRange dy, Gradients &dx) {
  dx[0] = LastRowsGradOp::create(b, getLoc(), getX().getType(), dy[0],
                                 getCuSeqlens(), getX());
  return success();
}
