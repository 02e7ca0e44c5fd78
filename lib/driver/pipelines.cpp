// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/pipelines.h"

#include "passes/entry/Passes.h"
#include "passes/fuse/Passes.h"
#include "passes/lower/cpu/Passes.h"
#include "passes/lower/gpu/Passes.h"
#include "passes/partition/Passes.h"
#include "passes/train/Passes.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVMPass.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace mlir::moe;

void moe::addToModel(OpPassManager &pm, const PipelineOptions &options) {
  if (!options.compute.empty()) {
    entry::SetComputeOptions compute;
    compute.dtype = options.compute;
    pm.addPass(entry::createSetCompute(compute));
  }
  if (!options.functions)
    pm.addPass(entry::createVerifyModel());
}

void moe::addToStep(OpPassManager &pm, const PipelineOptions &options) {
  addToModel(pm, options);
  if (options.balance > 0) {
    entry::BalanceRoutersOptions balance;
    balance.coef = options.balance;
    pm.addPass(entry::createBalanceRouters(balance));
  }
  pm.addPass(entry::createExpandSugar());
  entry::DeriveEntriesOptions derive;
  for (const std::string &name : options.entries)
    derive.entries.push_back(name);
  derive.dropout = options.dropout;
  pm.addPass(entry::createDeriveEntries(derive));
  pm.addPass(entry::createInlineRouters());
  pm.addPass(entry::createSettleRandom());
  pm.addPass(entry::createExpandLosses());
  pm.addPass(createCanonicalizerPass());
  train::DeriveTrainingOptions training;
  for (const std::string &policy : options.recompute)
    training.recompute.push_back(policy);
  pm.addPass(train::createDeriveTraining(training));
  pm.addPass(createCSEPass());
  pm.addPass(entry::createVerifyStep());
}

void moe::addToLocal(OpPassManager &pm, const PipelineOptions &options) {
  addToStep(pm, options);
  partition::PartitionExpertsOptions partition;
  partition.mesh = options.mesh;
  pm.addPass(partition::createPartitionExperts(partition));
  pm.addPass(partition::createVerifyLocal());
}

void moe::addToFused(OpPassManager &pm, const PipelineOptions &options) {
  addToLocal(pm, options);
  pm.addPass(fuse::createInlineForward());
  pm.addPass(fuse::createDistributeExperts());
  pm.addPass(fuse::createFuseHeadLoss());
  pm.addPass(fuse::createGatherDispatch());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(fuse::createVerifyFused());
}

void moe::addLayouts(OpPassManager &pm) {
  pm.addPass(cpu::createAssignLayouts());
}

void moe::addFusedToCpu(OpPassManager &pm, llvm::StringRef isa) {
  cpu::LowerCpuOptions lower;
  lower.isa = isa.str();
  pm.addPass(cpu::createLowerCpu(lower));
  pm.addPass(createCSEPass());
  pm.addPass(cpu::createOutlineParallel());
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(cpu::createVerifyTarget());
}

void moe::addToCpu(OpPassManager &pm, const PipelineOptions &options) {
  addToFused(pm, options);
  addLayouts(pm);
  addFusedToCpu(pm, options.isa);
}

void moe::addToNvvm(OpPassManager &pm, const PipelineOptions &options) {
  addToFused(pm, options);
  pm.addPass(fuse::createFuseRouting());
  device::LowerGpuOptions lower;
  lower.chip = options.chip;
  pm.addPass(device::createLowerGpu(lower));
  pm.nest<gpu::GPUModuleOp>().addPass(createCSEPass());
  pm.nest<gpu::GPUModuleOp>().addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>();
  kernels.addPass(createConvertMathToLLVMPass());
  kernels.addPass(createArithToLLVMConversionPass());
  kernels.addPass(createReconcileUnrealizedCastsPass());
  kernels.addPass(createCanonicalizerPass());
  kernels.addPass(createCSEPass());
}

namespace {
struct Flags : PassPipelineOptions<Flags> {
  Option<std::string> compute{
      *this, "compute",
      llvm::cl::desc("f32 or bf16 (default: as the model says)")};
  ListOption<std::string> entries{*this, "entries",
                                  llvm::cl::desc("score, prefill, decode")};
  Option<std::string> isa{
      *this, "isa",
      llvm::cl::desc("x86-64-v3, x86-64-v4 or amx, for --moe-to-cpu"),
      llvm::cl::init("x86-64-v4")};
  Option<bool> functions{
      *this, "functions",
      llvm::cl::desc("no model: the program has entries already")};
  Option<std::string> chip{*this, "chip",
                           llvm::cl::desc("sm_80 or sm_90a, for --moe-to-nvvm"),
                           llvm::cl::init("sm_90a")};
  ListOption<std::string> recompute{
      *this, "recompute",
      llvm::cl::desc(
          "what gradients compute again instead of keeping it: none, "
          "selective (default), full")};
  Option<double> balance{
      *this, "balance",
      llvm::cl::desc("coefficient of the loss of routers that have none"),
      llvm::cl::init(0)};
  Option<double> dropout{*this, "dropout",
                         llvm::cl::desc("of branches, in training"),
                         llvm::cl::init(0)};
  Option<std::string> mesh{
      *this, "mesh",
      llvm::cl::desc("ranks along each axis, as dp=4,ep=4 (default: one)")};
  PipelineOptions get() const {
    return {
        compute, {entries.begin(), entries.end()},     isa,     functions, chip,
        mesh,    {recompute.begin(), recompute.end()}, dropout, balance};
  }
};
} // namespace

void moe::registerPipelines() {
  PassPipelineRegistration<Flags>(
      "moe-to-model", "checks a model",
      [](OpPassManager &pm, const Flags &f) { addToModel(pm, f.get()); });
  PassPipelineRegistration<Flags>(
      "moe-to-step", "model to entries of core operations",
      [](OpPassManager &pm, const Flags &f) { addToStep(pm, f.get()); });
  PassPipelineRegistration<Flags>(
      "moe-to-local", "to what one rank runs",
      [](OpPassManager &pm, const Flags &f) { addToLocal(pm, f.get()); });
  PassPipelineRegistration<Flags>(
      "moe-to-fused", "to few structured operations",
      [](OpPassManager &pm, const Flags &f) { addToFused(pm, f.get()); });
  PassPipelineRegistration<Flags>(
      "moe-to-cpu", "to the LLVM dialect for CPUs",
      [](OpPassManager &pm, const Flags &f) { addToCpu(pm, f.get()); });
  PassPipelineRegistration<Flags>(
      "moe-to-nvvm", "to GPU kernels in the LLVM and NVVM dialects",
      [](OpPassManager &pm, const Flags &f) { addToNvvm(pm, f.get()); });
}
