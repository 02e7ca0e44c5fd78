// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_PASSES_LOWER_GPU_PASSES_H
#define MOE_PASSES_LOWER_GPU_PASSES_H

#include "dialect/moe/MoeDialect.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Pass/Pass.h"

namespace mlir::moe::device {
#define GEN_PASS_DECL
#include "passes/lower/gpu/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/lower/gpu/Passes.h.inc"
} // namespace mlir::moe::device

#endif
