// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The phases as pipelines: the compiler read as one commented list.
#ifndef MOE_LIB_DRIVER_PIPELINES_H
#define MOE_LIB_DRIVER_PIPELINES_H

#include "mlir/Pass/PassManager.h"

#include <string>
#include <vector>

namespace mlir::moe {
struct PipelineOptions {
  std::string compute;              // f32, bf16; empty: as the model says
  std::vector<std::string> entries; // score, prefill, decode; empty: all
  std::string isa =
      "x86-64-v4";             // x86-64-v3, x86-64-v4 or amx, for --moe-to-cpu
  bool functions = false;      // no model: the program has entries already
  std::string chip = "sm_90a"; // sm_80 or sm_90a, for --moe-to-nvvm
  std::string mesh = {};       // "dp=4,ep=4"; empty: one device
  /// none, selective, full: of the gradients there will be; empty: selective.
  std::vector<std::string> recompute = {};
  double dropout = 0; // of branches, in training
  double balance = 0; // coefficient of the loss of routers that have none
};

void addToModel(OpPassManager &pm, const PipelineOptions &options);
void addToStep(OpPassManager &pm, const PipelineOptions &options);
void addToLocal(OpPassManager &pm, const PipelineOptions &options);
void addToFused(OpPassManager &pm, const PipelineOptions &options);
/// Gives each parameter its place and format in memory, at the fused phase.
void addLayouts(OpPassManager &pm);
/// From the fused phase with layouts to the LLVM dialect, for one instruction set level.
void addFusedToCpu(OpPassManager &pm, llvm::StringRef isa);
void addToCpu(OpPassManager &pm, const PipelineOptions &options);
/// To gpu modules at nvvm level, for what has kernels.
void addToNvvm(OpPassManager &pm, const PipelineOptions &options);

/// Registers the pipelines --moe-to-model, --moe-to-step, … of `moe-opt`.
void registerPipelines();
} // namespace mlir::moe

#endif
