// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run call: runs any entry on tensors from a file.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "lib/core/errors.h"
#include "lib/core/safetensors.h"
#include "lib/core/status_macros.h"
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
};

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

absl::Status Call(const CallFlags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   OpenEngine(flags.common));
  RETURN_IF_ERROR(engine->manifest().GetEntry(flags.entry).status());
  std::vector<TensorView> inputs;
  std::optional<SafetensorsFile> file;
  if (!flags.inputs.empty()) {
    ASSIGN_OR_RETURN(file, SafetensorsFile::Open(flags.inputs));
    for (const Tensor& tensor : file->tensors())
      inputs.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.data});
  }
  RETURN_IF_ERROR(LoadWeightsIfAny(*engine, flags.common));
  ASSIGN_OR_RETURN(EntryCall call,
                   EntryCall::Prepare(*engine, flags.entry, inputs));
  for (const std::string& name : call.unused())
    Note(Joined("the entry has no input ", Quoted(name), "; not used"));
  Timing timing;
  for (int i = 0; i < flags.repeat; ++i) {
    const double start = Now();
    RETURN_IF_ERROR(call.Run());
    timing.Add(Now() - start);
  }
  if (!flags.outputs.empty())
    RETURN_IF_ERROR(WriteOutputs(call, flags.outputs));
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
