// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes losses of routers out as reductions:
//   %l = moe.z_loss %z coef(1.0e-3)
// becomes the mean over tokens of (log Σ exp z)². Choices are constants for the
// gradient, as nothing of them but 0 and 1 enters.
#include "passes/entry/Passes.h"

namespace mlir::moe::entry {
#define GEN_PASS_DEF_EXPANDLOSSES
#include "passes/entry/Passes.h.inc"
} // namespace mlir::moe::entry

using namespace mlir;
using namespace mlir::moe;
using nn::ReduceKind;

namespace {
/// Builds tensors of one element type.
struct Tensors {
  OpBuilder &b;
  Location loc;

  static RankedTensorType typeOf(Value x) {
    return cast<RankedTensorType>(x.getType());
  }
  Value fill(Value like, RankedTensorType type, double number) {
    return nn::FillOp::create(b, loc, type, like, b.getF64FloatAttr(number));
  }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
  Value scale(Value x, double factor) {
    return mul(x, fill(x, typeOf(x), factor));
  }
  Value reduce(ReduceKind kind, Value x, int64_t axis) {
    return nn::ReduceOp::create(b, loc, x, kind, axis);
  }
  /// |x| along the new last axis of |like|.
  Value spread(Value x, Value like) {
    return nn::BroadcastOp::create(b, loc, like.getType(), x, Value(),
                                   typeOf(like).getRank() - 1);
  }
  /// The sums of |groups| neighbouring columns of [T, E] each: [T, groups].
  Value sumGroups(Value x, int64_t groups) {
    auto type = typeOf(x);
    auto split = RankedTensorType::get(
        {type.getDimSize(0), groups, type.getDimSize(1) / groups},
        type.getElementType());
    return reduce(ReduceKind::Sum, nn::ReshapeOp::create(b, loc, split, x), 2);
  }
};
} // namespace

static Value expand(Tensors t, BalanceLossOp op) {
  auto p = Tensors::typeOf(op.getP()), idx = Tensors::typeOf(op.getIdx());
  int64_t experts = p.getDimSize(1), devices = op.getDevices();
  // How often a token chose each expert.
  Value ones =
      t.fill(op.getIdx(),
             RankedTensorType::get(idx.getShape(), p.getElementType()), 1.0);
  Value chosen = ScatterPickOp::create(t.b, t.loc, ones, op.getIdx(), experts);
  Value share = op.getP();
  double factor = op.getPerChoice() ? 1.0 / idx.getDimSize(1) : 1.0;
  if (op.getKind() == BalanceKind::Expert) {
    factor *= experts;
  } else {
    chosen = t.sumGroups(chosen, devices);
    share = t.sumGroups(share, devices);
    factor *= devices;
  }
  if (op.getKind() == BalanceKind::Communication) {
    auto type = Tensors::typeOf(chosen);
    Value none = t.fill(chosen, type, 0.0), one = t.fill(chosen, type, 1.0);
    Value sent = arith::CmpFOp::create(t.b, t.loc, arith::CmpFPredicate::OGT,
                                       chosen, none);
    chosen = arith::SelectOp::create(t.b, t.loc, sent, one, none);
    factor = double(devices) / op.getLimit();
  }
  factor *= op.getCoef().convertToDouble();
  if (Value seqs = op.getCuSeqlens()) {
    auto mean = [&](Value x) -> Value {
      return nn::SegmentReduceOp::create(t.b, t.loc, x, seqs, ReduceKind::Mean);
    };
    Value counts = mean(chosen), shares = mean(share);
    Value product = t.mul(counts, shares);
    Value losses = t.reduce(ReduceKind::Sum, product, 1);
    return t.scale(t.reduce(ReduceKind::Mean, losses, 0), factor);
  }
  Value counts = t.reduce(ReduceKind::Mean, chosen, 0);
  Value shares = t.reduce(ReduceKind::Mean, share, 0);
  Value product = t.mul(counts, shares);
  return t.scale(t.reduce(ReduceKind::Sum, product, 0), factor);
}

static Value expand(Tensors t, ZLossOp op) {
  Value z = op.getZ();
  Value largest =
      StopGradientOp::create(t.b, t.loc, t.reduce(ReduceKind::Max, z, 1));
  Value powers =
      math::ExpOp::create(t.b, t.loc, t.sub(z, t.spread(largest, z)));
  Value log =
      math::LogOp::create(t.b, t.loc, t.reduce(ReduceKind::Sum, powers, 1));
  Value sum = t.add(largest, log);
  return t.scale(t.reduce(ReduceKind::Mean, t.mul(sum, sum), 0),
                 op.getCoef().convertToDouble());
}

static Value expand(Tensors t, VariationLossOp op) {
  Value total = t.reduce(ReduceKind::Sum, op.getX(), 0);
  int64_t experts = Tensors::typeOf(total).getDimSize(0);
  Value mean = t.reduce(ReduceKind::Mean, total, 0);
  Value centred = t.sub(total, t.spread(mean, total));
  Value squares = t.reduce(ReduceKind::Sum, t.mul(centred, centred), 0);
  double count = op.getUnbiased() ? experts - 1 : experts;
  Value square = t.mul(mean, mean);
  if (double eps = op.getEps().convertToDouble(); eps != 0)
    square = t.add(square, t.fill(square, Tensors::typeOf(square), eps));
  return t.scale(t.div(squares, square),
                 op.getCoef().convertToDouble() / count);
}

namespace {
struct ExpandLosses : entry::impl::ExpandLossesBase<ExpandLosses> {
  void runOnOperation() override {
    SmallVector<Operation *> losses;
    getOperation().walk([&](Operation *op) {
      if (isa<BalanceLossOp, ZLossOp, VariationLossOp>(op))
        losses.push_back(op);
    });
    for (Operation *op : losses) {
      OpBuilder b(op);
      Tensors t{b, op->getLoc()};
      Value value;
      if (auto balance = dyn_cast<BalanceLossOp>(op))
        value = expand(t, balance);
      else if (auto z = dyn_cast<ZLossOp>(op))
        value = expand(t, z);
      else
        value = expand(t, cast<VariationLossOp>(op));
      op->getResult(0).replaceAllUsesWith(value);
      op->erase();
    }
  }
};
} // namespace
