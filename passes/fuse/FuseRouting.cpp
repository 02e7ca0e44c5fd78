// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes one operation of a router:
//   %z = nn.linear %x, %gate
//   %p = nn.softmax %z axis(1)
//   %idx = moe.select %p top_k(2)
//   %w = moe.pick %p, %idx
//   %plan = moe.make_plan %idx experts(8)
// becomes
//   %plan, %w = moe.route_permute %x params(%gate) { … }
#include "passes/fuse/Passes.h"

#include "mlir/IR/Dominance.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::moe::fuse {
#define GEN_PASS_DEF_FUSEROUTING
#include "passes/fuse/Passes.h.inc"
} // namespace mlir::moe::fuse

using namespace mlir;
using namespace mlir::moe;

/// Whether |value| has one row for each token, as far as its type tells.
static bool hasRows(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return !type || !type.hasStaticShape();
}

namespace {
/// The operations between token rows and one plan.
class RouterSlice {
public:
  explicit RouterSlice(MakePlanOp makePlan) : makePlan(makePlan) {}

  /// Finds weights and slice; if there are none, why says so.
  bool find() {
    return findWeights() && addSlice(makePlan.getIdx()) && addSlice(weights) &&
           expect(x != nullptr, "no product with a gate makes its scores");
  }

  void fuse() {
    OpBuilder b(makePlan);
    // Rows in, and whatever is the same for all of them.
    SmallVector<Value> operands{x};
    operands.append(params.begin(), params.end());
    auto op = RoutePermuteOp::create(
        b, makePlan.getLoc(), makePlan.getPlan().getType(), weights.getType(),
        x, params.getArrayRef());
    Block *body = b.createBlock(&op.getBody());
    IRMapping map;
    for (Value operand : operands)
      map.map(operand, body->addArgument(operand.getType(), operand.getLoc()));
    for (Operation *inner : ops)
      b.clone(*inner, map);
    YieldOp::create(
        b, makePlan.getLoc(),
        ValueRange{map.lookup(makePlan.getIdx()), map.lookup(weights)});
    weights.replaceUsesWithIf(op.getWeights(), [&](OpOperand &use) {
      return dominance.properlyDominates(op, use.getOwner());
    });
    makePlan.getPlan().replaceAllUsesWith(op.getPlan());
    makePlan.erase();
    for (Operation *inner : llvm::reverse(ops))
      if (inner->use_empty())
        inner->erase();
  }

  std::string why;

private:
  bool expect(bool holds, const Twine &reason) {
    if (!holds && why.empty())
      why = reason.str();
    return holds;
  }

  /// The one value [T, K] that follows from scores picked by these indices and
  /// is used for something else than making such values.
  bool findWeights() {
    llvm::SetVector<Value> reached;
    for (Operation *user : makePlan.getIdx().getUsers())
      if (auto pick = dyn_cast<PickOp>(user))
        reached.insert(pick.getY());
    auto type = cast<RankedTensorType>(makePlan.getIdx().getType());
    llvm::SetVector<Value> found;
    for (size_t i = 0; i < reached.size(); ++i) {
      auto own = dyn_cast<RankedTensorType>(reached[i].getType());
      bool isWeights = own && own.getShape() == type.getShape();
      for (Operation *user : reached[i].getUsers()) {
        if (RoutePermuteOp::isRowWise(user) && user->getNumResults() == 1)
          reached.insert(user->getResult(0));
        else if (isWeights)
          found.insert(reached[i]);
      }
    }
    if (!expect(found.size() == 1,
                "expects weights of one kind, found " + Twine(found.size())))
      return false;
    weights = found.front();
    return true;
  }

  /// Adds what makes |value|, operands before users.
  bool addSlice(Value value) {
    if (value == x || params.contains(value) || done.contains(value))
      return true;
    Operation *op = value.getDefiningOp();
    if (!hasRows(value) && !(op && op->hasTrait<OpTrait::ConstantLike>()))
      return addParam(value);
    if (!expect(op, "an argument is neither token rows of a gate nor a "
                    "parameter"))
      return false;
    if (!expect(RoutePermuteOp::isRowWise(op) && !op->getNumRegions(),
                "'" + op->getName().getStringRef() + "' looks at other tokens"))
      return false;
    if (auto linear = dyn_cast<nn::LinearOp>(op);
        linear && !addRows(linear.getX()))
      return false;
    for (Value operand : op->getOperands())
      if (!addSlice(operand))
        return false;
    done.insert(value);
    ops.insert(op);
    return true;
  }

  /// |rows| go into a gate: everything before stays outside, but for the change
  /// of its element type.
  bool addRows(Value rows) {
    if (auto extended = rows.getDefiningOp<arith::ExtFOp>())
      rows = extended.getIn();
    if (x)
      return expect(rows == x, "two gates read different rows");
    if (!expect(cast<RankedTensorType>(rows.getType()).getRank() == 2,
                "the gate reads no rows [T, D]"))
      return false;
    x = rows;
    return expect(isAvailable(x), "the rows are made after the plan");
  }

  bool addParam(Value value) {
    params.insert(value);
    return expect(isAvailable(value), "a parameter is read after the plan");
  }

  bool isAvailable(Value value) {
    return dominance.properlyDominates(value, makePlan);
  }

  MakePlanOp makePlan;
  DominanceInfo dominance;
  Value weights, x;
  llvm::SetVector<Value> params;
  DenseSet<Value> done;
  llvm::SetVector<Operation *> ops;
};

struct FuseRouting : fuse::impl::FuseRoutingBase<FuseRouting> {
  void runOnOperation() override {
    SmallVector<MakePlanOp> all;
    getOperation().walk([&](MakePlanOp op) { all.push_back(op); });
    for (MakePlanOp op : all) {
      RouterSlice slice(op);
      auto options = remark::RemarkOpts::name("FuseRouting");
      if (!slice.find()) {
        remark::missed(op.getLoc(), options) << slice.why;
        continue;
      }
      remark::passed(op.getLoc(), options) << "one pass from rows to plan";
      slice.fuse();
    }
  }
};
} // namespace
