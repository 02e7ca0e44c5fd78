// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What may stand in the local phase.
#include "passes/partition/Passes.h"

namespace mlir::moe::partition {
#define GEN_PASS_DEF_VERIFYLOCAL
#include "passes/partition/Passes.h.inc"
} // namespace mlir::moe::partition

using namespace mlir;
using namespace mlir::moe;

/// Ranks that share the experts; 1 without a mesh.
static int64_t expertRanks(ModuleOp module) {
  auto mesh = module->getAttrOfType<DictionaryAttr>(partition::kMesh);
  auto ep = mesh ? mesh.getAs<IntegerAttr>("ep") : IntegerAttr();
  return ep ? ep.getInt() : 1;
}

/// An exchange of as many ranks as the mesh has.
static LogicalResult checkExchange(AllToAllVOp op, int64_t ranks) {
  if (op.getAxis() != "ep" || int64_t(op.getRanks()) != ranks)
    return op.emitOpError("exchanges along ")
           << op.getAxis() << " with " << int64_t(op.getRanks())
           << " ranks; the mesh has ep = " << ranks;
  bool returned = llvm::any_of(op.getFrom().getUsers(), [](Operation *user) {
    return isa<AllToAllVBackOp>(user);
  });
  if (!returned)
    return op.emitOpError("sends rows that never come back");
  return success();
}

/// Rows come from the exchange that made the plan.
static LogicalResult checkExperts(ExpertsOp op, int64_t ranks) {
  if (ranks == 1 || op.getPlan().getDefiningOp<AllToAllVOp>())
    return success();
  return op.emitOpError("runs all experts on each of ")
         << ranks << " ranks; their rows must go to the rank of the expert";
}

/// The rows that come back are those that were sent.
static LogicalResult checkBack(AllToAllVBackOp op, int64_t ranks) {
  auto sent = op.getFrom().getDefiningOp<AllToAllVOp>();
  if (!sent || sent.getLocal() != op.getLocal() ||
      sent.getPlan() != op.getPlan() || sent.getAxis() != op.getAxis())
    return op.emitOpError("expects the plans, axis and counts of one "
                          "moe.all_to_all_v");
  return success();
}

namespace {
struct VerifyLocal : partition::impl::VerifyLocalBase<VerifyLocal> {
  void runOnOperation() override {
    int64_t ranks = expertRanks(getOperation());
    auto walk = getOperation().walk([&](Operation *op) {
      LogicalResult good = success();
      if (auto exchange = dyn_cast<AllToAllVOp>(op))
        good = checkExchange(exchange, ranks);
      else if (auto back = dyn_cast<AllToAllVBackOp>(op))
        good = checkBack(back, ranks);
      else if (auto experts = dyn_cast<ExpertsOp>(op))
        good = checkExperts(experts, ranks);
      return failed(good) ? WalkResult::interrupt() : WalkResult::advance();
    });
    if (walk.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
