// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Canonical forms of the layers loop: it keeps and slices only what is used.
#include "dialect/nn/NnDialect.h"

#include "mlir/IR/PatternMatch.h"

using namespace mlir;
using namespace mlir::nn;

/// Replaces |loop| by one whose results are |kept| of the old ones, with the
/// body of the old one.
static void replaceLoop(PatternRewriter &rewriter, LayersOp loop,
                        ValueRange slices, const BitVector &kept) {
  SmallVector<Type> types;
  for (unsigned i : kept.set_bits())
    types.push_back(loop.getResult(i).getType());
  auto narrower = LayersOp::create(
      rewriter, loop.getLoc(), types, loop.getLowerAttr(), loop.getUpperAttr(),
      loop.getReverseAttr(), loop.getInits(), slices);
  rewriter.inlineRegionBefore(loop.getBody(), narrower.getBody(),
                              narrower.getBody().end());
  SmallVector<Value> replacements(loop.getNumResults());
  for (auto [i, old] : llvm::enumerate(kept.set_bits()))
    replacements[old] = narrower.getResult(i);
  rewriter.replaceOp(loop, replacements);
}

namespace {
struct DropUnusedStacks : OpRewritePattern<LayersOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(LayersOp loop,
                                PatternRewriter &rewriter) const override {
    BitVector kept(loop.getNumResults(), true);
    for (OpResult result : loop.getStacked())
      kept[result.getResultNumber()] = !result.use_empty();
    if (kept.all())
      return failure();
    Operation *end = loop.getBody().front().getTerminator();
    BitVector dropped = kept;
    rewriter.modifyOpInPlace(end, [&] { end->eraseOperands(dropped.flip()); });
    replaceLoop(rewriter, loop, loop.getSlices(), kept);
    return success();
  }
};

struct DropUnusedSlices : OpRewritePattern<LayersOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(LayersOp loop,
                                PatternRewriter &rewriter) const override {
    Block &body = loop.getBody().front();
    unsigned first = 1 + loop.getInits().size();
    BitVector dropped(body.getNumArguments());
    SmallVector<Value> slices;
    for (auto [i, slice] : llvm::enumerate(loop.getSlices())) {
      dropped[first + i] = body.getArgument(first + i).use_empty();
      if (!dropped[first + i])
        slices.push_back(slice);
    }
    if (dropped.none())
      return failure();
    body.eraseArguments(dropped);
    replaceLoop(rewriter, loop, slices, BitVector(loop.getNumResults(), true));
    return success();
  }
};
} // namespace

void LayersOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                           MLIRContext *context) {
  patterns.add<DropUnusedStacks, DropUnusedSlices>(context);
}
