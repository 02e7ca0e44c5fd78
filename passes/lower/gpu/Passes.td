// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Fused phase to GPU kernels.
#ifndef MOE_PASSES_LOWER_GPU_PASSES_TD
#define MOE_PASSES_LOWER_GPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def LowerGpu : Pass<"moe-lower-gpu", "::mlir::ModuleOp"> {
  let summary = "operations with GPU kernels as functions of a gpu.module";
  let description = [{
    Each `moe.route_permute` gets three kernels in `gpu.module @moe_kernels`,
    named by its attribute `moe.kernels` in the order of their launches; equal
    operations share them. See README.md of this folder for grids and arguments.
  }];
  let options = [Option<"chip", "chip", "std::string", "\"sm_90a\"", "sm_80 or sm_90a">];
  let dependentDialects = ["::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

#endif
