// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reads token rows where they are used:
//   %rows = moe.dispatch %x, %plan
//   %y = moe.grouped_matmul %rows, %plan, %w
// becomes
//   %y = moe.grouped_matmul gather %x, %plan, %w
// and so for its gradient moe.grouped_matmul_dw.
#include "passes/fuse/Passes.h"

#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace mlir::moe::fuse {
#define GEN_PASS_DEF_GATHERDISPATCH
#include "passes/fuse/Passes.h.inc"
} // namespace mlir::moe::fuse

using namespace mlir;
using namespace mlir::moe;

namespace {
/// A product that can read the rows of tokens itself, or its gradient.
template <typename OpTy> struct FoldDispatch : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    auto dispatch = op.getX().template getDefiningOp<DispatchOp>();
    if (op.getGather() || !dispatch || dispatch.getPlan() != op.getPlan())
      return failure();
    rewriter.modifyOpInPlace(op, [&] {
      op.getXMutable().assign(dispatch.getX());
      op.setGather(true);
    });
    remark::passed(op.getLoc(), remark::RemarkOpts::name("GatherDispatch"))
        << "rows are read through the plan";
    return success();
  }
};

struct GatherDispatch : fuse::impl::GatherDispatchBase<GatherDispatch> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns
        .add<FoldDispatch<GroupedMatmulOp>, FoldDispatch<GroupedMatmulDwOp>>(
            &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
