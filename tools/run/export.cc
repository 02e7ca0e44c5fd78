// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run export: a checkpoint of training as a Hugging Face folder.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <system_error>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/mapped_file.h"
#include "lib/core/status_macros.h"
#include "runtime/train/checkpoints.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

namespace fs = std::filesystem;

struct ExportFlags {
  std::string from, to;
};

absl::Status CopyFile(const fs::path& from, const fs::path& to) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(from.string()));
  ASSIGN_OR_RETURN(AtomicFile out,
                   AtomicFile::Create(to.string(), file.bytes().size()));
  RETURN_IF_ERROR(out.Write(file.bytes()));
  return out.Commit();
}

absl::Status Export(const ExportFlags& flags) {
  std::string folder = flags.from;
  std::error_code error;
  if (!fs::exists(fs::path(folder) / "manifest.json", error)) {
    const std::vector<int64_t> steps = CheckpointSteps(folder);
    if (steps.empty())
      return Error(Code::R501, ShownPath(folder),
                   ": has no checkpoint. Give a run of moe-run train.");
    folder = CheckpointFolder(folder, steps.back());
  }
  ASSIGN_OR_RETURN(const Json manifest, CheckCheckpoint(folder));
  fs::create_directories(flags.to, error);
  if (error)
    return Error(Code::F203, ShownPath(flags.to),
                 ": cannot be made: ", error.message());
  // The configuration last: without it the folder is no model.
  for (const char* name : {"model.safetensors", "config.json"})
    RETURN_IF_ERROR(
        CopyFile(fs::path(folder) / name, fs::path(flags.to) / name));
  return Print(Joined("exported ", folder, " to ", flags.to, "\n"));
}

}  // namespace

Action AddExport(CLI::App& app) {
  auto flags = std::make_shared<ExportFlags>();
  app.add_option("RUN", flags->from, "a run, or one of its folders step-N")
      ->required();
  app.add_option("DIR", flags->to, "the folder to write")->required();
  app.footer(
      "Writes config.json and model.safetensors as Hugging Face names them.\n\n"
      "Example:\n"
      "  moe-run export run exported");
  return [flags] { return Export(*flags); };
}

}  // namespace moe::run
