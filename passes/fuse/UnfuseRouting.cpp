// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// For targets with code for each operation of a router:
//   %plan, %w = moe.route_permute %x params(%g) { … moe.yield %idx, %weights }
// becomes the operations of the region and
//   %plan = moe.make_plan %idx experts(8)
#include "passes/fuse/Passes.h"

#include "mlir/IR/IRMapping.h"

namespace mlir::moe::fuse {
#define GEN_PASS_DEF_UNFUSEROUTING
#include "passes/fuse/Passes.h.inc"
} // namespace mlir::moe::fuse

using namespace mlir;
using namespace mlir::moe;

static void unfuse(RoutePermuteOp op) {
  OpBuilder b(op);
  IRMapping map;
  Block &body = op.getBody().front();
  map.map(body.getArguments(), op.getOperands());
  for (Operation &inner : body.without_terminator())
    b.clone(inner, map);
  Value plan =
      MakePlanOp::create(b, op.getLoc(), map.lookup(op.getYieldedIndices()),
                         op.getPlan().getType().getExperts());
  op.getPlan().replaceAllUsesWith(plan);
  op.getWeights().replaceAllUsesWith(map.lookup(op.getYieldedWeights()));
  op.erase();
}

namespace {
struct UnfuseRouting : fuse::impl::UnfuseRoutingBase<UnfuseRouting> {
  void runOnOperation() override {
    SmallVector<RoutePermuteOp> all;
    getOperation().walk([&](RoutePermuteOp op) { all.push_back(op); });
    for (RoutePermuteOp op : all)
      unfuse(op);
  }
};
} // namespace
