// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Weights commute with the last product of experts, so that its gradients need
// no row of that product:
//   %y = moe.grouped_matmul %h, %plan, %w
//   %dy, %ds = moe.combine_grad %y, %plan, %s, %d     // ds = <d, y>
//   %dh = moe.grouped_matmul_dx %dy, %plan, %w
//   %dw = moe.grouped_matmul_dw %dy, %plan, %h
// becomes
//   %r = moe.dispatch %d, %plan
//   %g = moe.grouped_matmul_dx %r, %plan, %w
//   %dh, %ds = moe.weigh_grad %h, %plan, %s, %g       // ds = <d·w, h>
//   %dw = moe.grouped_matmul_dw %r, %plan, (moe.weigh %h, %plan, %s)
#include "passes/train/Backward.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// The gradient of a weighted sum of products, and its readers.
struct WeightedProduct {
  CombineGradOp combine;
  GroupedMatmulOp product;
  SmallVector<GroupedMatmulDxOp> dx;
  SmallVector<GroupedMatmulDwOp> dw;
  SmallVector<GroupedSumOp> dbias;

  static std::optional<WeightedProduct> match(CombineGradOp combine) {
    WeightedProduct found{combine,
                          combine.getRows().getDefiningOp<GroupedMatmulOp>()};
    GroupedMatmulOp product = found.product;
    if (!product || product.getGather() ||
        product.getPlan() != combine.getPlan())
      return std::nullopt;
    for (Operation *user : combine.getDrows().getUsers()) {
      if (auto dx = dyn_cast<GroupedMatmulDxOp>(user);
          dx && dx.getW() == product.getW())
        found.dx.push_back(dx);
      else if (auto dw = dyn_cast<GroupedMatmulDwOp>(user);
               dw && dw.getX() == product.getX() && !dw.getGather())
        found.dw.push_back(dw);
      else if (auto sum = dyn_cast<GroupedSumOp>(user);
               sum && product.getBias())
        found.dbias.push_back(sum);
      else
        return std::nullopt;
    }
    return found;
  }

  void rewrite() {
    OpBuilder b(combine);
    Location loc = combine.getLoc();
    Value plan = combine.getPlan(), s = combine.getW(), h = product.getX();
    Value rows = DispatchOp::create(b, loc, combine.getDy(), plan);
    Value g = GroupedMatmulDxOp::create(b, loc, rows, plan, product.getW());
    auto weigh = WeighGradOp::create(b, loc, h, plan, s, g);
    Value ds = weigh.getDw();
    for (GroupedMatmulDxOp op : dx)
      op.replaceAllUsesWith(weigh.getDrows());
    if (!dw.empty()) {
      Value weighed = WeighOp::create(b, loc, h, plan, s);
      Value gradient = GroupedMatmulDwOp::create(b, loc, rows, plan, weighed,
                                                 /*gather=*/UnitAttr());
      for (GroupedMatmulDwOp op : dw)
        op.replaceAllUsesWith(gradient);
    }
    if (Value bias = product.getBias()) {
      Value under = GroupedBroadcastOp::create(b, loc, bias, plan);
      under = nn::castElement(b, loc, under, rows.getType());
      auto own = WeighGradOp::create(b, loc, under, plan, s, rows);
      ds = arith::AddFOp::create(b, loc, ds, own.getDw());
      for (GroupedSumOp op : dbias)
        op.getRowsMutable().assign(own.getDrows());
    }
    combine.getDw().replaceAllUsesWith(ds);
    for (GroupedMatmulDxOp op : dx)
      op.erase();
    for (GroupedMatmulDwOp op : dw)
      op.erase();
    combine.erase();
  }
};
} // namespace

void train::weighInside(Block &block) {
  for (auto combine : llvm::make_early_inc_range(block.getOps<CombineGradOp>()))
    if (auto found = WeightedProduct::match(combine))
      found->rewrite();
}
