// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/core/errors.h"
#include "lib/core/module_file.h"
#include "lib/core/status_macros.h"
#include "lib/driver/compile.h"
#include "lib/driver/crash.h"
#include "lib/driver/flags.h"
#include "lib/driver/output.h"
#include "lib/driver/register.h"
#include "runtime/manifest.h"
#include "runtime/rewrite/rewrite_plan.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <span>
#include <unistd.h>

using namespace mlir;
using namespace mlir::moe;
using ::moe::Code;
using ::moe::Error;
using ::moe::Quoted;

static ToolText toolText() {
  return {
      .name = "moe-compile",
      .form = "INPUT -o OUT.moe [options]",
      .about = "Compiles a model to a module that moe-run executes.\n",
      .argument = "INPUT",
      .argumentHelp =
          "a Hugging Face folder (config.json and *.safetensors, of which only "
          "headers are read) or a file of MLIR text",
      .footer =
          R"(exit codes: 0 done, 1 failed, 2 usage, 3 bad input, 4 no memory or disk,
5 not supported, 70 a bug of ours (a reproducer was written)

examples:
  moe-compile models/tiny/tiny-mixtral -o tiny.moe
  moe-compile model.mlir --router mine.mlir@sigmoid --entries score -o s.moe
  moe-compile model.mlir --compile-to fused
  moe-compile layer.mlir --entries moe_layer --target cpu:native -o layer.moe
)"};
}

namespace {
struct Options {
  CompileOptions compile;
  std::string output, rewrite;
  std::optional<Phase> phase;
  std::optional<NativeForm> form;
  CommonFlags asked;
  std::vector<Flag> flags;
  bool prints = false, json = false;
};
} // namespace

static absl::Status setTarget(StringRef value, std::vector<CpuLevel> &levels) {
  auto [kind, name] = value.split(':');
  if (kind.starts_with("sm_"))
    return Error(Code::K111, "--target ", Quoted(value.str()),
                 ": this version makes code for CPUs alone");
  std::optional<CpuLevel> level = parseCpuLevel(name);
  if (value == "cpu:native" && !(level = nativeCpuLevel()))
    return Error(Code::D101, "--target cpu:native: this processor lacks AVX2, "
                             "FMA or F16C, which every level needs");
  if (kind != "cpu" || (!level && value != "cpu"))
    return Error(Code::K105, "--target: no target ", Quoted(value.str()),
                 "; there are cpu, cpu:x86-64-v3, cpu:x86-64-v4, cpu:amx, "
                 "cpu:native");
  if (level)
    levels.push_back(*level);
  else
    levels.assign(allCpuLevels().begin(), allCpuLevels().end());
  return absl::OkStatus();
}

static absl::Status setEmit(StringRef value, Options &options) {
  options.prints = true;
  if (value == "mlir")
    options.phase = Phase::Target;
  else if (value == "llvm")
    options.form = NativeForm::LLVMText;
  else if (value == "asm")
    options.form = NativeForm::Assembly;
  else if (value == "obj")
    options.form = NativeForm::Object;
  else if (value == "ptx")
    return Error(Code::K111, "--emit ptx: this version makes code for CPUs");
  else
    return Error(Code::U103, "--emit expects mlir, llvm, asm or obj, got ",
                 Quoted(value.str()));
  return absl::OkStatus();
}

static absl::Status setPhase(StringRef value, Options &options) {
  options.prints = true;
  options.phase = parsePhase(value);
  if (!options.phase)
    return Error(Code::U103,
                 "--compile-to expects model, step, local, fused "
                 "or target, got ",
                 Quoted(value.str()));
  return absl::OkStatus();
}

static std::vector<std::string> splitList(StringRef value) {
  std::vector<std::string> names;
  for (StringRef name : llvm::split(value, ','))
    if (!name.trim().empty())
      names.push_back(name.trim().str());
  return names;
}

static absl::Status setBalance(StringRef value, double &coef) {
  if (!value.getAsDouble(coef) && coef >= 0 && coef <= 1000)
    return absl::OkStatus();
  return Error(Code::U103, "--balance expects a number from 0 to 1000, got ",
               Quoted(value.str()));
}

static absl::Status setDropout(StringRef value, double &rate) {
  if (!value.getAsDouble(rate) && rate >= 0 && rate < 1)
    return absl::OkStatus();
  return Error(Code::U103, "--dropout expects a number from 0 to below 1, got ",
               Quoted(value.str()));
}

static absl::Status setRecompute(StringRef value,
                                 std::vector<std::string> &policies) {
  policies = splitList(value);
  for (auto [i, policy] : llvm::enumerate(policies))
    if (!llvm::is_contained({"none", "selective", "full"}, policy) ||
        llvm::is_contained(ArrayRef(policies).take_front(i), policy))
      return Error(Code::U103,
                   "--recompute expects none, selective, full, each once at "
                   "most, got ",
                   Quoted(value.str()));
  return absl::OkStatus();
}

/// Flags of other versions: refused, never ignored.
static Flag refused(std::string name, std::string why) {
  return {name,
          [=](StringRef) { return Error(Code::K111, "--", name, ": ", why); }};
}

static std::vector<Flag> makeFlags(Options &options, std::string &format) {
  CompileOptions &compile = options.compile;
  std::vector<Flag> flags = {
      textFlag("output", options.output, "FILE",
               "where the result goes; with --emit and --compile-to stdout by "
               "default",
               'o'),
      {.name = "entries",
       .set =
           [&](StringRef value) {
             compile.entries = splitList(value);
             return absl::OkStatus();
           },
       .value = "LIST",
       .help = "score, generate, train (default: score,generate); for a file "
               "without a model the names of its functions"},
      textFlag("router", compile.router, "FILE@NAME",
               "use moe.router NAME of FILE in every moe.layer"),
      {.name = "rewrite",
       .set =
           [&](StringRef value) {
             options.rewrite = value.str();
             return ::moe::ParseRecipe(options.rewrite).status();
           },
       .value = "RECIPE",
       .help = "INPUT is the donor of weights that moe-run rewrite makes: "
               "upcycle=E, split=E, prune=LIST, merge=GROUPS or mix, with "
               "options behind commas"},
      {.name = "target",
       .set = [&](StringRef value) { return setTarget(value, compile.levels); },
       .value = "cpu[:LEVEL]",
       .help = "repeatable; LEVEL is x86-64-v3, x86-64-v4, amx or native (what "
               "this machine has); default: cpu, all levels",
       .allowed = {"cpu", "cpu:x86-64-v3", "cpu:x86-64-v4", "cpu:amx",
                   "cpu:native"}},
      choiceFlag("compute", compile.compute, {"f32", "bf16"},
                 "element type of activations; default: as the model"),
      {.name = "balance",
       .set =
           [&](StringRef value) { return setBalance(value, compile.balance); },
       .value = "COEF",
       .help = "with --entries train: routers without a loss get the balance "
               "loss of DeepSeekMoE, times COEF (default: 0, none)"},
      {.name = "dropout",
       .set =
           [&](StringRef value) { return setDropout(value, compile.dropout); },
       .value = "P",
       .help = "with --entries train: drops each element of the branches of "
               "layers, and of what goes into the first, with the probability "
               "P (default: 0)"},
      {.name = "recompute",
       .set =
           [&](StringRef value) {
             return setRecompute(value, compile.recompute);
           },
       .value = "LIST",
       .help = "what gradients compute again instead of keeping it, for "
               "--entries train: none, selective (default), full; of several "
               "a run takes the first that fits",
       .allowed = {"none", "selective", "full"}},
      textFlag("mesh", compile.mesh, "dp=N,ep=N",
               "one program for N ranks that share the experts; every rank "
               "brings its own tokens; default: one device"),
      {.name = "emit",
       .set = [&](StringRef value) { return setEmit(value, options); },
       .value = "KIND",
       .help = "print instead of packing, for the lowest level of --target: "
               "mlir, llvm, asm or obj",
       .allowed = {"mlir", "llvm", "asm", "obj"}},
      {.name = "compile-to",
       .set = [&](StringRef value) { return setPhase(value, options); },
       .value = "PHASE",
       .help = "print the program at the end of a phase: model, step, local, "
               "fused or target",
       .allowed = {"model", "step", "local", "fused", "target"}},
      choiceFlag("diagnostics", format, {"text", "json"},
                 "form of errors (default: text); json is an object per line"),
      toggleFlag("verbose", compile.verbose, "time of each step, on stderr"),
      refused("weights", "this version keeps weights as they are stored"),
      refused("machine", "this version compiles for one device"),
      refused("placement", "this version compiles for one device"),
  };
  llvm::append_range(flags, commonFlags(options.asked));
  return flags;
}

static absl::Status parseOptions(int argc, char **argv, Options &options) {
  std::string format = "text";
  // The form of errors counts for errors of other flags, too.
  for (int i = 1; i < argc; ++i)
    options.json |= StringRef(argv[i]) == "--diagnostics=json";
  options.flags = makeFlags(options, format);
  ASSIGN_OR_RETURN(std::vector<std::string> inputs,
                   parseFlags(argc, argv, options.flags));
  options.json |= format == "json";
  if (options.asked.any())
    return absl::OkStatus();
  if (inputs.empty())
    return Error(Code::U102, "no input: give a Hugging Face folder or a file "
                             "of MLIR text. --help shows the form.");
  if (inputs.size() > 1)
    return Error(Code::U107, "one input at a time, got also ",
                 Quoted(inputs[1]));
  if (options.phase && options.form)
    return Error(Code::U104, "--emit and --compile-to cannot go together");
  if (options.output.empty() && !options.prints)
    return Error(Code::U102, "no output: give -o OUT.moe");
  if (options.form == NativeForm::Object && options.output.empty() &&
      isatty(STDOUT_FILENO))
    return Error(Code::U102, "--emit obj does not write to a terminal: give "
                             "-o FILE");
  if (!options.rewrite.empty() && options.prints)
    return Error(Code::U104, "--rewrite makes a part of a module, and --emit "
                             "and --compile-to make none");
  options.compile.input = inputs[0];
  return absl::OkStatus();
}

/// Nothing is written that the runtime would refuse: a program can name tensors
/// too small for its parameters, or sizes that no machine has.
static absl::StatusOr<std::string> checked(std::string bytes,
                                           const std::string &input) {
  std::string where = ::moe::ShownPath(input);
  ASSIGN_OR_RETURN(auto file, ::moe::ModuleFile::Parse(
                                  std::as_bytes(std::span(bytes)), where));
  absl::Status manifest = ::moe::ReadManifest(file.manifest(), where).status();
  if (!manifest.ok())
    return Error(Code::K102, manifest.message());
  return bytes;
}

static absl::StatusOr<std::string> compile(const Options &options) {
  DialectRegistry registry;
  registerEverything(registry);
  // One thread: passes work on few, large functions, and messages keep their
  // order.
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.printOpOnDiagnostic(false);
  if (options.form) {
    ASSIGN_OR_RETURN(auto bytes,
                     compileNative(context, *options.form, options.compile));
    return std::string(bytes.begin(), bytes.end());
  }
  if (!options.phase) {
    ASSIGN_OR_RETURN(std::string bytes,
                     compileModule(context, options.compile));
    ASSIGN_OR_RETURN(bytes, checked(std::move(bytes), options.compile.input));
    if (options.rewrite.empty())
      return bytes;
    return ::moe::AddRewrite(bytes, options.rewrite);
  }
  ASSIGN_OR_RETURN(auto module,
                   compileTo(context, *options.phase, options.compile));
  std::string printed;
  llvm::raw_string_ostream(printed) << *module << "\n";
  return printed;
}

static absl::Status run(int argc, char **argv, Options &options) {
  RETURN_IF_ERROR(parseOptions(argc, argv, options));
  if (options.asked.any()) {
    ASSIGN_OR_RETURN(std::string text,
                     commonAnswer(options.asked, toolText(), options.flags));
    return writeOutput("-", text);
  }
  options.compile.log = [](const std::string &line) {
    llvm::errs() << "moe-compile: " << line << "\n";
  };
  RETURN_IF_ERROR(checkOutput(options.output));
  ASSIGN_OR_RETURN(std::string bytes, compile(options));
  setCrashStep("writing the output");
  return writeOutput(options.output, bytes);
}

int main(int argc, char **argv) {
  installCrashHandlers("moe-compile");
  Options options;
  absl::Status status = run(argc, argv, options);
  if (!status.ok())
    llvm::errs() << (options.json
                         ? ::moe::FormatErrorJson("moe-compile", status)
                         : ::moe::FormatError("moe-compile", status))
                 << "\n";
  return ::moe::ExitCode(status);
}
