// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/register.h"

#include "dialect/moe/MoeDialect.h"
#include "lib/driver/pipelines.h"
#include "lib/driver/print_ptx.h"
#include "passes/entry/Passes.h"
#include "passes/fuse/Passes.h"
#include "passes/lower/cpu/Passes.h"
#include "passes/lower/gpu/Passes.h"
#include "passes/partition/Passes.h"
#include "passes/train/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/Passes.h"

void mlir::moe::registerEverything(DialectRegistry &registry) {
  registry
      .insert<moe::MoeDialect, nn::NnDialect, arith::ArithDialect,
              cf::ControlFlowDialect, func::FuncDialect, gpu::GPUDialect,
              LLVM::LLVMDialect, math::MathDialect, NVVM::NVVMDialect,
              scf::SCFDialect, tensor::TensorDialect, vector::VectorDialect>();
  registerTransformsPasses();
  entry::registerMoePasses();
  fuse::registerMoePasses();
  cpu::registerMoePasses();
  device::registerMoePasses();
  partition::registerMoePasses();
  train::registerMoePasses();
  registerPipelines();
  registerPrintPtx();
}
