// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Where no gradient is taken any more,
//   %y = moe.custom_vjp (%x) … forward { … } backward { … }
// is the operations of its forward region.
#include "passes/fuse/Passes.h"

#include "mlir/IR/IRMapping.h"

namespace mlir::moe::fuse {
#define GEN_PASS_DEF_INLINEFORWARD
#include "passes/fuse/Passes.h.inc"
} // namespace mlir::moe::fuse

using namespace mlir;
using namespace mlir::moe;

namespace {
struct InlineForward : fuse::impl::InlineForwardBase<InlineForward> {
  void runOnOperation() override {
    SmallVector<CustomVjpOp> all;
    // Inner operations first: an outer one then holds none.
    getOperation().walk<WalkOrder::PostOrder>(
        [&](CustomVjpOp op) { all.push_back(op); });
    for (CustomVjpOp op : all) {
      OpBuilder b(op);
      IRMapping map;
      Block &body = op.getForward().front();
      map.map(body.getArguments(), op.getInputs());
      for (Operation &inner : body.without_terminator())
        b.clone(inner, map);
      for (auto [result, value] :
           llvm::zip(op.getResults(), body.getTerminator()->getOperands()))
        result.replaceAllUsesWith(map.lookupOrDefault(value));
      op.erase();
    }
  }
};
} // namespace
