// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Native code from a module of the LLVM dialect.
//
//   ASSIGN_OR_RETURN(NativeModule code, translate(module, CpuLevel::V4));
//   ASSIGN_OR_RETURN(auto object, emit(std::move(code), NativeForm::Object));
//
// The code is position independent and the same on every machine: the
// processor is that of the level, never the one that compiles. A product and a
// sum are fused only where the program says fma. Denormals are zero. Nothing
// but `moe_module_v1` is visible outside, and memcpy, memmove and memset, which
// code generation may call, are part of the object.
#ifndef MOE_LIB_BACKEND_OBJECT_H
#define MOE_LIB_BACKEND_OBJECT_H

#include "lib/backend/cpu_level.h"

#include "mlir/IR/BuiltinOps.h"

#include "absl/status/statusor.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"

#include <memory>

namespace mlir::moe {

/// The one function that a shared object exports.
inline constexpr llvm::StringLiteral moduleSymbol = "moe_module_v1";

/// Bytes that one stack frame of generated code may have.
inline constexpr int64_t maxFrameBytes = 1024 * 1024;

/// LLVM IR of one level. Each has a context of its own, so that several can be
/// emitted by several threads at once.
struct NativeModule {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  CpuLevel level;
};

enum class NativeForm {
  Object,   // a relocatable ELF object
  Assembly, // text
  LLVMText, // LLVM IR as code generation sees it
};

/// LLVM IR of |module|, with target and attributes set. |module| is not kept;
/// its context must not be used by another thread meanwhile. I002 if it holds
/// anything that has no LLVM IR.
absl::StatusOr<NativeModule> translate(ModuleOp module, CpuLevel level);

/// Optimises |code| and writes it in the given form. Safe to call from several
/// threads for several modules. I002 if code generation fails or a function
/// needs a stack frame above maxFrameBytes.
absl::StatusOr<llvm::SmallVector<char>> emit(NativeModule code,
                                             NativeForm form);

/// translate and emit.
absl::StatusOr<llvm::SmallVector<char>> emitObject(ModuleOp module,
                                                   CpuLevel level);

} // namespace mlir::moe

#endif
