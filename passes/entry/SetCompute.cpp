// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sets the element type of activations, following values from the embedding:
//   %x = nn.embedding … -> tensor<?x128xbf16>   becomes   … -> tensor<?x128xf32>
#include "passes/entry/Passes.h"

namespace mlir::moe::entry {
#define GEN_PASS_DEF_SETCOMPUTE
#include "passes/entry/Passes.h.inc"
} // namespace mlir::moe::entry

using namespace mlir;
using namespace mlir::moe;

static void setElement(Value value, Type element) {
  if (auto type = dyn_cast<RankedTensorType>(value.getType()))
    if (isa<FloatType>(type.getElementType()))
      value.setType(type.clone(element));
}

static Type elementOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getElementType();
}

static LogicalResult propagate(Block &block, Type element);

static Value castTo(OpBuilder &b, Location loc, Value value, Type element) {
  Type type = cast<RankedTensorType>(value.getType()).clone(element);
  if (element.getIntOrFloatBitWidth() >
      elementOf(value).getIntOrFloatBitWidth())
    return arith::ExtFOp::create(b, loc, type, value);
  return arith::TruncFOp::create(b, loc, type, value);
}

/// An activation and a number that keeps its precision meet in f32; the result
/// is rounded once.
static bool retypeMixed(Operation &op) {
  if (!OpTrait::hasElementwiseMappableTraits(&op) || op.getNumResults() != 1 ||
      op.getNumOperands() < 2)
    return false;
  Builder builder(op.getContext());
  Type f32 = builder.getF32Type();
  bool mixed = false;
  for (Value operand : op.getOperands()) {
    auto type = dyn_cast<RankedTensorType>(operand.getType());
    if (!type || !isa<FloatType>(type.getElementType()))
      return false;
    mixed |= type.getElementType() != elementOf(op.getOperand(0));
  }
  if (!mixed)
    return false;
  OpBuilder b(&op);
  Type narrow = f32;
  for (OpOperand &operand : op.getOpOperands())
    if (elementOf(operand.get()) != f32) {
      narrow = elementOf(operand.get());
      operand.set(castTo(b, op.getLoc(), operand.get(), f32));
    }
  setElement(op.getResult(0), f32);
  b.setInsertionPointAfter(&op);
  Value rounded = castTo(b, op.getLoc(), op.getResult(0), narrow);
  op.getResult(0).replaceAllUsesExcept(rounded, rounded.getDefiningOp());
  return true;
}

/// Retypes the results of |op| from its retyped operands.
static LogicalResult retype(Operation &op, Type element) {
  if (retypeMixed(op))
    return success();
  if (isa<nn::EmbeddingOp>(op)) {
    setElement(op.getResult(0), element);
  } else if (auto loop = dyn_cast<nn::LayersOp>(op)) {
    for (auto [init, arg, result] :
         llvm::zip(loop.getInits(), loop.getBody().getArguments().drop_front(),
                   loop.getCarried())) {
      arg.setType(init.getType());
      result.setType(init.getType());
    }
    return propagate(loop.getBody().front(), element);
  } else if (auto layer = dyn_cast<moe::LayerOp>(op)) {
    for (Region *region : {&layer.getBody(), &layer.getShared()}) {
      if (region->empty())
        continue;
      setElement(region->getArgument(0), elementOf(layer.getX()));
      if (failed(propagate(region->front(), element)))
        return failure();
    }
    setElement(layer.getY(), elementOf(layer.getX()));
  } else if (auto experts = dyn_cast<ExpertsOp>(op)) {
    Type own = elementOf(experts.getRows());
    setElement(experts.getBody().getArgument(0), own);
    if (failed(propagate(experts.getBody().front(), element)))
      return failure();
    setElement(experts.getY(), own);
  } else if (auto route = dyn_cast<RouteOp>(op)) {
    // Routers compute in f32.
    OpBuilder b(&op);
    if (!elementOf(route.getX()).isF32())
      route.getXMutable().assign(
          castTo(b, op.getLoc(), route.getX(), b.getF32Type()));
  } else if (auto end = dyn_cast<nn::ReturnOp>(op)) {
    auto model = cast<nn::ModelOp>(end->getParentOp());
    OpBuilder b(end);
    for (auto [operand, type] :
         llvm::zip(end->getOpOperands(), model.getResultTypes()))
      if (operand.get().getType() != type)
        operand.set(castTo(b, end.getLoc(), operand.get(),
                           cast<RankedTensorType>(type).getElementType()));
  } else if (isa<nn::HeadOp, nn::ParamGetOp>(op)) {
    return success();
  } else if (auto infer = dyn_cast<InferTypeOpInterface>(op)) {
    SmallVector<Type> types;
    if (failed(infer.inferReturnTypes(op.getContext(), op.getLoc(),
                                      op.getOperands(), op.getAttrDictionary(),
                                      op.getPropertiesStorage(),
                                      op.getRegions(), types)))
      return failure();
    for (auto [result, type] : llvm::zip(op.getResults(), types))
      result.setType(type);
  } else if (op.getNumOperands() && op.getNumResults() == 1 &&
             isa<RankedTensorType>(op.getOperand(0).getType()) &&
             isa<FloatType>(elementOf(op.getOperand(0))) &&
             !isa<arith::ExtFOp, arith::TruncFOp>(op)) {
    setElement(op.getResult(0), elementOf(op.getOperand(0)));
  }
  return success();
}

static LogicalResult propagate(Block &block, Type element) {
  for (Operation &op : llvm::make_early_inc_range(block)) {
    // Casts that change nothing, or that round below the precision asked for.
    bool idle = isa<arith::ExtFOp, arith::TruncFOp>(op) &&
                op.getOperand(0).getType() == op.getResult(0).getType();
    bool rounds = isa<arith::TruncFOp>(op) && element.isF32() &&
                  elementOf(op.getOperand(0)).isF32();
    if (idle || rounds) {
      op.getResult(0).replaceAllUsesWith(op.getOperand(0));
      op.erase();
      continue;
    }
    if (failed(retype(op, element)))
      return failure();
  }
  return success();
}

namespace {
struct SetCompute : entry::impl::SetComputeBase<SetCompute> {
  using SetComputeBase::SetComputeBase;
  void runOnOperation() override {
    Builder b(&getContext());
    if (dtype != "f32" && dtype != "bf16") {
      getOperation().emitError("expects dtype f32 or bf16, got ") << dtype;
      return signalPassFailure();
    }
    Type element = dtype == "bf16" ? Type(b.getBF16Type()) : b.getF32Type();
    for (auto model : getOperation().getOps<nn::ModelOp>())
      if (failed(propagate(model.getBody().front(), element)))
        return signalPassFailure();
  }
};
} // namespace
