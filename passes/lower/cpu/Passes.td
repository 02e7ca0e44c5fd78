// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Fused phase to target phase for CPUs.
#ifndef MOE_PASSES_LOWER_CPU_PASSES_TD
#define MOE_PASSES_LOWER_CPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def AssignLayouts : Pass<"moe-assign-layouts", "::mlir::ModuleOp"> {
  let summary = "chooses how each parameter lies in memory";
  let description = [{
    Gives each used parameter its first slot in the pointer table (`nn.index`)
    and its format (`nn.format`): weights of products are packed into panels of
    32 columns, everything else stays as in the checkpoint (`raw`).
  }];
}

def LowerCpu : Pass<"moe-lower-cpu", "::mlir::ModuleOp"> {
  let summary = "entries as loops over vectors";
  let description = [{
    Replaces each entry by `llvm.func @moe_entry_NAME(rt, arena, buffers, dims)`
    of `scf` loops, `vector` arithmetic and loads through pointers. Every value
    has a place in one arena, planned from live ranges; parallel loops carry
    the attribute `moe.grain`.
  }];
  let options = [Option<"isa", "isa", "std::string", "\"x86-64-v4\"", "x86-64-v3, x86-64-v4 or amx: shape of the register blocks">];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect",
                           "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def OutlineParallel : Pass<"moe-outline-parallel", "::mlir::ModuleOp"> {
  let summary = "parallel loops as functions run by the runtime";
  let description = [{
    The body of a loop with `moe.grain` becomes a function of a closure and a
    range; the loop becomes a call of `parallel_for` of the runtime table.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

def VerifyTarget : Pass<"verify-target", "::mlir::ModuleOp"> {
  let summary = "closes the target phase: LLVM dialect alone, no calls out";
}

#endif
