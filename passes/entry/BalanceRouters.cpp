// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A loss for routers that have none: the expert-level balance loss of each
// sequence (DeepSeekMoE, 2024; DeepSeek-V2 and V3), of what `moe.pick` reads:
//   moe.router @r(%x, %w) -> (plan, weights)
// becomes
//   moe.router @r(%x, %w, %seqs {moe.input = "seqs"}) -> (plan, weights, loss {moe.loss = "balance"})
#include "passes/entry/Passes.h"

#include "dialect/moe/MoeDialect.h"

namespace mlir::moe::entry {
#define GEN_PASS_DEF_BALANCEROUTERS
#include "passes/entry/Passes.h.inc"
} // namespace mlir::moe::entry

using namespace mlir;
using namespace mlir::moe;

/// Whether |scores| are a product with a gate, and biases at most.
static bool isLogits(Value scores) {
  if (auto sum = scores.getDefiningOp<arith::AddFOp>())
    return isLogits(sum.getLhs()) || isLogits(sum.getRhs());
  return bool(scores.getDefiningOp<nn::LinearOp>());
}

/// Probabilities of |scores| [T, E] of all experts: of a softmax as they are,
/// sigmoids divided by their sum, of logits by a softmax; null of others.
static Value probabilities(OpBuilder &b, Location loc, Value scores) {
  // Groups that were left out count with their own scores.
  while (auto mask = scores.getDefiningOp<GroupMaskOp>())
    scores = mask.getS();
  if (scores.getDefiningOp<nn::SoftmaxOp>())
    return scores;
  if (isLogits(scores))
    return nn::SoftmaxOp::create(b, loc, scores, /*axis=*/1);
  auto activate = scores.getDefiningOp<nn::ActivateOp>();
  if (!activate || activate.getAct() != nn::Activation::Sigmoid)
    return {};
  Value sum =
      nn::ReduceOp::create(b, loc, scores, nn::ReduceKind::Sum, /*axis=*/1);
  Value sums = nn::BroadcastOp::create(b, loc, scores.getType(), sum, Value(),
                                       /*axis=*/1);
  return arith::DivFOp::create(b, loc, scores, sums);
}

/// The argument that holds the boundaries of sequences; a new one if none does.
static Value sequences(OpBuilder &b, RouterOp router) {
  for (unsigned i = 1; i < router.getNumArguments(); ++i)
    if (StringAttr input = router.getInput(i); input && input == "seqs")
      return router.getBody().getArgument(i);
  auto type = RankedTensorType::get({ShapedType::kDynamic}, b.getI32Type());
  unsigned place = router.getNumArguments();
  (void)router.insertArgument(place, type, {}, router.getLoc());
  router.setArgAttr(place, "moe.input", b.getStringAttr("seqs"));
  return router.getBody().getArgument(place);
}

static bool hasLoss(RouterOp router) {
  for (unsigned i = 0; i < router.getNumResults(); ++i)
    if (router.getResultAttr(i, "moe.loss"))
      return true;
  return false;
}

static LogicalResult balance(RouterOp router, double coef) {
  Block &block = router.getBody().front();
  auto picks = block.getOps<PickOp>();
  if (!llvm::hasSingleElement(picks))
    return router.emitOpError("has no loss of its own, and does not pick from "
                              "one set of scores: nothing to balance by");
  PickOp pick = *picks.begin();
  Value idx = pick.getIdx();
  // Choices count before capacity drops some.
  while (auto capacity = idx.getDefiningOp<CapacityOp>())
    idx = capacity.getIdx();
  Operation *end = block.getTerminator();
  OpBuilder b(end);
  Location loc = pick.getLoc();
  Value p = probabilities(b, loc, pick.getS());
  if (!p)
    return pick.emitOpError("reads scores that are no softmax, sigmoid or "
                            "product with a gate: nothing to balance by");
  auto type = RankedTensorType::get({}, b.getF32Type());
  Value loss = BalanceLossOp::create(b, loc, type, p, idx, sequences(b, router),
                                     BalanceKind::Expert, APFloat(coef),
                                     /*devices=*/1, /*limit=*/1,
                                     /*per_choice=*/true);
  unsigned place = router.getNumResults();
  end->insertOperands(place, loss);
  (void)router.insertResult(place, type, {});
  router.setResultAttr(place, "moe.loss", b.getStringAttr("balance"));
  return success();
}

namespace {
struct BalanceRouters : entry::impl::BalanceRoutersBase<BalanceRouters> {
  using BalanceRoutersBase::BalanceRoutersBase;
  void runOnOperation() override {
    for (auto router : getOperation().getOps<RouterOp>())
      if (isa<PlanType>(router.getResultTypes()[0]) && !hasLoss(router) &&
          failed(balance(router, coef)))
        return signalPassFailure();
  }
};
} // namespace
