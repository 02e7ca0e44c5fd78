// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/Passes.h"

namespace mlir::moe::cpu {
#define GEN_PASS_DEF_VERIFYTARGET
#include "passes/lower/cpu/Passes.h.inc"
} // namespace mlir::moe::cpu

using namespace mlir;
using namespace mlir::moe;

namespace {
struct VerifyTarget : cpu::impl::VerifyTargetBase<VerifyTarget> {
  void runOnOperation() override {
    auto walk = getOperation().walk([](Operation *op) {
      auto function = dyn_cast<LLVM::LLVMFuncOp>(op);
      bool ok = isa<ModuleOp>(op) ||
                isa_and_nonnull<LLVM::LLVMDialect>(op->getDialect());
      if (!ok || (function && function.isExternal())) {
        op->emitOpError("cannot stand at the target phase");
        return WalkResult::interrupt();
      }
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
