// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/object.h"

#include "lib/backend/memory_functions.h"
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"

#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/LegacyPassManager.h"
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

/// Loops stay as they were written: no unrolling, no vectoriser. Taking apart
/// what lowering left (aggregates, repeated addresses) is all that helps here.
static constexpr llvm::StringLiteral optimizations =
    "function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,"
    "loop-mssa(licm),early-cse)";

static void initializeTargets() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
  });
}

static absl::StatusOr<std::unique_ptr<llvm::TargetMachine>>
createMachine(CpuLevel level) {
  initializeTargets();
  llvm::Triple triple("x86_64-unknown-linux-gnu");
  std::string message;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return Error(Code::I002, "no code generator for ", triple.str(), ": ",
                 message);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  options.FunctionSections = true;
  options.DataSections = true;
  options.UseInitArray = true; // where checkSharedObject() looks
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, cpuLevelProcessor(level), cpuLevelFeatures(level), options,
      llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

/// What the contract of native code asks of every function.
static void setAttributes(llvm::Module &module, CpuLevel level) {
  for (llvm::GlobalValue &value : module.global_values()) {
    if (value.isDeclaration() || value.hasLocalLinkage())
      continue;
    value.setDSOLocal(true);
    if (value.getName() != moduleSymbol)
      value.setVisibility(llvm::GlobalValue::HiddenVisibility);
  }
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", cpuLevelProcessor(level));
    if (llvm::StringRef more = cpuLevelFeatures(level); !more.empty())
      function.addFnAttr("target-features", more);
    if (level != CpuLevel::V3)
      function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr("denormal-fp-math", "preserve-sign,preserve-sign");
    function.addFnAttr("frame-pointer", "none");
    function.addFnAttr("no-builtins");
    function.addFnAttr("warn-stack-size", std::to_string(maxFrameBytes));
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
}

/// The first line of what LLVM's verifier says; empty if |module| is valid.
static std::string verifierFault(const llvm::Module &module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (!llvm::verifyModule(module, &stream))
    return {};
  return text.substr(0, text.find('\n'));
}

absl::StatusOr<NativeModule> mlir::moe::translate(ModuleOp module,
                                                  CpuLevel level) {
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  module.getContext()->appendDialectRegistry(registry);

  std::string message;
  ScopedDiagnosticHandler handler(
      module.getContext(), [&](Diagnostic &diagnostic) {
        if (message.empty() &&
            diagnostic.getSeverity() == DiagnosticSeverity::Error)
          message = diagnostic.str();
        return success();
      });
  ASSIGN_OR_RETURN(auto machine, createMachine(level));
  NativeModule code{std::make_unique<llvm::LLVMContext>(), nullptr, level};
  code.module = translateModuleToLLVMIR(module, *code.context, "moe");
  if (!code.module)
    return Error(Code::I002, "no LLVM IR for the lowered program: ", message);
  // Not the path of the program, which would differ from user to user.
  code.module->setSourceFileName("moe");
  code.module->setTargetTriple(machine->getTargetTriple());
  code.module->setDataLayout(machine->createDataLayout());
  code.module->setPICLevel(llvm::PICLevel::BigPIC);
  setAttributes(*code.module, level);
  if (std::string fault = verifierFault(*code.module); !fault.empty())
    return Error(Code::I002, "LLVM refuses the lowered program: ", fault);
  return code;
}

static absl::Status optimize(llvm::Module &module,
                             llvm::TargetMachine &machine) {
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
  if (llvm::Error error = builder.parsePassPipeline(passes, optimizations))
    return Error(Code::I002, "LLVM has no pipeline '", optimizations.str(),
                 "': ", llvm::toString(std::move(error)));
  passes.run(module, modules);
  return absl::OkStatus();
}

/// Memory that grows while a function runs cannot be bounded before it runs.
static absl::Status checkAllocas(const llvm::Module &module) {
  for (const llvm::Function &function : module)
    for (const llvm::BasicBlock &block : function)
      for (const llvm::Instruction &instruction : block)
        if (auto *alloca = llvm::dyn_cast<llvm::AllocaInst>(&instruction);
            alloca && !alloca->isStaticAlloca())
          return Error(Code::I002, "function '", function.getName().str(),
                       "' allocates stack outside its entry block");
  return absl::OkStatus();
}

namespace {
/// Keeps the first fault that code generation reports.
struct FaultCollector : llvm::DiagnosticHandler {
  explicit FaultCollector(std::string &fault) : fault(fault) {}
  bool handleDiagnostics(const llvm::DiagnosticInfo &info) override {
    if (!fault.empty())
      return true;
    llvm::raw_string_ostream stream(fault);
    if (auto *frame = llvm::dyn_cast<llvm::DiagnosticInfoStackSize>(&info)) {
      stream << "function '" << frame->getFunction().getName()
             << "' has a stack frame of " << frame->getStackSize()
             << " bytes; at most " << maxFrameBytes << " are allowed";
    } else if (info.getSeverity() == llvm::DS_Error) {
      llvm::DiagnosticPrinterRawOStream printer(stream);
      info.print(printer);
    }
    return true;
  }
  std::string &fault;
};
} // namespace

absl::StatusOr<llvm::SmallVector<char>> mlir::moe::emit(NativeModule code,
                                                        NativeForm form) {
  ASSIGN_OR_RETURN(auto machine, createMachine(code.level));
  RETURN_IF_ERROR(optimize(*code.module, *machine));
  RETURN_IF_ERROR(checkAllocas(*code.module));
  llvm::SmallVector<char> bytes;
  llvm::raw_svector_ostream stream(bytes);
  if (form == NativeForm::LLVMText) {
    code.module->print(stream, nullptr);
    return bytes;
  }
  if (form == NativeForm::Object) {
    RETURN_IF_ERROR(addMemoryFunctions(*code.module));
    setAttributes(*code.module, code.level);
  }
  std::string fault;
  code.context->setDiagnosticHandler(std::make_unique<FaultCollector>(fault),
                                     /*RespectFilters=*/false);
  llvm::legacy::PassManager passes;
  auto type = form == NativeForm::Object ? llvm::CodeGenFileType::ObjectFile
                                         : llvm::CodeGenFileType::AssemblyFile;
  if (machine->addPassesToEmitFile(passes, stream, nullptr, type))
    return Error(Code::I002, "LLVM cannot write this kind of file");
  passes.run(*code.module);
  if (!fault.empty())
    return Error(Code::I002, "code for ", cpuLevelName(code.level).str(), ": ",
                 fault);
  return bytes;
}

absl::StatusOr<llvm::SmallVector<char>> mlir::moe::emitObject(ModuleOp module,
                                                              CpuLevel level) {
  ASSIGN_OR_RETURN(NativeModule code, translate(module, level));
  return emit(std::move(code), NativeForm::Object);
}
