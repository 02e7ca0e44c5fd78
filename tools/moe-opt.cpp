// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes on MLIR text with the usual flags of an opt tool, and the reference
// interpreter. Exit codes: 0 done, 1 a pass failed, 2 usage, 3 the input cannot
// be parsed, 70 a bug of ours (a reproducer was written).
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "lib/driver/crash.h"
#include "lib/driver/diagnostics.h"
#include "lib/driver/input.h"
#include "lib/driver/nesting.h"
#include "lib/driver/register.h"
#include "lib/interpreter/interpret.h"

#include "mlir/Debug/CLOptionsSetup.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Support/Timing.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
using namespace mlir::moe;
using ::moe::Code;
using ::moe::Error;
namespace cl = llvm::cl;

namespace {
struct ToolFlags {
  cl::OptionCategory category{"moe-opt"};
  cl::opt<std::string> input{cl::Positional, cl::desc("<input file>"),
                             cl::init("-"), cl::cat(category)};
  cl::opt<std::string> output{"o", cl::desc("Where the result goes"),
                              cl::value_desc("file"), cl::init("-"),
                              cl::cat(category)};
  cl::opt<std::string> entry{
      "moe-interpret", cl::value_desc("function"), cl::cat(category),
      cl::desc("Run a function, model or router with the reference "
               "interpreter instead of printing the program")};
  cl::opt<std::string> inputs{"inputs", cl::value_desc("safetensors"),
                              cl::desc("Arguments for --moe-interpret"),
                              cl::cat(category)};
  cl::opt<std::string> outputs{"outputs", cl::value_desc("safetensors"),
                               cl::desc("Results of --moe-interpret"),
                               cl::cat(category)};
  cl::opt<std::string> weights{
      "weights", cl::value_desc("folder"), cl::cat(category),
      cl::desc("Model folder with parameters for --moe-interpret")};
  cl::opt<InterpretPrecision> precision{
      "precision", cl::desc("Arithmetic of --moe-interpret"),
      cl::values(clEnumValN(InterpretPrecision::F32, "f32", "as compiled"),
                 clEnumValN(InterpretPrecision::F64, "f64", "in double")),
      cl::init(InterpretPrecision::F32), cl::cat(category)};
};
} // namespace

/// A failure of which MLIR has told all that there is to tell.
static int reported = 0;

/// The configuration of the command line, which also tells when parsing is over
/// and names each pass to the crash handler.
static MlirOptMainConfig trackedConfig(const MlirOptMainConfig &asked,
                                       std::optional<PassTracker> &tracker,
                                       StringRef text) {
  MlirOptMainConfig config = asked;
  config.setPassPipelineSetupFn([asked, text, &tracker](PassManager &passes) {
    setCrashStep("the pipeline");
    if (failed(asked.setupPassPipeline(passes)))
      return failure();
    std::string pipeline;
    llvm::raw_string_ostream stream(pipeline);
    passes.printAsTextualPipeline(stream);
    if (passes.size() && !asked.shouldRunReproducer())
      setReproducer(text.str() + reproducerTrailer(pipeline),
                    "moe-opt --run-reproducer");
    tracker.emplace(passes);
    return success();
  });
  return config;
}

/// Runs the passes asked for, then the interpreter. Unlike passes, which speak
/// as an opt tool does, this tells errors in one line.
static absl::Status interpret(StringRef text, const ToolFlags &flags,
                              const MlirOptMainConfig &config,
                              DialectRegistry &registry) {
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.printOpOnDiagnostic(false);
  StringRef name = flags.input.getValue();
  ASSIGN_OR_RETURN(auto module, parseProgram(context, text, name));
  DiagnosticCollector diagnostics(context);
  PassManager passes(&context);
  if (failed(applyPassManagerCLOptions(passes)) ||
      failed(config.setupPassPipeline(passes)) || failed(passes.run(*module)))
    return diagnostics.error(Code::R001, name);
  setCrashStep("the interpreter");
  InterpretOptions options{flags.entry, flags.inputs, flags.outputs,
                           flags.weights, flags.precision};
  if (failed(interpretFile(*module, options)))
    return diagnostics.error(Code::R001, name);
  return absl::OkStatus();
}

static absl::Status run(int argc, char **argv) {
  DialectRegistry registry;
  registerEverything(registry);
  ToolFlags flags;
  MlirOptMainConfig::registerCLOptions(registry);
  registerAsmPrinterCLOptions();
  registerMLIRContextCLOptions();
  registerPassManagerCLOptions();
  registerDefaultTimingManagerCLOptions();
  tracing::DebugConfig::registerCLOptions();
  std::string usage;
  llvm::raw_string_ostream usageStream(usage);
  if (!cl::ParseCommandLineOptions(
          argc, argv, "moe-opt: passes on mixture-of-experts programs\n",
          &usageStream)) {
    StringRef line = StringRef(usage).ltrim().split('\n').first;
    line.consume_front(StringRef(argv[0]).str() + ": ");
    return Error(Code::U101, line.str());
  }

  // One thread: the crash handler has a stack of its own there, and messages
  // keep their order.
  cl::Option *threads = cl::getRegisteredOptions()["mlir-disable-threading"];
  if (threads->getNumOccurrences() == 0)
    threads->addOccurrence(0, "mlir-disable-threading", "true");

  MlirOptMainConfig asked = MlirOptMainConfig::createFromCLOptions();
  if (asked.shouldShowDialects() || asked.shouldListPasses()) {
    reported = failed(MlirOptMain(argc, argv, "-", "-", registry));
    return absl::OkStatus();
  }
  std::string message;
  auto file = openInputFile(flags.input, &message);
  if (!file)
    return Error(Code::F101, message);
  auto output = openOutputFile(flags.output, &message);
  if (!output)
    return Error(Code::F203, message);
  std::string text = file->getBuffer().str();
  RETURN_IF_ERROR(checkNesting(text, flags.input.getValue()));
  setReproducer(text, "moe-opt");
  setCrashStep("the parser");

  std::optional<PassTracker> tracker;
  MlirOptMainConfig config = trackedConfig(asked, tracker, text);
  if (!flags.entry.empty())
    return interpret(text, flags, config, registry);
  if (succeeded(MlirOptMain(output->os(), std::move(file), registry, config))) {
    output->keep();
    return absl::OkStatus();
  }
  reported = tracker ? ::moe::kExitFailed : ::moe::kExitBadInput;
  return absl::OkStatus();
}

int main(int argc, char **argv) {
  installCrashHandlers("moe-opt");
  absl::Status status = run(argc, argv);
  if (!status.ok())
    llvm::errs() << ::moe::FormatError("moe-opt", status) << "\n";
  return status.ok() ? reported : ::moe::ExitCode(status);
}
