// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The output projection, its loss and their gradients as one operation:
//   %z = nn.linear %x, %w
//   %y = nn.cross_entropy %z, %t
//   %dz = nn.cross_entropy_grad %z, %t, %dy
//   %dx = nn.linear_dx %dz, %w
//   %dw = nn.linear_dw %dz, %x
// becomes
//   %y, %dx, %dw = nn.head_loss %x, %w, %t dy(%dy) scale(1.0)
// and without gradients nn.head_loss of %y alone. Logits times a constant are
// taken into it, and casts of theirs fall away.
#include "passes/fuse/Passes.h"

#include "dialect/moe/MoeDialect.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/Remarks.h"

namespace mlir::moe::fuse {
#define GEN_PASS_DEF_FUSEHEADLOSS
#include "passes/fuse/Passes.h.inc"
} // namespace mlir::moe::fuse

using namespace mlir;
using namespace mlir::moe;

/// The number that all elements of |value| are.
static std::optional<double> constantOf(Value value) {
  if (auto broadcast = value.getDefiningOp<nn::BroadcastOp>())
    return constantOf(broadcast.getX());
  if (auto fill = value.getDefiningOp<nn::FillOp>())
    if (auto number = dyn_cast<FloatAttr>(fill.getValue()))
      return number.getValueAsDouble();
  DenseFPElementsAttr elements;
  if (matchPattern(value, m_Constant(&elements)) && elements.isSplat())
    return elements.getSplatValue<APFloat>().convertToDouble();
  return std::nullopt;
}

/// What |op| multiplies |value| with, 1 for a cast; nothing if it does
/// something else.
static std::optional<double> factorOf(Operation *op, Value value) {
  if (isa<arith::ExtFOp, arith::TruncFOp>(op))
    return 1;
  if (auto product = dyn_cast<arith::MulFOp>(op))
    return constantOf(product.getLhs() == value ? product.getRhs()
                                                : product.getLhs());
  if (auto quotient = dyn_cast<arith::DivFOp>(op))
    if (std::optional<double> divisor = constantOf(quotient.getRhs()))
      return 1 / *divisor;
  return std::nullopt;
}

/// |value| without casts and factors, which |scale| takes.
static Value stripped(Value value, double &scale) {
  while (Operation *op = value.getDefiningOp()) {
    auto source = llvm::find_if(op->getOperands(), [&](Value operand) {
      return factorOf(op, operand).has_value();
    });
    if (source == op->getOperands().end())
      break;
    scale *= *factorOf(op, *source);
    value = *source;
  }
  return value;
}

/// The readers of |value| behind casts and factors, each with its factor.
static void readersOf(Value value, double scale,
                      SmallVectorImpl<std::pair<Operation *, double>> &found) {
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    // Who asks for the number of rows alone does not read.
    if (auto broadcast = dyn_cast<nn::BroadcastOp>(user);
        broadcast && broadcast.getLike() == value && broadcast.getX() != value)
      continue;
    if (std::optional<double> factor = factorOf(user, value))
      readersOf(user->getResult(0), scale * *factor, found);
    else
      found.push_back({user, scale});
  }
}

namespace {
struct Head {
  nn::CrossEntropyOp loss;
  nn::LinearOp product;
  double scale = 1;
  nn::CrossEntropyGradOp grad; // null: the loss alone
  SmallVector<Operation *> dx, dw;

  static std::optional<Head> match(nn::CrossEntropyOp loss) {
    Head head{loss};
    head.product =
        stripped(loss.getX(), head.scale).getDefiningOp<nn::LinearOp>();
    if (!head.product || head.product.getBias() ||
        !getElementTypeOrSelf(loss.getX()).isF32())
      return std::nullopt;
    SmallVector<std::pair<Operation *, double>> readers;
    readersOf(head.product.getY(), 1, readers);
    for (auto [reader, scale] : readers) {
      if (reader == loss)
        continue;
      auto grad = dyn_cast<nn::CrossEntropyGradOp>(reader);
      if (!grad || head.grad || grad.getTargets() != loss.getTargets() ||
          grad.getX() != loss.getX())
        return std::nullopt;
      head.grad = grad;
    }
    if (head.grad && !head.matchGradients())
      return std::nullopt;
    return head;
  }

  bool matchGradients() {
    SmallVector<std::pair<Operation *, double>> readers;
    readersOf(grad.getDx(), 1, readers);
    for (auto [reader, factor] : readers) {
      if (factor != scale)
        return false;
      if (auto op = dyn_cast<nn::LinearDxOp>(reader);
          op && op.getW() == product.getW())
        dx.push_back(op);
      else if (auto op = dyn_cast<nn::LinearDwOp>(reader);
               op && op.getX() == product.getX())
        dw.push_back(op);
      else
        return false;
    }
    return true;
  }

  /// Moves what |value| is computed from, and nothing else, before |loss|; fails
  /// where that depends on the loss.
  LogicalResult hoist(Value value) {
    Operation *op = value.getDefiningOp();
    if (!op || op->getBlock() != loss->getBlock() || op->isBeforeInBlock(loss))
      return success();
    if (op == loss || op->getNumRegions() || !isPure(op))
      return failure();
    // Losses have the rows of the targets.
    if (auto broadcast = dyn_cast<nn::BroadcastOp>(op);
        broadcast && broadcast.getLike() == loss.getY())
      broadcast.getLikeMutable().assign(loss.getTargets());
    for (Value operand : op->getOperands())
      if (failed(hoist(operand)))
        return failure();
    op->moveBefore(loss);
    return success();
  }

  LogicalResult rewrite() {
    if (grad && failed(hoist(grad.getDy())))
      return failure();
    OpBuilder b(loss);
    Location loc = loss.getLoc();
    auto fused = nn::HeadLossOp::create(
        b, loc, product.getX(), product.getW(), loss.getTargets(),
        grad ? grad.getDy() : Value(), b.getF64FloatAttr(scale));
    loss.replaceAllUsesWith(fused.getY());
    for (Operation *op : dx)
      op->replaceAllUsesWith(ValueRange{fused.getDx()});
    for (Operation *op : dw)
      op->replaceAllUsesWith(ValueRange{fused.getDw()});
    remark::passed(loc, remark::RemarkOpts::name("FuseHeadLoss"))
        << "logits exist for a chunk of tokens at a time";
    return success();
  }
};

struct FuseHeadLoss : fuse::impl::FuseHeadLossBase<FuseHeadLoss> {
  void runOnOperation() override {
    SmallVector<nn::CrossEntropyOp> losses;
    getOperation().walk([&](nn::CrossEntropyOp op) { losses.push_back(op); });
    for (nn::CrossEntropyOp loss : losses)
      if (auto head = Head::match(loss))
        if (succeeded(head->rewrite()))
          eraseDead(*head->product->getBlock());
  }

  static void eraseDead(Block &block) {
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        op.erase();
  }
};
} // namespace
