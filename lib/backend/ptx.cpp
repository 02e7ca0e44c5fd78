// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/ptx.h"

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

#include <mutex>

using namespace mlir;
using namespace mlir::moe;
using ::moe::Code;
using ::moe::Error;

/// No unrolling and nothing moved out of loops: ptxas knows registers better.
static constexpr llvm::StringLiteral optimizations =
    "function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,"
    "early-cse)";

static absl::StatusOr<std::unique_ptr<llvm::TargetMachine>>
createMachine(NVVM::NVVMTargetAttr target) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
  llvm::Triple triple(target.getTriple());
  std::string message;
  const llvm::Target *found =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!found)
    return Error(Code::I002, "no code generator for ", triple.str(), ": ",
                 message);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  return std::unique_ptr<llvm::TargetMachine>(found->createTargetMachine(
      triple, target.getChip(), target.getFeatures(), options, std::nullopt,
      std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  llvm::ModulePassManager passes;
  llvm::cantFail(builder.parsePassPipeline(passes, optimizations));
  passes.run(module, modules);
}

/// LLVM IR of |kernels| as code generation for |machine| wants it.
static absl::StatusOr<std::unique_ptr<llvm::Module>>
translate(gpu::GPUModuleOp kernels, llvm::LLVMContext &context,
          llvm::TargetMachine &machine) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  kernels.getContext()->appendDialectRegistry(registry);
  std::string message;
  ScopedDiagnosticHandler handler(
      kernels.getContext(), [&](Diagnostic &diagnostic) {
        if (message.empty() &&
            diagnostic.getSeverity() == DiagnosticSeverity::Error)
          message = diagnostic.str();
        return success();
      });
  auto module = translateModuleToLLVMIR(kernels, context, kernels.getName());
  if (!module)
    return Error(Code::I002, "no LLVM IR for the kernels: ", message);
  module->setTargetTriple(machine.getTargetTriple());
  module->setDataLayout(machine.createDataLayout());
  for (llvm::Function &function : *module)
    if (!function.isDeclaration())
      function.addFnAttr("denormal-fp-math", "preserve-sign,preserve-sign");
  llvm::raw_string_ostream stream(message);
  if (llvm::verifyModule(*module, &stream))
    return Error(Code::I002, "LLVM refuses the kernels: ",
                 message.substr(0, message.find('\n')));
  return module;
}

absl::StatusOr<std::string> mlir::moe::emitPtx(gpu::GPUModuleOp kernels) {
  ArrayAttr targets = kernels.getTargetsAttr();
  auto target = targets && targets.size() == 1
                    ? dyn_cast<NVVM::NVVMTargetAttr>(targets[0])
                    : NVVM::NVVMTargetAttr();
  if (!target)
    return Error(Code::I002, "gpu.module @", kernels.getName().str(),
                 " has not one NVVM target");
  ASSIGN_OR_RETURN(auto machine, createMachine(target));
  llvm::LLVMContext context;
  ASSIGN_OR_RETURN(auto module, translate(kernels, context, *machine));
  optimize(*module, *machine);
  for (const llvm::Function &function : *module)
    if (function.isDeclaration() && !function.isIntrinsic() &&
        !function.use_empty())
      return Error(Code::I002, "the kernels call '", function.getName().str(),
                   "', which they do not hold");
  llvm::SmallString<0> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, stream, nullptr,
                                   llvm::CodeGenFileType::AssemblyFile))
    return Error(Code::I002, "LLVM cannot write PTX");
  passes.run(*module);
  // Code generation may have added calls of its own.
  if (size_t at = text.find(".extern .func"); at != llvm::StringRef::npos)
    return Error(Code::I002,
                 "the kernels call a function that they do not "
                 "hold: ",
                 text.str().substr(at).split('\n').first.str());
  return text.str().str();
}
