// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Replaces `moe.route @r(%x, …)` by the body of @r, whose dynamic dimensions
// take the sizes of the operands.
#include "passes/entry/Passes.h"

#include "mlir/IR/IRMapping.h"

namespace mlir::moe::entry {
#define GEN_PASS_DEF_INLINEROUTERS
#include "passes/entry/Passes.h.inc"
} // namespace mlir::moe::entry

using namespace mlir;
using namespace mlir::moe;

/// Gives the results of a cloned operation the types its operands imply.
static LogicalResult refine(Operation *op) {
  if (auto infer = dyn_cast<InferTypeOpInterface>(op)) {
    SmallVector<Type> types;
    if (failed(infer.inferReturnTypes(
            op->getContext(), op->getLoc(), op->getOperands(),
            op->getAttrDictionary(), op->getPropertiesStorage(),
            op->getRegions(), types)))
      return failure();
    for (auto [result, type] : llvm::zip(op->getResults(), types))
      result.setType(type);
  } else if (OpTrait::hasElementwiseMappableTraits(op) &&
             op->getNumOperands()) {
    auto shape = dyn_cast<RankedTensorType>(op->getOperand(0).getType());
    for (Value result : op->getResults())
      if (auto type = dyn_cast<RankedTensorType>(result.getType());
          type && shape)
        result.setType(type.clone(shape.getShape()));
  }
  return success();
}

static LogicalResult inlineRoute(RouteOp op) {
  auto router =
      SymbolTable::lookupNearestSymbolFrom<RouterOp>(op, op.getRouterAttr());
  OpBuilder b(op);
  IRMapping map;
  map.map(router.getBody().getArguments(), op.getOperands());
  Block &block = router.getBody().front();
  for (Operation &inner : block.without_terminator())
    if (failed(refine(b.clone(inner, map))))
      return failure();
  for (auto [result, value] :
       llvm::zip(op.getResults(), block.getTerminator()->getOperands())) {
    Value inlined = map.lookupOrDefault(value);
    if (inlined.getType() != result.getType())
      return op.emitOpError("expects ")
             << result.getType() << " from " << op.getRouterAttr() << ", got "
             << inlined.getType();
    result.replaceAllUsesWith(inlined);
  }
  op.erase();
  return success();
}

namespace {
struct InlineRouters : entry::impl::InlineRoutersBase<InlineRouters> {
  void runOnOperation() override {
    SmallVector<RouteOp> routes;
    getOperation().walk([&](RouteOp op) { routes.push_back(op); });
    for (RouteOp op : routes)
      if (failed(inlineRoute(op)))
        return signalPassFailure();
    for (auto router :
         llvm::make_early_inc_range(getOperation().getOps<RouterOp>()))
      router.erase();
  }
};
} // namespace
