// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Programs for tests, parsed from text.
#ifndef MOE_TEST_BACKEND_PROGRAM_H_
#define MOE_TEST_BACKEND_PROGRAM_H_

#include <string>
#include <string_view>

#include "dialect/moe/MoeDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

namespace mlir::moe {

class Program {
 public:
  explicit Program(std::string_view text) {
    context_.loadDialect<LLVM::LLVMDialect, func::FuncDialect, MoeDialect>();
    module_ = parseSourceString<ModuleOp>(text, &context_);
  }
  ModuleOp module() { return *module_; }

 private:
  MLIRContext context_;
  OwningOpRef<ModuleOp> module_;
};

// A whole native module around the function @moe_entry_run(ptr) -> i32, whose
// body is given: moe_module_v1 returns its address.
inline std::string WithTable(std::string_view body) {
  return R"(
llvm.func @moe_module_v1() -> !llvm.ptr {
  %0 = llvm.mlir.addressof @moe_entry_run : !llvm.ptr
  llvm.return %0 : !llvm.ptr
}
)" + std::string(body);
}

}  // namespace mlir::moe

#endif  // MOE_TEST_BACKEND_PROGRAM_H_
