// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Hugging Face folder -> MLIR of the model phase. Exit codes: 0 done, 2 usage,
// 3 bad input, 4 no disk, 5 not supported.
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "lib/driver/crash.h"
#include "lib/driver/output.h"
#include "lib/frontend/import.h"

#include "mlir/IR/MLIRContext.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

using ::moe::Code;
using ::moe::Error;
using ::moe::Quoted;

namespace {

struct Flags {
  std::string folder, output = "-", name, diagnostics = "text";
  bool followLinks = false, quiet = false;
};

/// --help is this text rather than CLI11's.
class Help : public CLI::Formatter {
public:
  std::string make_help(const CLI::App *, std::string,
                        CLI::AppFormatMode) const override {
    return "usage: moe-import DIR [-o FILE] [options]\n"
           "\n"
           "Writes the model of a Hugging Face folder as MLIR. Reads "
           "config.json and the\nheaders of *.safetensors; weights are neither "
           "read nor copied.\n"
           "\n"
           "  DIR                    folder with config.json and "
           "*.safetensors\n"
           "  -o, --output FILE      where the result goes (default: -, that "
           "is "
           "stdout)\n"
           "  --name NAME            name of the model (default: that of the "
           "folder)\n"
           "  --follow-links         open files through symbolic links, for "
           "folders you\n"
           "                         trust (default: refused)\n"
           "  --quiet                do not say what was read and what was not "
           "used\n"
           "  --diagnostics FORM     text or json (default: text)\n"
           "  -h, --help             this text\n"
           "\n"
           "model types: " +
           llvm::join(mlir::moe::supportedModelTypes(), ", ") +
           "\n"
           "\n"
           "exit codes: 0 done, 2 usage, 3 bad input, 4 no disk, 5 not "
           "supported\n"
           "\n"
           "examples:\n"
           "  moe-import models/tiny/tiny-mixtral -o model.mlir\n"
           "  moe-import ~/models/deepseek-v2-lite --name lite | moe-opt "
           "--moe-to-step\n";
  }
};

/// What CLI11 found wrong, in our words.
absl::Status usageError(const CLI::App &app, const CLI::ParseError &error,
                        llvm::ArrayRef<std::string> arguments) {
  if (dynamic_cast<const CLI::ExtrasError *>(&error) == nullptr) {
    bool missing = error.get_name() == "RequiredError" ||
                   error.get_name() == "ArgumentMismatch";
    return Error(missing ? Code::U102 : Code::U103, error.what(),
                 ". --help shows the form.");
  }
  std::vector<std::string> extras = app.remaining();
  std::string extra = extras.empty() ? arguments.back() : extras.front();
  if (!llvm::StringRef(extra).starts_with("-"))
    return Error(Code::U107, "argument ", Quoted(extra),
                 " is one too many: a single folder is taken.");
  std::string best;
  unsigned distance = 4;
  for (const CLI::Option *option : app.get_options())
    for (const std::string &name : option->get_lnames()) {
      unsigned d =
          llvm::StringRef(extra).ltrim('-').split('=').first.edit_distance(
              name);
      if (d < distance) {
        distance = d;
        best = name;
      }
    }
  if (best.empty())
    return Error(Code::U101, "unknown flag ", Quoted(extra), ". See --help.");
  return Error(Code::U101, "unknown flag ", Quoted(extra), ". Did you mean --",
               best, "?");
}

absl::Status run(const Flags &flags) {
  RETURN_IF_ERROR(mlir::moe::checkOutput(flags.output));
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  mlir::moe::ImportReport report;
  auto module = mlir::moe::importFolder(
      context, flags.folder,
      {.name = flags.name, .followLinks = flags.followLinks}, &report);
  if (!module.ok())
    return module.status();
  if (!flags.quiet)
    for (const std::string &line : report.lines)
      llvm::errs() << "moe-import: " << line << "\n";
  std::string text;
  llvm::raw_string_ostream(text) << **module << "\n";
  return mlir::moe::writeOutput(flags.output, text);
}

} // namespace

int main(int argc, char **argv) {
  mlir::moe::installCrashHandlers("moe-import");
  mlir::moe::setCrashStep("the import");
  Flags flags;
  CLI::App app;
  app.formatter(std::make_shared<Help>());
  app.add_option("DIR", flags.folder)->required();
  app.add_option("-o,--output", flags.output);
  app.add_option("--name", flags.name);
  app.add_flag("--follow-links", flags.followLinks);
  app.add_flag("--quiet", flags.quiet);
  app.add_option("--diagnostics", flags.diagnostics)
      ->check(CLI::IsMember({"text", "json"}));
  std::vector<std::string> arguments(argv + 1, argv + argc);
  absl::Status status;
  try {
    app.parse(argc, argv);
    status = run(flags);
  } catch (const CLI::CallForHelp &) {
    llvm::outs() << app.help();
    return 0;
  } catch (const CLI::ParseError &error) {
    status = usageError(app, error, arguments);
  }
  if (status.ok())
    return 0;
  llvm::errs() << (flags.diagnostics == "json"
                       ? ::moe::FormatErrorJson("moe-import", status)
                       : ::moe::FormatError("moe-import", status))
               << "\n";
  return ::moe::ExitCode(status);
}
