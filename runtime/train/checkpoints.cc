// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/checkpoints.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <system_error>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/folder.h"
#include "lib/core/mapped_file.h"
#include "lib/core/safetensors.h"
#include "lib/core/status_macros.h"
#include "runtime/train/bad_numbers.h"
#include "runtime/train/stored_tensors.h"
#include "runtime/train/train_loop.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr char kFormat[] = "moe-checkpoint";
constexpr char kManifest[] = "manifest.json";
constexpr const char* kFiles[] = {"config.json", "model.safetensors",
                                  "optimizer.safetensors"};

// Reads in pieces: a mapping would count as memory of the run.
absl::StatusOr<Json> Describe(const std::string& path) {
  constexpr uint64_t kPiece = 1 << 20;
  ASSIGN_OR_RETURN(const OpenedFile file, OpenedFile::Open(path));
  std::vector<std::byte> piece(std::min(kPiece, file.size()));
  Hasher hasher;
  for (uint64_t at = 0; at < file.size(); at += piece.size()) {
    piece.resize(std::min(kPiece, file.size() - at));
    RETURN_IF_ERROR(file.ReadAt(at, piece));
    hasher.Update(piece);
  }
  return Json{{"bytes", file.size()}, {"hash", hasher.Finish().Hex()}};
}

absl::StatusOr<int64_t> StepOf(const std::string& name) {
  constexpr std::string_view kPrefix = "step-";
  int64_t step = -1;
  const char* end = name.data() + name.size();
  if (name.starts_with(kPrefix)) {
    const auto [last, error] =
        std::from_chars(name.data() + kPrefix.size(), end, step);
    if (error == std::errc() && last == end) return step;
  }
  return Error(Code::R501, Quoted(name), " is no checkpoint");
}

// A file that AtomicFile had not come to the end of: ".NAME.PID.TIME.N.tmp".
bool IsTemporary(std::string_view name) {
  constexpr std::string_view kNames[] = {
      "config.json", "model.safetensors", "optimizer.safetensors",
      kManifest,     "metrics.jsonl",     "experts.jsonl"};
  return name.starts_with(".") && name.ends_with(".tmp") &&
         std::any_of(std::begin(kNames), std::end(kNames),
                     [&](std::string_view one) {
                       return name.substr(1).starts_with(one) &&
                              name.substr(1 + one.size()).starts_with(".");
                     });
}

std::string OptimizerName(const char* kind, const TrainedParam& param) {
  return Joined(kind, ".", param.spec->name);
}

// The shortest decimal number that stands for |value|: 0.1, not 0.100000001.
double Decimal(float value) {
  double number = 0;
  const std::string text = Joined(value);
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

absl::Status SaveModel(Engine& engine, const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<StoredTensor> tensors,
                   StoredTensors(engine.manifest()));
  const ParamValues values = [&](const ParamSpec& spec) -> const void* {
    return engine.MutableWeights(spec);
  };
  SafetensorsWriter writer;
  writer.SetMetadata("format", "pt");
  for (const StoredTensor& tensor : tensors)
    writer.AddLazy(tensor.name, tensor.dtype, tensor.shape,
                   [&](std::span<std::byte> out) {
                     FillStored(tensor, values, tensor.dtype, out);
                     return absl::OkStatus();
                   });
  return writer.Write(path);
}

// Calls use(name, floats, elements) for all that the optimizer keeps.
template <typename Use>
absl::Status EachState(const TrainStep& state, Use&& use) {
  for (const TrainedParam& param : state.params()) {
    RETURN_IF_ERROR(use(OptimizerName("m", param), param.m, param.elements));
    RETURN_IF_ERROR(use(OptimizerName("v", param), param.v, param.elements));
    if (param.spec->dtype != DType::kF32)
      RETURN_IF_ERROR(
          use(OptimizerName("master", param), param.weights, param.elements));
  }
  return absl::OkStatus();
}

absl::Status SaveOptimizer(const TrainStep& state, const std::string& path) {
  SafetensorsWriter writer;
  RETURN_IF_ERROR(
      EachState(state, [&](const std::string& name, float* values, int64_t n) {
        writer.Add(name, DType::kF32, {n},
                   std::as_bytes(std::span(values, static_cast<size_t>(n))));
        return absl::OkStatus();
      }));
  return writer.Write(path);
}

absl::Status LoadOptimizer(const TrainStep& state, const std::string& path) {
  ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  return EachState(
      state, [&](const std::string& name, float* values, int64_t n) {
        const Tensor* tensor = file.Find(name);
        if (tensor == nullptr || tensor->dtype != DType::kF32 ||
            tensor->bytes != static_cast<uint64_t>(n) * 4)
          return Error(Code::R502, ShownPath(path), ": has no ", Quoted(name),
                       " of ", n, " numbers: it belongs to another model");
        std::memcpy(values, tensor->data, tensor->bytes);
        return absl::OkStatus();
      });
}

}  // namespace

std::vector<int64_t> CheckpointSteps(const std::string& run) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run, error)) {
    const auto step = StepOf(entry.path().filename().string());
    if (step.ok() && fs::exists(entry.path() / kManifest, error))
      steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::string CheckpointFolder(const std::string& run, int64_t step) {
  return (fs::path(run) / Joined("step-", step)).string();
}

absl::StatusOr<Json> CheckCheckpoint(const std::string& folder) {
  ASSIGN_OR_RETURN(Json manifest,
                   ReadJsonFile((fs::path(folder) / kManifest).string()));
  const auto bad = [&](auto... why) {
    return Error(Code::R501, ShownPath(folder), ": ", why...,
                 ". Resume from another step.");
  };
  if (!manifest.is_object() || manifest.value("format", Json()) != kFormat ||
      !manifest.contains("step") || !manifest["step"].is_number_unsigned() ||
      !manifest.contains("updates") ||
      !manifest["updates"].is_number_unsigned() ||
      !manifest.contains("skipped") ||
      !manifest["skipped"].is_number_unsigned() || !manifest.contains("run") ||
      !manifest.contains("files") || !manifest["files"].is_object())
    return bad("manifest.json is not one of a checkpoint");
  for (const char* name : kFiles) {
    if (!manifest["files"].contains(name))
      return bad("manifest.json does not name ", name);
    ASSIGN_OR_RETURN(const Json found,
                     Describe((fs::path(folder) / name).string()));
    if (found != manifest["files"][name])
      return bad(name, " is not the file that was saved");
  }
  return manifest;
}

absl::Status DropCheckpoints(const std::string& run, int64_t keep) {
  std::vector<int64_t> steps = CheckpointSteps(run);
  while (keep > 0 && static_cast<int64_t>(steps.size()) > keep) {
    const fs::path folder = CheckpointFolder(run, steps.front());
    // Without its manifest a folder is no checkpoint, however far this comes.
    RETURN_IF_ERROR(RemoveAll((folder / kManifest).string()));
    RETURN_IF_ERROR(SyncFolder(folder.string()));
    RETURN_IF_ERROR(RemoveAll(folder.string()));
    steps.erase(steps.begin());
  }
  return absl::OkStatus();
}

absl::Status RemoveUnfinished(const std::string& run) {
  std::error_code error;
  std::vector<fs::path> files, folders;
  for (const auto& entry : fs::directory_iterator(run, error)) {
    const std::string name = entry.path().filename().string();
    if (IsTemporary(name)) files.push_back(entry.path());
    if (!StepOf(name).ok() || fs::exists(entry.path() / kManifest, error))
      continue;
    folders.push_back(entry.path());
    for (const auto& part : fs::directory_iterator(entry.path(), error)) {
      const std::string file = part.path().filename().string();
      if (IsTemporary(file) || std::find(std::begin(kFiles), std::end(kFiles),
                                         file) != std::end(kFiles))
        files.push_back(part.path());
    }
  }
  for (const fs::path& file : files) RETURN_IF_ERROR(RemoveAll(file.string()));
  // Those that hold something else stay.
  for (const fs::path& folder : folders) fs::remove(folder, error);
  return absl::OkStatus();
}

Json TrainLoop::Identity() const {
  const AdamwOptions& a = options_.adamw;
  return {{"source_hash", engine_.manifest().source_hash},
          {"data", options_.data},
          {"seed", options_.seed},
          {"batch", options_.batch},
          {"accumulate", options_.accumulate},
          {"beta1", Decimal(a.beta1)},
          {"beta2", Decimal(a.beta2)},
          {"eps", Decimal(a.eps)},
          {"weight_decay", Decimal(a.weight_decay)},
          {"clip", options_.clip},
          {"aux_weight", options_.aux_weight}};
}

absl::Status TrainLoop::Save(const std::string& run) {
  if (const std::string bad = FirstBadWeight(engine_); !bad.empty())
    return Error(Code::R301, "step ", step_, " is not saved: ", bad,
                 " are not finite. Go on from an earlier step; lower --lr.");
  const fs::path folder = CheckpointFolder(run, step_);
  RETURN_IF_ERROR(MakeFolders(folder.string()));
  RETURN_IF_ERROR(RemoveAll((folder / kManifest).string()));
  RETURN_IF_ERROR(
      WriteFileAtomically((folder / kFiles[0]).string(),
                          DumpJson(engine_.manifest().config) + "\n"));
  RETURN_IF_ERROR(SaveModel(engine_, (folder / kFiles[1]).string()));
  RETURN_IF_ERROR(SaveOptimizer(state_, (folder / kFiles[2]).string()));
  Json files = Json::object();
  for (const char* name : kFiles) {
    ASSIGN_OR_RETURN(files[name], Describe((folder / name).string()));
  }
  const Json manifest = {
      {"format", kFormat},        {"version", 1},    {"step", step_},
      {"updates", updates_},      {"skipped", bad_}, {"run", Identity()},
      {"files", std::move(files)}};
  return WriteFileAtomically((folder / kManifest).string(),
                             DumpJson(manifest) + "\n");
}

absl::Status TrainLoop::Resume(const std::string& folder) {
  ASSIGN_OR_RETURN(const Json manifest, CheckCheckpoint(folder));
  const Json own = Identity();
  // Compared as text, as numbers of files have more than one type.
  const Json& saved = manifest["run"];
  for (const auto& [key, value] : own.items())
    if (!saved.contains(key) || DumpJson(saved[key]) != DumpJson(value))
      return Error(Code::R502, ShownPath(folder), ": was saved with ", key,
                   " = ",
                   saved.contains(key) ? DumpJson(saved[key]) : "nothing",
                   ", and this run has ", DumpJson(value),
                   ". Give the same, or another --out.");
  RETURN_IF_ERROR(
      LoadOptimizer(state_, (fs::path(folder) / kFiles[2]).string()));
  step_ = manifest["step"].get<int64_t>();
  updates_ = manifest["updates"].get<int64_t>();
  bad_ = manifest["skipped"].get<int64_t>();
  return absl::OkStatus();
}

}  // namespace moe
