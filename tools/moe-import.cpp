// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Hugging Face folder -> MLIR of the model phase.
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "lib/driver/crash.h"
#include "lib/driver/flags.h"
#include "lib/driver/output.h"
#include "lib/frontend/import.h"

#include "mlir/IR/MLIRContext.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::moe;
using llvm::StringRef;
using ::moe::Code;
using ::moe::Error;
using ::moe::Quoted;

namespace {
struct Options {
  std::string folder, output = "-", name, diagnostics = "text";
  bool followLinks = false, quiet = false, json = false;
  CommonFlags asked;
  std::vector<Flag> flags;
};
} // namespace

static ToolText toolText() {
  return {.name = "moe-import",
          .form = "DIR [-o FILE] [options]",
          .about = "Writes the model of a Hugging Face folder as MLIR. Reads "
                   "config.json and the\nheaders of *.safetensors; weights are "
                   "neither read nor copied.\n",
          .argument = "DIR",
          .argumentHelp = "folder with config.json and *.safetensors",
          .footer = wrapped("model types:",
                            llvm::join(supportedModelTypes(), ", "), 13) +
                    R"(
exit codes: 0 done, 1 failed, 2 usage, 3 bad input, 4 no memory or disk,
5 not supported, 70 a bug of ours

examples:
  moe-import models/tiny/tiny-mixtral -o model.mlir
  moe-import ~/models/deepseek-v2-lite --name lite | moe-opt --moe-to-step
)"};
}

static std::vector<Flag> makeFlags(Options &options) {
  std::vector<Flag> flags = {
      textFlag("output", options.output, "FILE",
               "where the result goes (default: -, that is stdout)", 'o'),
      textFlag("name", options.name, "NAME",
               "name of the model (default: that of the folder)"),
      toggleFlag("follow-links", options.followLinks,
                 "open files through symbolic links, for folders you trust "
                 "(default: refused)"),
      toggleFlag("quiet", options.quiet,
                 "do not say what was read and what was not used"),
      choiceFlag("diagnostics", options.diagnostics, {"text", "json"},
                 "form of errors (default: text); json is an object per line"),
  };
  llvm::append_range(flags, commonFlags(options.asked));
  return flags;
}

static absl::Status parseOptions(int argc, char **argv, Options &options) {
  // The form of errors counts for errors of other flags, too.
  for (int i = 1; i < argc; ++i)
    options.json |= StringRef(argv[i]) == "--diagnostics=json";
  options.flags = makeFlags(options);
  ASSIGN_OR_RETURN(std::vector<std::string> inputs,
                   parseFlags(argc, argv, options.flags));
  options.json |= options.diagnostics == "json";
  if (options.asked.any())
    return absl::OkStatus();
  if (inputs.empty())
    return Error(Code::U102, "DIR is required. --help shows the form.");
  if (inputs.size() > 1)
    return Error(Code::U107, "argument ", Quoted(inputs[1]),
                 " is one too many: a single folder is taken.");
  options.folder = inputs[0];
  return absl::OkStatus();
}

static absl::Status run(int argc, char **argv, Options &options) {
  RETURN_IF_ERROR(parseOptions(argc, argv, options));
  if (options.asked.any()) {
    ASSIGN_OR_RETURN(std::string text,
                     commonAnswer(options.asked, toolText(), options.flags));
    return writeOutput("-", text);
  }
  RETURN_IF_ERROR(checkOutput(options.output));
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  ImportReport report;
  ASSIGN_OR_RETURN(
      auto module,
      importFolder(context, options.folder,
                   {.name = options.name, .followLinks = options.followLinks},
                   &report));
  if (!options.quiet)
    for (const std::string &line : report.lines)
      llvm::errs() << "moe-import: " << line << "\n";
  std::string text;
  llvm::raw_string_ostream(text) << *module << "\n";
  return writeOutput(options.output, text);
}

int main(int argc, char **argv) {
  installCrashHandlers("moe-import");
  setCrashStep("the import");
  Options options;
  absl::Status status = run(argc, argv, options);
  if (!status.ok())
    llvm::errs() << (options.json ? ::moe::FormatErrorJson("moe-import", status)
                                  : ::moe::FormatError("moe-import", status))
                 << "\n";
  return ::moe::ExitCode(status);
}
