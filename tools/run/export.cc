// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run export: a checkpoint of training as a Hugging Face folder.
#include <CLI/CLI.hpp>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include "lib/core/checkpoint.h"
#include "lib/core/errors.h"
#include "lib/core/model_folder.h"
#include "lib/core/safetensors.h"
#include "lib/core/status_macros.h"
#include "runtime/train/checkpoints.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

namespace fs = std::filesystem;

struct ExportFlags {
  std::string from, to, shard_bytes = "5GB";
};

// The tensors of a file, which must outlive them.
std::vector<ModelTensor> TensorsOf(const SafetensorsFile& file) {
  std::vector<ModelTensor> tensors;
  for (const Tensor& tensor : file.tensors())
    tensors.push_back({tensor.name, tensor.dtype, tensor.shape,
                       [&tensor](std::span<std::byte> out) {
                         std::memcpy(out.data(), tensor.data, out.size());
                         return absl::OkStatus();
                       }});
  return tensors;
}

absl::Status Export(const ExportFlags& flags) {
  ASSIGN_OR_RETURN(const int64_t shard_bytes,
                   ReadSize(flags.shard_bytes, "--shard-bytes"));
  std::string folder = flags.from;
  std::error_code error;
  if (!fs::exists(fs::path(folder) / "manifest.json", error)) {
    const std::vector<int64_t> steps = CheckpointSteps(folder);
    if (steps.empty())
      return Error(Code::R501, ShownPath(folder),
                   ": has no checkpoint. Give a run of moe-run train.");
    folder = CheckpointFolder(folder, steps.back());
  }
  RETURN_IF_ERROR(CheckCheckpoint(folder).status());
  const fs::path from(folder);
  ASSIGN_OR_RETURN(
      const SafetensorsFile file,
      SafetensorsFile::Open((from / "model.safetensors").string()));
  ASSIGN_OR_RETURN(const Json config, ReadConfig(folder));
  ModelFolderOptions options;
  options.shard_bytes = static_cast<uint64_t>(shard_bytes);
  options.replace = true;
  RETURN_IF_ERROR(WriteModelFolder(flags.to, config, TensorsOf(file), options));
  return Print(Joined("exported ", folder, " to ", flags.to, "\n"));
}

}  // namespace

Action AddExport(CLI::App& app) {
  auto flags = std::make_shared<ExportFlags>();
  app.add_option("RUN", flags->from, "a run, or one of its folders step-N")
      ->required();
  app.add_option("DIR", flags->to, "the folder to write")->required();
  app.add_option("--shard-bytes", flags->shard_bytes,
                 "most bytes of tensors in a file")
      ->type_name("BYTES")
      ->capture_default_str();
  app.footer(
      "Writes config.json and safetensors as Hugging Face names them: one "
      "file,\n"
      "or shards with an index. A model that is in DIR is replaced.\n\n"
      "Example:\n"
      "  moe-run export run exported");
  return [flags] { return Export(*flags); };
}

}  // namespace moe::run
