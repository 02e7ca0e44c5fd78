// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result types, constraints and gradients of choices.
#include "dialect/moe/MoeDialect.h"

#include "mlir/IR/IRMapping.h"

#include <cmath>

using namespace mlir;
using namespace mlir::moe;

#define GET_OP_CLASSES
#include "dialect/moe/MoeRoutingOps.cpp.inc"

using Types = SmallVectorImpl<Type>;
using Loc = std::optional<Location>;
using Gradients = SmallVectorImpl<Value>;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}
static RankedTensorType choices(RankedTensorType like, int64_t k) {
  return RankedTensorType::get({like.getDimSize(0), k},
                               IntegerType::get(like.getContext(), 32));
}

LogicalResult CapacityAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                   FloatAttr factor, CapacityRounding,
                                   FloatAttr times, int64_t min,
                                   int64_t multiple, int64_t extra) {
  auto isPositive = [](FloatAttr number) {
    return !number || (number.getValueAsDouble() > 0 &&
                       std::isfinite(number.getValueAsDouble()));
  };
  if (!isPositive(factor) || !isPositive(times))
    return emitError() << "expects a capacity with factor and times above 0";
  if (min < 1 || multiple < 1 || extra < 0)
    return emitError() << "expects a capacity with min >= 1, multiple >= 1 and "
                          "extra >= 0";
  return success();
}

int64_t CapacityAttr::rows(int64_t tokens, int64_t experts) {
  double share =
      getFactor().getValueAsDouble() * double(tokens) / double(experts);
  switch (getRound()) {
  case CapacityRounding::Floor:
    share = std::floor(share);
    break;
  case CapacityRounding::Ceil:
    share = std::ceil(share);
    break;
  case CapacityRounding::Nearest:
    share = std::nearbyint(share);
    break;
  }
  int64_t rows = std::max(
      getMin(), int64_t(std::floor(std::min(getTimesValue() * share, 1e15))));
  return llvm::divideCeil(rows, getMultiple()) * getMultiple() + getExtra();
}

LogicalResult CapacityOp::inferReturnTypes(MLIRContext *, Loc loc,
                                           CapacityOp::Adaptor a,
                                           Types &types) {
  auto idx = shaped(a.getIdx());
  // capacity C1
  if (idx.getRank() != 2 || idx.isDynamicDim(1))
    return emitOptionalError(
        loc, "moe.capacity expects idx [T, K] with static K, got ", idx);
  // capacity C2
  if (int64_t(a.getExperts()) < 1)
    return emitOptionalError(loc, "moe.capacity expects experts >= 1");
  // capacity C3
  if (a.getPriority() && shaped(a.getPriority()).getShape() != idx.getShape())
    return emitOptionalError(loc, "moe.capacity expects a priority like ", idx,
                             ", got ", a.getPriority().getType());
  // capacity C4
  if (a.getCuSeqlens() &&
      failed(nn::checkBoundaries(loc, "moe.capacity", a.getCuSeqlens())))
    return failure();
  types.push_back(idx);
  return success();
}

LogicalResult NextChoiceOp::inferReturnTypes(MLIRContext *, Loc loc,
                                             NextChoiceOp::Adaptor a,
                                             Types &types) {
  auto idx = shaped(a.getIdx());
  // next_choice C1
  if (idx.getRank() != 2 || idx.isDynamicDim(1))
    return emitOptionalError(
        loc, "moe.next_choice expects idx [T, K] with static K, got ", idx);
  // next_choice C2
  if (int64_t(a.getExperts()) < 1)
    return emitOptionalError(loc, "moe.next_choice expects experts >= 1");
  types.push_back(choices(idx, 1));
  return success();
}

LogicalResult SelectTokensOp::inferReturnTypes(MLIRContext *, Loc loc,
                                               SelectTokensOp::Adaptor a,
                                               Types &types) {
  auto s = shaped(a.getS());
  // select_tokens C1
  if (s.getRank() != 2 || s.isDynamicDim(1))
    return emitOptionalError(
        loc, "moe.select_tokens expects s [T, E] with static E, got ", s);
  // select_tokens C2
  if (a.getCuSeqlens() &&
      failed(nn::checkBoundaries(loc, "moe.select_tokens", a.getCuSeqlens())))
    return failure();
  types.push_back(choices(s, s.getDimSize(1)));
  return success();
}

LogicalResult MaskChoicesOp::inferReturnTypes(MLIRContext *, Loc loc,
                                              MaskChoicesOp::Adaptor a,
                                              Types &types) {
  auto s = shaped(a.getS()), idx = shaped(a.getIdx());
  // mask_choices C1
  if (s.getRank() != 2 || idx.getRank() != 2)
    return emitOptionalError(
        loc, "moe.mask_choices expects s [T, E] and idx [T, K], got ", s,
        " and ", idx);
  types.push_back(s);
  return success();
}

LogicalResult MaskChoicesOp::buildVjp(OpBuilder &b, ValueRange dy,
                                      Gradients &dx) {
  dx[0] =
      MaskChoicesOp::create(b, getLoc(), dy[0], getIdx(), llvm::APFloat(0.0));
  return success();
}

LogicalResult AssignOp::inferReturnTypes(MLIRContext *, Loc loc,
                                         AssignOp::Adaptor a, Types &types) {
  auto s = shaped(a.getS());
  // assign C1
  if (s.getRank() != 2 || s.isDynamicDim(1) || s.getDimSize(1) < 1)
    return emitOptionalError(
        loc, "moe.assign expects s [T, E] with static E, got ", s);
  // assign C2
  if (!s.isDynamicDim(0) && s.getDimSize(0) % s.getDimSize(1))
    return emitOptionalError(loc, "moe.assign expects E to divide T, got ", s);
  types.push_back(choices(s, 1));
  return success();
}

LogicalResult SinkhornOp::inferReturnTypes(MLIRContext *, Loc loc,
                                           SinkhornOp::Adaptor a,
                                           Types &types) {
  auto z = shaped(a.getZ());
  // sinkhorn C1
  if (z.getRank() != 2 || z.isDynamicDim(1))
    return emitOptionalError(
        loc, "moe.sinkhorn expects z [T, E] with static E, got ", z);
  // sinkhorn C2
  if (a.getTolerance().isNegative() || int64_t(a.getMaxIterations()) < 1)
    return emitOptionalError(
        loc, "moe.sinkhorn expects tolerance >= 0 and max_iterations >= 1");
  types.push_back(z);
  return success();
}

LogicalResult SinkhornOp::buildVjp(OpBuilder &, ValueRange, Gradients &) {
  return success();
}

static LogicalResult checkKey(Loc loc, StringRef name, Value key) {
  auto type = shaped(key);
  if (type.getRank() == 1 && type.getDimSize(0) == 6)
    return success();
  return emitOptionalError(loc, "moe.", name, " expects a key [6], got ", type);
}

LogicalResult LayerKeyOp::inferReturnTypes(MLIRContext *, Loc loc,
                                           LayerKeyOp::Adaptor a,
                                           Types &types) {
  // layer_key C1
  if (failed(checkKey(loc, "layer_key", a.getKey())))
    return failure();
  types.push_back(a.getKey().getType());
  return success();
}

LogicalResult RandomOp::inferReturnTypes(MLIRContext *, Loc loc,
                                         RandomOp::Adaptor a, Types &types) {
  auto like = shaped(a.getLike());
  // random C1
  if (failed(checkKey(loc, "random", a.getKey())))
    return failure();
  // random C2
  if (like.getRank() < 1 ||
      llvm::any_of(like.getShape().drop_front(), ShapedType::isDynamic))
    return emitOptionalError(
        loc,
        "moe.random expects like [T, ..] with static dimensions behind T, "
        "got ",
        like);
  types.push_back(like);
  return success();
}

LogicalResult RandomOp::buildVjp(OpBuilder &, ValueRange, Gradients &) {
  return success();
}

LogicalResult CustomVjpOp::verify() {
  auto check = [&](Region &region, TypeRange arguments, TypeRange yielded,
                   StringRef name) -> LogicalResult {
    Block &block = region.front();
    if (block.getArgumentTypes() != arguments)
      return emitOpError("expects ")
             << name << " to take " << arguments.size()
             << " values of the types (" << arguments << ")";
    if (block.getTerminator()->getOperandTypes() != yielded)
      return emitOpError("expects ")
             << name << " to yield values of the types (" << yielded << ")";
    return success();
  };
  // custom_vjp C1
  if (failed(check(getForward(), getInputs().getTypes(), getResultTypes(),
                   "forward")))
    return failure();
  SmallVector<Type> types(getInputs().getTypes());
  llvm::append_range(types, getResultTypes());
  llvm::append_range(types, getResultTypes());
  // custom_vjp C2
  return check(getBackward(), types, getInputs().getTypes(), "backward");
}

LogicalResult CustomVjpOp::buildVjp(OpBuilder &b, ValueRange dy,
                                    Gradients &dx) {
  Block &block = getBackward().front();
  IRMapping map;
  SmallVector<Value> values(getInputs());
  llvm::append_range(values, getResults());
  for (auto [result, gradient] : llvm::zip(getResults(), dy)) {
    if (!gradient && !nn::isDifferentiable(result.getType()))
      return emitOpError("has no gradient: a result is ") << result.getType();
    values.push_back(
        gradient ? gradient
                 : nn::splat(b, getLoc(), result.getType(), result, 0.0));
  }
  map.map(block.getArguments(), values);
  for (Operation &op : block.without_terminator())
    b.clone(op, map);
  for (auto [i, value] : llvm::enumerate(block.getTerminator()->getOperands()))
    if (nn::isDifferentiable(value.getType()))
      dx[i] = map.lookupOrDefault(value);
  return success();
}
