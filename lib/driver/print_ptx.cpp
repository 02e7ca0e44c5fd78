// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/print_ptx.h"

#include "lib/backend/ptx.h"

#include "mlir/Pass/Pass.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
struct PrintPtx : PassWrapper<PrintPtx, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(PrintPtx)

  StringRef getArgument() const override { return "moe-print-ptx"; }
  StringRef getDescription() const override {
    return "Prints the PTX of every gpu.module on standard output";
  }
  void runOnOperation() override {
    for (auto kernels : getOperation().getOps<gpu::GPUModuleOp>()) {
      auto ptx = emitPtx(kernels);
      if (!ptx.ok()) {
        kernels.emitError() << std::string(ptx.status().message());
        return signalPassFailure();
      }
      llvm::outs() << *ptx;
    }
  }
};
} // namespace

void mlir::moe::registerPrintPtx() { PassRegistration<PrintPtx>(); }
