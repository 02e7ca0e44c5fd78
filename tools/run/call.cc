// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run call: runs any entry on tensors from a file.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <memory>

#include "lib/core/errors.h"
#include "lib/core/safetensors.h"
#include "lib/core/status_macros.h"
#include "runtime/channel/sim.h"
#include "runtime/entry_call.h"
#include "runtime/memory_stats.h"
#include "runtime/shape_text.h"
#include "tools/run/command.h"
#include "tools/run/timing.h"

namespace moe::run {
namespace {

struct CallFlags {
  CommonFlags common;
  std::string entry, inputs, outputs;
  int repeat = 1;
  std::string channel;
};

// |path| with {rank} filled in.
std::string OfRank(std::string path, int rank) {
  constexpr std::string_view kRank = "{rank}";
  const size_t at = path.find(kRank);
  if (at != std::string::npos)
    path.replace(at, kRank.size(), std::to_string(rank));
  return path;
}

// Ranks of "sim:N"; 1 if |text| is empty. U103.
absl::StatusOr<int> ChannelRanks(const std::string& text) {
  if (text.empty()) return 1;
  int ranks = 0;
  const char* end = text.data() + text.size();
  if (text.starts_with("sim:")) {
    const auto [stop, error] = std::from_chars(text.data() + 4, end, ranks);
    if (error == std::errc() && stop == end && ranks >= 1 && ranks <= 64)
      return ranks;
  }
  return Error(Code::U103, "--channel takes sim:N with N from 1 to 64, got ",
               Quoted(text));
}

absl::Status WriteOutputs(const EntryCall& call, const std::string& path) {
  SafetensorsWriter writer;
  for (const TensorView& out : call.outputs()) {
    const int64_t bytes = ByteCount(out.dtype, out.shape).value_or(0);
    writer.Add(
        out.name, out.dtype, out.shape,
        {static_cast<const std::byte*>(out.data), static_cast<size_t>(bytes)});
  }
  return writer.Write(path);
}

// One rank's part; the first rank tells about it.
absl::Status CallOnRank(const CallFlags& flags, Channel* channel) {
  const int rank = channel == nullptr ? 0 : channel->rank();
  const std::string output_path = OfRank(flags.outputs, rank);
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   OpenEngine(flags.common, channel));
  RETURN_IF_ERROR(engine->manifest().GetEntry(flags.entry).status());
  std::vector<TensorView> inputs;
  std::optional<SafetensorsFile> file;
  if (!flags.inputs.empty()) {
    ASSIGN_OR_RETURN(file, SafetensorsFile::Open(OfRank(flags.inputs, rank)));
    for (const Tensor& tensor : file->tensors())
      inputs.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.data});
  }
  RETURN_IF_ERROR(CheckOutput(output_path));
  RETURN_IF_ERROR(LoadWeightsIfAny(*engine, flags.common, rank == 0));
  ASSIGN_OR_RETURN(EntryCall call,
                   EntryCall::Prepare(*engine, flags.entry, inputs));
  for (const std::string& name : call.unused())
    if (rank == 0)
      Note(Joined("the entry has no input ", Quoted(name), "; not used"));
  Timing timing;
  for (int i = 0; i < flags.repeat; ++i) {
    const double start = Now();
    RETURN_IF_ERROR(call.Run());
    timing.Add(Now() - start);
  }
  if (!output_path.empty()) RETURN_IF_ERROR(WriteOutputs(call, output_path));
  if (rank != 0) return absl::OkStatus();
  if (flags.common.output == "json") {
    Json outputs = Json::object();
    for (const TensorView& out : call.outputs())
      outputs[out.name] = {{"dtype", DTypeName(out.dtype)},
                           {"shape", out.shape}};
    return PrintJson({{"entry", flags.entry},
                      {"repeat", flags.repeat},
                      {"threads", engine->pool().size()},
                      {"isa", IsaName(engine->module().isa())},
                      {"seconds", timing.Median()},
                      {"p10", timing.Quantile(0.1)},
                      {"p90", timing.Quantile(0.9)},
                      {"cv", timing.Variation()},
                      {"outputs", outputs},
                      {"peak_bytes", PeakBytes()}});
  }
  for (const TensorView& out : call.outputs())
    RETURN_IF_ERROR(Print(Joined(Escaped(out.name), " ", DTypeName(out.dtype),
                                 " ", ShapeText(out.shape), "\n")));
  if (flags.repeat > 1)
    RETURN_IF_ERROR(Print(Joined("median of ", flags.repeat, ": ",
                                 Fixed(timing.Median() * 1e3, 4), " ms\n")));
  return absl::OkStatus();
}

absl::Status Call(CallFlags flags) {
  ASSIGN_OR_RETURN(const int ranks, ChannelRanks(flags.channel));
  if (ranks == 1) return CallOnRank(flags, nullptr);
  if (!flags.outputs.empty() &&
      flags.outputs.find("{rank}") == std::string::npos)
    return Error(Code::U103, "--outputs of ", ranks, " ranks needs a path ",
                 "with {rank}, got ", Quoted(flags.outputs));
  const int threads =
      flags.common.threads > 0 ? flags.common.threads : AvailableProcessors();
  flags.common.threads = std::max(1, threads / ranks);
  SimGroup group(ranks);
  return group.Run(
      [&](Channel& channel) { return CallOnRank(flags, &channel); });
}

}  // namespace

Action AddCall(CLI::App& app) {
  auto flags = std::make_shared<CallFlags>();
  AddModuleFlags(app, flags->common);
  app.add_option("ENTRY", flags->entry, "entry to run; inspect lists them")
      ->required();
  AddWeightFlags(app, flags->common);
  app.add_option("--inputs", flags->inputs, "tensors under their names")
      ->type_name("FILE.safetensors");
  app.add_option("--outputs", flags->outputs, "write the results")
      ->type_name("FILE.safetensors");
  app.add_option("--repeat", flags->repeat, "run so often and time it")
      ->check(CLI::Range(1, 1000000000))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--channel", flags->channel,
                 "sim:N runs N ranks in this process, for a module\n"
                 "compiled with --mesh; {rank} in --inputs and\n"
                 "--outputs is the number of each, from 0")
      ->type_name("CHANNEL");
  AddOutputFlag(app, flags->common, {"text", "json"});
  app.footer(
      "Inputs 'positions' and 'cu_seqlens' may be left out: then the tokens "
      "are\n"
      "one sequence. With -o json, \"seconds\" is the median of the "
      "repeats.\n\n"
      "Example:\n"
      "  moe-run call out.moe f --inputs in.safetensors --repeat 20 -o json");
  return [flags] { return Call(*flags); };
}

}  // namespace moe::run
