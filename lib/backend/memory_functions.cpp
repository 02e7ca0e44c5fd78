// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/memory_functions.h"

#include "lib/core/errors.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/SourceMgr.h"

using ::moe::Code;
using ::moe::Error;

/// String instructions: small, and fast for the large copies they are used for.
/// memmove copies from the end where the destination starts inside the source.
static constexpr llvm::StringLiteral definitions = R"(
define hidden ptr @memcpy(ptr %to, ptr %from, i64 %bytes) {
  %r = call { ptr, ptr, i64 } asm sideeffect "rep movsb",
      "={di},={si},={cx},0,1,2,~{memory},~{dirflag},~{fpsr},~{flags}"(
      ptr %to, ptr %from, i64 %bytes)
  ret ptr %to
}
define hidden ptr @memmove(ptr %to, ptr %from, i64 %bytes) {
  %a = ptrtoint ptr %to to i64
  %b = ptrtoint ptr %from to i64
  %distance = sub i64 %a, %b
  %forward = icmp uge i64 %distance, %bytes
  br i1 %forward, label %up, label %down
up:
  %u = call { ptr, ptr, i64 } asm sideeffect "rep movsb",
      "={di},={si},={cx},0,1,2,~{memory},~{dirflag},~{fpsr},~{flags}"(
      ptr %to, ptr %from, i64 %bytes)
  ret ptr %to
down:
  %last = sub i64 %bytes, 1
  %to_last = getelementptr i8, ptr %to, i64 %last
  %from_last = getelementptr i8, ptr %from, i64 %last
  %d = call { ptr, ptr, i64 } asm sideeffect "std\0A\09rep movsb\0A\09cld",
      "={di},={si},={cx},0,1,2,~{memory},~{dirflag},~{fpsr},~{flags}"(
      ptr %to_last, ptr %from_last, i64 %bytes)
  ret ptr %to
}
define hidden ptr @memset(ptr %to, i32 %value, i64 %bytes) {
  %byte = trunc i32 %value to i8
  %r = call { ptr, i64 } asm sideeffect "rep stosb",
      "={di},={cx},0,1,{ax},~{memory},~{dirflag},~{fpsr},~{flags}"(
      ptr %to, i64 %bytes, i8 %byte)
  ret ptr %to
}
)";

absl::Status mlir::moe::addMemoryFunctions(llvm::Module &module) {
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> library =
      llvm::parseAssemblyString(definitions, diagnostic, module.getContext());
  if (!library)
    return Error(Code::I002, "memory functions: line ", diagnostic.getLineNo(),
                 ": ", diagnostic.getMessage().str());
  library->setTargetTriple(module.getTargetTriple());
  library->setDataLayout(module.getDataLayout());
  for (llvm::Function &function : llvm::make_early_inc_range(*library)) {
    llvm::Function *own = module.getFunction(function.getName());
    if (own && !own->isDeclaration())
      function.eraseFromParent();
  }
  if (llvm::Linker::linkModules(module, std::move(library)))
    return Error(Code::I002, "memory functions cannot join the program");
  return absl::OkStatus();
}
