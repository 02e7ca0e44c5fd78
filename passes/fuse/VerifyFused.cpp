// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/fuse/Passes.h"

namespace mlir::moe::fuse {
#define GEN_PASS_DEF_VERIFYFUSED
#include "passes/fuse/Passes.h.inc"
} // namespace mlir::moe::fuse

using namespace mlir;
using namespace mlir::moe;

namespace {
struct VerifyFused : fuse::impl::VerifyFusedBase<VerifyFused> {
  void runOnOperation() override {
    auto walk = getOperation().walk([](Operation *op) {
      if (isa<nn::ModelOp, nn::AttentionOp, nn::LatentAttentionOp, nn::MlpOp,
              nn::HeadOp, moe::LayerOp, RouteOp, RouterOp, ExpertsOp>(op)) {
        op->emitOpError("cannot stand at the fused phase");
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
