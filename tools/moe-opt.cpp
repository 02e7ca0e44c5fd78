// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes on MLIR text with the usual flags of an opt tool, and the reference
// interpreter. Exit codes: 0 done, 1 a pass failed, 2 usage, 3 the input cannot
// be parsed, 70 a bug of ours (a reproducer was written).
#include "lib/core/completion.h"
#include "lib/core/errors.h"
#include "lib/core/mapped_file.h"
#include "lib/core/status_macros.h"
#include "lib/driver/crash.h"
#include "lib/driver/diagnostics.h"
#include "lib/driver/input.h"
#include "lib/driver/nesting.h"
#include "lib/driver/output.h"
#include "lib/driver/register.h"
#include "lib/interpreter/interpret.h"

#include "mlir/Debug/CLOptionsSetup.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Support/Timing.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <map>

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
  cl::opt<bool> helpJson{"help-json", cl::desc("Print the flags as JSON"),
                         cl::cat(category)};
  cl::opt<std::string> completion{
      "completion", cl::value_desc("bash|zsh|fish"), cl::cat(category),
      cl::desc("Print a script that makes a shell complete flags")};
  cl::opt<InterpretPrecision> precision{
      "precision", cl::desc("Arithmetic of --moe-interpret"),
      cl::values(clEnumValN(InterpretPrecision::F32, "f32", "as compiled"),
                 clEnumValN(InterpretPrecision::F64, "f64", "in double")),
      cl::init(InterpretPrecision::F32), cl::cat(category)};
  cl::opt<unsigned> ranks{
      "ranks", cl::value_desc("N"), cl::init(1), cl::cat(category),
      cl::desc("Ranks that interpret a partitioned program together; {rank} in "
               "--inputs and --outputs stands for each")};
};
} // namespace

/// Larger text is no program that anyone wrote or that this compiler prints.
static constexpr uint64_t maxTextBytes = uint64_t{1} << 30;

/// A failure of which MLIR has told all that there is to tell.
static int reported = 0;

/// Whether a program and a pipeline are all that decides what happens.
static bool isPlain(const MlirOptMainConfig &config, const ToolFlags &flags) {
  return flags.entry.empty() && config.inputSplitMarker().empty() &&
         config.getIrdlFile().empty() && config.shouldVerifyOnParsing() &&
         config.shouldVerifyPasses() && !config.shouldUseExplicitModule() &&
         !config.shouldAllowUnregisteredDialects();
}

/// The command line without the files that it reads and writes.
static std::string sameFlags(int argc, char **argv, StringRef input) {
  std::string command = "moe-opt";
  for (int i = 1; i < argc; ++i) {
    StringRef argument = argv[i], name = argument.ltrim('-');
    if (argument == input)
      continue;
    if (argument != name && name == "o")
      ++i;
    else if (argument == name || !name.starts_with("o="))
      command +=
          " " + (argument.find_first_of(" ()<>|&;*?$\"\\") == StringRef::npos
                     ? argument.str()
                     : "'" + argument.str() + "'");
  }
  return command;
}

/// The configuration of the command line, which also tells when parsing is over
/// and names each pass to the crash handler.
static MlirOptMainConfig trackedConfig(const MlirOptMainConfig &asked,
                                       std::optional<PassTracker> &tracker,
                                       StringRef text, bool plain) {
  MlirOptMainConfig config = asked;
  config.setPassPipelineSetupFn([=, &tracker](PassManager &passes) {
    setCrashStep("the pipeline");
    if (failed(asked.setupPassPipeline(passes))) {
      reported = ::moe::kExitUsage;
      return failure();
    }
    std::string pipeline;
    llvm::raw_string_ostream stream(pipeline);
    passes.printAsTextualPipeline(stream);
    if (passes.size() && plain && !asked.shouldRunReproducer())
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
                              const MlirOptMainConfig &config, StringRef again,
                              DialectRegistry &registry) {
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.printOpOnDiagnostic(false);
  StringRef name = flags.input.getValue();
  ASSIGN_OR_RETURN(auto module, parseProgram(context, text, name));
  DiagnosticCollector diagnostics(context);
  PassManager passes(&context);
  setReproducer(text, again);
  if (failed(applyPassManagerCLOptions(passes)) ||
      failed(config.setupPassPipeline(passes)) || failed(passes.run(*module)))
    return diagnostics.error(Code::R001, name);
  setCrashStep("the interpreter");
  InterpretOptions options{
      flags.entry,   flags.inputs,    flags.outputs,
      flags.weights, flags.precision, std::clamp<int>(flags.ranks, 1, 1024)};
  if (failed(interpretFile(*module, options)))
    return diagnostics.error(Code::R001, name);
  return absl::OkStatus();
}

/// LLVM's complaint about the command line, with the flag that it suggests.
static absl::Status usageError(StringRef usage) {
  auto [line, more] = usage.ltrim().split('\n');
  // "moe-opt: Unknown command line argument '--x'.  Try: …"
  line = line.split(": ").second;
  StringRef what = line.split("  Try: ").first;
  StringRef given = what.split('\'').second.split('\'').first;
  StringRef nearest = more.split("Did you mean '").second.split('\'').first;
  if (nearest.edit_distance(given) > given.size() / 3)
    nearest = "";
  Code code = what.starts_with("Unknown command line argument") ? Code::U101
              : what.starts_with("Too many positional")         ? Code::U107
                                                                : Code::U103;
  return Error(code, what.trim().str(),
               nearest.empty() ? " --help lists all flags."
                               : " Did you mean " + nearest.str() + "?");
}

/// Every flag and pass that --help shows, in the form of lib/core/completion.h.
static ::moe::Json describeFlags() {
  std::map<std::string, ::moe::Json> byName;
  for (const auto &entry : cl::getRegisteredOptions()) {
    auto [name, option] = std::pair(StringRef(entry.first), entry.second);
    if (option->getOptionHiddenFlag() != cl::NotHidden)
      continue;
    ::moe::Json item = {
        {"names", {(name.size() == 1 ? "-" : "--") + name.str()}},
        {"help", option->ArgStr == name ? option->HelpStr.str() : ""}};
    if (option->ArgStr == name && !option->ValueStr.empty())
      item["value"] = option->ValueStr.str();
    byName[name.str()] = item;
  }
  ::moe::Json flags = ::moe::Json::array();
  for (auto &[name, item] : byName)
    flags.push_back(item);
  return {{"tool", "moe-opt"},
          {"arguments", {{{"names", {"FILE"}}, {"help", "MLIR text"}}}},
          {"flags", flags},
          {"commands", ::moe::Json::array()}};
}

static absl::StatusOr<std::unique_ptr<llvm::MemoryBuffer>>
readInput(const std::string &path) {
  llvm::sys::fs::file_status status;
  (void)llvm::sys::fs::status(path, status);
  if (path == "-" || status.type() == llvm::sys::fs::file_type::fifo_file ||
      status.type() == llvm::sys::fs::file_type::character_file) {
    std::string message;
    if (auto file = openInputFile(path, &message))
      return file;
    return Error(Code::F106, message);
  }
  ASSIGN_OR_RETURN(auto file,
                   ::moe::OpenedFile::Open(path, {.allow_empty = true}));
  ASSIGN_OR_RETURN(std::string text, file.ReadText(maxTextBytes));
  return llvm::MemoryBuffer::getMemBufferCopy(text, path);
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
    return usageError(usage);
  }

  if (flags.helpJson)
    return writeOutput("-", ::moe::DumpJson(describeFlags()) + "\n");
  if (flags.completion.getNumOccurrences()) {
    ASSIGN_OR_RETURN(
        std::string script,
        ::moe::CompletionScript(describeFlags(), flags.completion.getValue()));
    return writeOutput("-", script);
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
  ASSIGN_OR_RETURN(auto file, readInput(flags.input));
  RETURN_IF_ERROR(checkOutput(flags.output));
  std::string text = file->getBuffer().str();
  RETURN_IF_ERROR(checkNesting(text, flags.input.getValue()));
  bool plain = isPlain(asked, flags);
  std::string again =
      plain ? "moe-opt" : sameFlags(argc, argv, flags.input.getValue());
  setReproducer(text, again);
  setCrashStep("the parser");

  std::optional<PassTracker> tracker;
  MlirOptMainConfig config = trackedConfig(asked, tracker, text, plain);
  if (!flags.entry.empty())
    return interpret(text, flags, config, again, registry);
  std::string printed;
  llvm::raw_string_ostream stream(printed);
  if (succeeded(MlirOptMain(stream, std::move(file), registry, config)))
    return writeOutput(flags.output, printed);
  if (!reported)
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
