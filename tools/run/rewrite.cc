// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run rewrite: donors become the checkpoint that moe-compile --rewrite
// described.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "lib/core/errors.h"
#include "lib/core/model_folder.h"
#include "lib/core/module_file.h"
#include "lib/core/status_macros.h"
#include "runtime/memory_stats.h"
#include "runtime/rewrite/rewriter.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

struct RewriteFlags {
  std::string module, out, shard_bytes = "5GB";
  std::vector<std::string> weights;
};

absl::StatusOr<RewritePlan> ReadPlan(const std::string& path) {
  ASSIGN_OR_RETURN(const ModuleFile file, ModuleFile::Open(path));
  const ModuleSection* section = file.Find(kRewriteSection);
  if (section == nullptr)
    return Error(Code::U108, ShownPath(path),
                 ": makes no weights. Compile the donor with moe-compile "
                 "--rewrite RECIPE.");
  ASSIGN_OR_RETURN(
      const Json json,
      ParseJson({reinterpret_cast<const char*>(section->bytes.data()),
                 section->bytes.size()},
                path, {.max_bytes = uint64_t{1} << 30}));
  return ReadRewritePlan(json, ShownPath(path));
}

// A line each 30 seconds.
class Progress {
 public:
  Progress(size_t tensors, uint64_t bytes) : tensors_(tensors), all_(bytes) {}

  void Tell(const ModelTensor& tensor) {
    if (Now() - told_ >= 30) {
      told_ = Now();
      Note(Joined("tensor ", done_ + 1, " of ", tensors_, ", ",
                  FormatBytes(static_cast<int64_t>(bytes_)), " of ",
                  FormatBytes(static_cast<int64_t>(all_)), ": ",
                  Escaped(tensor.name)));
    }
    ++done_;
    bytes_ += static_cast<uint64_t>(
        ByteCount(tensor.dtype, tensor.shape).value_or(0));
  }

 private:
  size_t tensors_, done_ = 0;
  uint64_t all_, bytes_ = 0;
  double told_ = Now();
};

absl::Status Rewrite(const RewriteFlags& flags) {
  ASSIGN_OR_RETURN(const int64_t shard_bytes,
                   ReadSize(flags.shard_bytes, "--shard-bytes"));
  ASSIGN_OR_RETURN(RewritePlan plan, ReadPlan(flags.module));
  RETURN_IF_ERROR(CheckNewFolder(flags.out));
  ASSIGN_OR_RETURN(const std::unique_ptr<Rewriter> rewriter,
                   Rewriter::Open(std::move(plan), flags.weights));
  const std::vector<ModelTensor> tensors = rewriter->Tensors();
  uint64_t bytes = 0;
  for (const ModelTensor& tensor : tensors)
    bytes += static_cast<uint64_t>(*ByteCount(tensor.dtype, tensor.shape));
  std::string unused;
  for (const std::string& name : rewriter->Unused())
    unused += (unused.empty() ? "; tensors not used: " : ", ") + Escaped(name);
  Note(Joined(rewriter->plan().recipe, ": ", tensors.size(), " tensors, ",
              FormatBytes(static_cast<int64_t>(bytes)), ", from ",
              flags.weights.size(), " folder(s)", unused));
  Progress progress(tensors.size(), bytes);
  ModelFolderOptions options;
  options.shard_bytes = static_cast<uint64_t>(shard_bytes);
  if (!rewriter->plan().expert_map.empty())
    options.notes["expert_map.json"] = {
        {"recipe", rewriter->plan().recipe},
        {"layers", rewriter->plan().expert_map}};
  options.progress = [&](const ModelTensor& tensor) { progress.Tell(tensor); };
  RETURN_IF_ERROR(
      WriteModelFolder(flags.out, rewriter->config(), tensors, options));
  return Print(
      Joined("wrote ", tensors.size(), " tensors to ", flags.out, "\n"));
}

}  // namespace

Action AddRewrite(CLI::App& app) {
  auto flags = std::make_shared<RewriteFlags>();
  app.add_option("MODULE", flags->module,
                 "module made by moe-compile --rewrite")
      ->required();
  app.add_option("--weights", flags->weights,
                 "a donor's Hugging Face folder; for mix once for each donor")
      ->required()
      ->expected(1)
      ->take_all()
      ->type_name("DIR");
  app.add_option("--out", flags->out,
                 "the folder to write, which must not exist")
      ->required()
      ->type_name("DIR");
  app.add_option("--shard-bytes", flags->shard_bytes,
                 "most bytes of tensors in a file")
      ->type_name("BYTES")
      ->capture_default_str();
  app.footer(
      "Writes config.json and safetensors of the new model, a tensor at a\n"
      "time; the folder appears when it is complete. expert_map.json has, for\n"
      "each layer, the new number of each old expert that was kept or merged,\n"
      "or -1.\n\n"
      "Example:\n"
      "  moe-compile DENSE --rewrite upcycle=8 -o up.moe\n"
      "  moe-run rewrite up.moe --weights DENSE --out MOE");
  return [flags] { return Rewrite(*flags); };
}

}  // namespace moe::run
