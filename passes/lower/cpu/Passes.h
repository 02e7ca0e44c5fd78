// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_PASSES_LOWER_CPU_PASSES_H
#define MOE_PASSES_LOWER_CPU_PASSES_H

#include "dialect/moe/MoeDialect.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"

namespace mlir::moe::cpu {
#define GEN_PASS_DECL
#include "passes/lower/cpu/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/lower/cpu/Passes.h.inc"
} // namespace mlir::moe::cpu

#endif
