// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What may stand in the model and the step phase.
#include "passes/entry/Passes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace mlir::moe::entry {
#define GEN_PASS_DEF_VERIFYMODEL
#define GEN_PASS_DEF_VERIFYSTEP
#include "passes/entry/Passes.h.inc"
} // namespace mlir::moe::entry

using namespace mlir;
using namespace mlir::moe;

static bool isFused(Operation *op) {
  return isa<GroupedMatmulOp, GroupedBroadcastOp>(op);
}
/// Gradients have no rule for bodies of experts: moe-differentiate makes them of
/// grouped operations, which are core operations there and nowhere else.
static bool isInGradient(Operation *op) {
  auto function = op->getParentOfType<func::FuncOp>();
  return function && function->hasAttr("nn.gradient_of");
}
static bool isSugar(Operation *op) {
  return isa<nn::ModelOp, nn::AttentionOp, nn::LatentAttentionOp, nn::MlpOp,
             nn::HeadOp, moe::LayerOp, RouteOp, RouterOp, BalanceLossOp,
             ZLossOp, VariationLossOp>(op);
}
static bool isKnownDialect(Operation *op) {
  return isa_and_nonnull<nn::NnDialect, MoeDialect, arith::ArithDialect,
                         math::MathDialect, func::FuncDialect, BuiltinDialect>(
      op->getDialect());
}

namespace {
struct VerifyModel : entry::impl::VerifyModelBase<VerifyModel> {
  void runOnOperation() override {
    if (!llvm::hasSingleElement(getOperation().getOps<nn::ModelOp>())) {
      getOperation().emitError("expects one nn.model at the model phase");
      return signalPassFailure();
    }
    auto walk = getOperation().walk([](Operation *op) {
      if (isFused(op) || !isKnownDialect(op)) {
        op->emitOpError("cannot stand at the model phase");
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      signalPassFailure();
  }
};

struct VerifyStep : entry::impl::VerifyStepBase<VerifyStep> {
  void runOnOperation() override {
    auto walk = getOperation().walk([](Operation *op) {
      if ((isFused(op) && !isInGradient(op)) || isSugar(op) ||
          !isKnownDialect(op)) {
        op->emitOpError("cannot stand at the step phase");
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
