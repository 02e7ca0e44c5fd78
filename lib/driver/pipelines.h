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
};

void addToModel(OpPassManager &pm, const PipelineOptions &options);
void addToStep(OpPassManager &pm, const PipelineOptions &options);
void addToLocal(OpPassManager &pm, const PipelineOptions &options);
void addToFused(OpPassManager &pm, const PipelineOptions &options);

/// Registers the pipelines --moe-to-model, --moe-to-step, … of `moe-opt`.
void registerPipelines();
} // namespace mlir::moe

#endif
