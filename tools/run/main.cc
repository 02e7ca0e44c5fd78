// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/main.h"

#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "lib/core/completion.h"
#include "lib/core/errors.h"
#include "lib/core/module_file.h"
#include "lib/core/status_macros.h"
#include "runtime/include/moe/abi.h"
#include "tools/run/command.h"
#include "tools/run/help.h"
#include "tools/run/nearest.h"

namespace moe::run {
namespace {

constexpr char kTool[] = "moe-run";
constexpr char kVersion[] = "0.1.0";

struct Command {
  const char* name;
  const char* summary;
  Action (*add)(CLI::App& app);
};

constexpr Command kCommands[] = {
    {"generate", "continue a prompt", AddGenerate},
    {"score", "negative log-likelihood of given tokens", AddScore},
    {"train", "train on a file, with checkpoints", AddTrain},
    {"report", "tables and pictures of a training run", AddReport},
    {"export", "write a checkpoint as a Hugging Face folder", AddExport},
    {"rewrite", "make the weights that --rewrite describes", AddRewrite},
    {"grad", "one backward pass: loss and gradients", AddGrad},
    {"call", "run any entry on tensors from a file", AddCall},
    {"bench", "measure tokens per second", AddBench},
    {"trace-routing", "record which experts real tokens go to",
     AddTraceRouting},
    {"plan", "tell what a run will need, before it starts", AddPlan},
    {"inspect", "list what a module holds; runs nothing", AddInspect},
    {"explain", "print the page of an error code", AddExplain},
};

int Report(const absl::Status& status, bool as_json) {
  const std::string line =
      as_json ? FormatErrorJson(kTool, status) : FormatError(kTool, status);
  fprintf(stderr, "%s\n", line.c_str());
  return ExitCode(status);
}

// Every name of every option: "--weights", "-o".
std::vector<std::string> FlagsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      names.push_back("--" + name);
    for (const std::string& name : option->get_snames())
      names.push_back("-" + name);
  }
  return names;
}

std::string Suggestion(const std::string& given,
                       const std::vector<std::string>& names) {
  const std::string nearest = Nearest(given, names);
  return nearest.empty() ? "" : Joined(". Did you mean ", nearest, "?");
}

absl::Status ExtraArgument(const CLI::App& app, const std::string& given) {
  const std::string help =
      Joined(". See ", kTool, " ", app.get_name(), " --help");
  if (given.size() > 1 && given[0] == '-') {
    const std::string flag = given.substr(0, given.find('='));
    const std::string nearest = Suggestion(flag, FlagsOf(app));
    return Error(Code::U101, app.get_name(), ": unknown flag ", Quoted(flag),
                 nearest.empty() ? help : nearest);
  }
  return Error(Code::U107, app.get_name(), ": unexpected argument ",
               Quoted(given), help);
}

// What CLI11 throws, in our words.
absl::Status UsageError(const CLI::App& root, const CLI::ParseError& error) {
  for (const CLI::App* app : root.get_subcommands()) {
    const std::vector<std::string> extra = app->remaining();
    if (!extra.empty()) return ExtraArgument(*app, extra.front());
    const std::string where = Joined(app->get_name(), ": ");
    if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr ||
        dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr)
      return Error(Code::U102, where, error.what());
    if (dynamic_cast<const CLI::ExcludesError*>(&error) != nullptr)
      return Error(Code::U104, where, error.what());
    return Error(Code::U103, where, error.what());
  }
  const std::vector<std::string> extra = root.remaining();
  if (extra.empty()) return Error(Code::U103, error.what());
  if (extra.front().starts_with("-"))
    return Error(Code::U101, "unknown flag ", Quoted(extra.front()),
                 Suggestion(extra.front(), FlagsOf(root)));
  std::vector<std::string> names;
  for (const Command& command : kCommands) names.push_back(command.name);
  const std::string nearest = Suggestion(extra.front(), names);
  return Error(Code::U105, "unknown command ", Quoted(extra.front()),
               nearest.empty() ? Joined(". See ", kTool, " --help") : nearest);
}

// Takes --diagnostics=json out of the arguments: it holds for errors in them.
bool TakeDiagnostics(std::vector<std::string>& arguments) {
  bool json = false;
  std::erase_if(arguments, [&](const std::string& argument) {
    json |= argument == "--diagnostics=json";
    return argument == "--diagnostics=json" || argument == "--diagnostics=text";
  });
  return json;
}

void OnInterrupt(int) { _exit(kExitInterrupted); }

std::string VersionText() {
  return Joined(kTool, " ", kVersion, " (module format ", kModuleVersion,
                ", manifest ", kManifestFormat, ", ABI ", MOE_ABI_VERSION, ")");
}

absl::Status Dispatch(std::vector<std::string> arguments) {
  CLI::App app("Runs modules made by moe-compile.", kTool);
  app.set_version_flag("--version", VersionText());
  bool help_json = false;
  app.add_flag("--help-json", help_json,
               "Print all commands and flags as JSON");
  std::string completion;
  app.add_option("--completion", completion,
                 "Print a completion script: bash, zsh, fish")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("SHELL");
  app.formatter(MakeFormatter());
  app.footer(
      "Every command takes --help. --diagnostics=json makes errors JSON.\n"
      "Exit codes: 0 ok, 1 failed, 2 usage, 3 bad input file, 4 memory or\n"
      "disk, 5 unsupported, 7 numerics, 70 our bug, 130 interrupted.\n\n"
      "Examples:\n"
      "  moe-run generate out.moe --weights DIR --prompt 'ROMEO:' -n 100\n"
      "  moe-run score out.moe --weights DIR --ids rows.json -o json\n"
      "  moe-run explain MOE-W101");
  std::map<const CLI::App*, Action> actions;
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    sub->formatter(app.get_formatter());
    actions[sub] = command.add(*sub);
  }
  app.require_subcommand(0, 1);
  // CLI11 takes the arguments in reverse.
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    return Print((chosen.empty() ? &app : chosen.front())->help());
  } catch (const CLI::CallForVersion&) {
    return Print(VersionText() + "\n");
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error);
  }
  if (help_json) return PrintJson(HelpJson(app));
  if (!completion.empty()) {
    ASSIGN_OR_RETURN(const std::string script,
                     CompletionScript(HelpJson(app), completion));
    return Print(script);
  }
  if (app.get_subcommands().empty())
    return Error(Code::U102, "give a command. See ", kTool, " --help");
  return actions[app.get_subcommands().front()]();
}

}  // namespace

int Main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of writing
  signal(SIGINT, OnInterrupt);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool json = TakeDiagnostics(arguments);
  absl::Status status;
  try {
    status = Dispatch(std::move(arguments));
  } catch (const std::bad_alloc&) {
    status = Error(Code::R101, "memory ran out");
  } catch (const std::exception& error) {
    status = Error(Code::I002, error.what());
  }
  return status.ok() ? kExitOk : Report(status, json);
}

}  // namespace moe::run
