// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Entries as native functions:
//   func.func @score(%ids: tensor<?xi32>, …) -> (tensor<?x256xf32>, …) attributes {nn.entry}
// becomes
//   llvm.func @moe_entry_score(%rt, %arena, %buffers, %dims) -> i32
//   llvm.func @moe_workspace_score(%dims) -> i64
#include "passes/lower/cpu/BufferPlan.h"
#include "passes/lower/cpu/ModuleTable.h"

namespace mlir::moe::cpu {
#define GEN_PASS_DEF_LOWERCPU
#include "passes/lower/cpu/Passes.h.inc"
} // namespace mlir::moe::cpu

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

/// An entry has a body, and everything that passes its boundary is a buffer.
static LogicalResult checkSignature(func::FuncOp entry) {
  if (!entry.getBody().hasOneBlock())
    return entry.emitError("expects an entry with a body of one block");
  for (Type type : entry.getArgumentTypes())
    if (!isa<RankedTensorType, nn::CacheType>(type))
      return entry.emitError("has no code for CPUs: an argument is ") << type;
  for (Type type : entry.getResultTypes())
    if (!isa<RankedTensorType>(type))
      return entry.emitError("has no code for CPUs: a result is ") << type;
  return success();
}

namespace {
struct LowerCpu : cpu::impl::LowerCpuBase<LowerCpu> {
  using LowerCpuBase::LowerCpuBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto shape = Isa::get(isa);
    if (failed(shape)) {
      module.emitError("expects isa x86-64-v3, x86-64-v4 or amx, got ") << isa;
      return signalPassFailure();
    }
    SmallVector<std::string> names;
    for (auto entry :
         llvm::make_early_inc_range(module.getOps<func::FuncOp>())) {
      if (!entry->hasAttr("nn.entry")) {
        entry.emitError("is no entry and has no code for CPUs");
        return signalPassFailure();
      }
      names.push_back(entry.getName().str());
      if (failed(checkSignature(entry)) || failed(lowerEntry(entry, *shape)))
        return signalPassFailure();
    }
    addPackEntries(module, *shape, names);
    addModuleTable(module, names);
    for (auto param : llvm::make_early_inc_range(module.getOps<nn::ParamOp>()))
      param.erase();
    for (StringRef name : {"moe.config", "moe.name", "moe.max_positions",
                           "moe.eos_token_ids", "moe.mesh"})
      module->removeAttr(name);
  }
};
} // namespace
