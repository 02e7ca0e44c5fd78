// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/command.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/memory_stats.h"

namespace moe::run {
namespace {

// "a, b, c and 4 more".
std::string Listed(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  std::string text;
  for (size_t i = 0; i < names.size() && i < kShown; ++i)
    text += (i == 0 ? "" : ", ") + Quoted(names[i], 40);
  if (names.size() > kShown)
    text += Joined(" and ", names.size() - kShown, " more");
  return text;
}

void TellWhatWasRead(const WeightReport& report, const std::string& dir,
                     double seconds) {
  std::string text =
      Joined("read ", report.tensors_read, " tensors from ", Escaped(dir), ": ",
             FormatBytes(report.mapped_bytes), " used in place, ",
             FormatBytes(report.packed_bytes), " packed, in ",
             Fixed(seconds, 2), " s");
  if (!report.unused_tensors.empty())
    text += Joined("; tensors not used: ", Listed(report.unused_tensors));
  if (!report.unused_files.empty())
    text += Joined("; files not used: ", Listed(report.unused_files));
  Note(text);
}

}  // namespace

void AddModuleFlags(CLI::App& app, CommonFlags& flags) {
  app.add_option("MODULE", flags.module, "module made by moe-compile")
      ->required();
  app.add_option("--threads", flags.threads,
                 "threads to run on [all processors]")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  app.add_option("--device", flags.device, "where to run: cpu")
      ->type_name("DEVICE")
      ->capture_default_str();
  app.add_option("--isa", flags.isa,
                 "code to run: x86-64-v3, x86-64-v4, amx [best]")
      ->type_name("LEVEL");
  app.add_option("--max-memory", flags.max_memory,
                 "most to use, such as 8GiB [what there is]")
      ->type_name("BYTES");
}

void AddWeightFlags(CLI::App& app, CommonFlags& flags) {
  auto* dir = app.add_option("--weights", flags.weights,
                             "Hugging Face folder with the weights")
                  ->type_name("DIR");
  app.add_option("--random-weights", flags.random_weights,
                 "values from a seed instead, made in place")
      ->type_name("SEED")
      ->excludes(dir);
}

void AddOutputFlag(CLI::App& app, CommonFlags& flags,
                   std::vector<std::string> values) {
  flags.output = values.front();
  std::string text = "form of the answer: ";
  for (size_t i = 0; i < values.size(); ++i)
    text += (i == 0 ? "" : ", ") + values[i];
  app.add_option("-o,--output", flags.output, text)
      ->check(CLI::IsMember(std::move(values)))
      ->type_name("FORM")
      ->capture_default_str();
}

absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(const CommonFlags& flags,
                                                   Channel* channel) {
  if (flags.device != "cpu")
    return Error(Code::D102, "no device ", Quoted(flags.device),
                 " here: this build runs on --device cpu");
  EngineOptions options;
  options.threads = flags.threads;
  options.channel = channel;
  if (!flags.isa.empty()) {
    options.isa = IsaFromName(flags.isa);
    if (!options.isa)
      return Error(Code::U103, "--isa: expected x86-64-v3, x86-64-v4 or amx, ",
                   "found ", Quoted(flags.isa));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine,
                   Engine::Open(flags.module, options));
  if (flags.threads > engine->pool().size())
    return Error(Code::R106, "only ", engine->pool().size(), " of ",
                 flags.threads, " threads could be started");
  return engine;
}

absl::Status LoadWeights(Engine& engine, const CommonFlags& flags, bool tell) {
  const double start = Now();
  if (flags.random_weights)
    return engine.MakeRandomWeights(*flags.random_weights);
  if (flags.weights.empty())
    return Error(Code::U102, "give --weights DIR or --random-weights SEED");
  RETURN_IF_ERROR(engine.LoadWeights(flags.weights));
  if (tell)
    TellWhatWasRead(engine.weights()->report(), flags.weights, Now() - start);
  return absl::OkStatus();
}

absl::Status LoadWeightsIfAny(Engine& engine, const CommonFlags& flags,
                              bool tell) {
  const bool given = flags.random_weights || !flags.weights.empty();
  if (!given && engine.manifest().params.empty()) return absl::OkStatus();
  return LoadWeights(engine, flags, tell);
}

absl::StatusOr<const ModelSpec*> GetModel(const Engine& engine) {
  if (engine.manifest().model) return &*engine.manifest().model;
  return Error(Code::U108, "the module holds functions, not a model: use ",
               "moe-run call");
}

absl::StatusOr<int64_t> MaxMemory(const CommonFlags& flags) {
  if (flags.max_memory.empty()) return 0;
  return ReadSize(flags.max_memory, "--max-memory");
}

absl::StatusOr<int64_t> ReadSize(const std::string& text,
                                 std::string_view flag) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string unit(stop, end);
  constexpr std::pair<const char*, double> kUnits[] = {
      {"", 1},         {"K", 0x1p10},   {"KiB", 0x1p10}, {"KB", 1e3},
      {"M", 0x1p20},   {"MiB", 0x1p20}, {"MB", 1e6},     {"G", 0x1p30},
      {"GiB", 0x1p30}, {"GB", 1e9},     {"T", 0x1p40},   {"TiB", 0x1p40},
      {"TB", 1e12}};
  for (const auto& [name, factor] : kUnits)
    if (error == std::errc() && unit == name && number * factor >= 1 &&
        number * factor < 0x1p62)
      return static_cast<int64_t>(number * factor);
  return Error(Code::U103, flag, ": expected a size such as 8GiB, found ",
               Quoted(text));
}

absl::Status CheckOutput(const std::string& path) {
  return path.empty() ? absl::OkStatus() : AtomicFile::Create(path).status();
}

absl::Status Print(std::string_view text) { return WriteStdout(text); }

absl::Status PrintJson(const Json& value) {
  return Print(DumpJson(value) + "\n");
}

void Note(std::string_view text) {
  const std::string line = Joined("moe-run: ", text, "\n");
  fwrite(line.data(), 1, line.size(), stderr);
}

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string Fixed(double value, int digits) {
  char text[64];
  snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace moe::run
