// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/core/model_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr char kIndex[] = "model.safetensors.index.json";
constexpr char kConfig[] = "config.json";

// The path without separators at its end.
fs::path Plain(const std::string& dir) {
  fs::path path(dir);
  while (!path.has_filename() && path.has_parent_path() &&
         path != path.parent_path())
    path = path.parent_path();
  return path;
}

fs::path ParentOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

absl::Status Failed(const fs::path& path, const char* what,
                    const std::error_code& error) {
  return Error(Code::F203, ShownPath(path.string()), ": ", what, ": ",
               error.message());
}

void SyncFolder(const fs::path& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);
  close(folder);
}

uint64_t BytesOf(const ModelTensor& tensor) {
  return static_cast<uint64_t>(
      ByteCount(tensor.dtype, tensor.shape).value_or(0));
}

// Tensors in the order given, as many in a file as fit.
std::vector<std::vector<const ModelTensor*>> Shards(
    std::span<const ModelTensor> tensors, uint64_t limit) {
  std::vector<std::vector<const ModelTensor*>> shards(1);
  uint64_t bytes = 0;
  for (const ModelTensor& tensor : tensors) {
    if (!shards.back().empty() && bytes + BytesOf(tensor) > limit) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(&tensor);
    bytes += BytesOf(tensor);
  }
  return shards;
}

std::string ShardName(size_t shard, size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1,
           count);
  return name;
}

absl::Status WriteShard(const fs::path& path,
                        const std::vector<const ModelTensor*>& tensors,
                        const ModelFolderOptions& options) {
  SafetensorsWriter writer;
  writer.SetMetadata("format", "pt");
  for (const ModelTensor* tensor : tensors)
    writer.AddLazy(tensor->name, tensor->dtype, tensor->shape,
                   [tensor, &options](std::span<std::byte> out) {
                     if (options.progress) options.progress(*tensor);
                     return tensor->fill(out);
                   });
  return writer.Write(path.string());
}

// Writes all files; |written| are their names, also after an error.
absl::Status WriteFiles(const fs::path& folder, const Json& config,
                        std::span<const ModelTensor> tensors,
                        const ModelFolderOptions& options,
                        std::set<std::string>& written) {
  const auto shards = Shards(tensors, options.shard_bytes);
  Json map = Json::object();
  uint64_t bytes = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = ShardName(i, shards.size());
    RETURN_IF_ERROR(WriteShard(folder / name, shards[i], options));
    written.insert(name);
    for (const ModelTensor* tensor : shards[i]) {
      map[tensor->name] = name;
      bytes += BytesOf(*tensor);
    }
  }
  if (shards.size() > 1) {
    const Json index = {{"metadata", {{"total_size", bytes}}},
                        {"weight_map", std::move(map)}};
    RETURN_IF_ERROR(WriteFileAtomically(
        (folder / kIndex).string(),
        index.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"));
    written.insert(kIndex);
  }
  for (const auto& [name, note] : options.notes) {
    RETURN_IF_ERROR(
        WriteFileAtomically((folder / name).string(), DumpJson(note) + "\n"));
    written.insert(name);
  }
  RETURN_IF_ERROR(WriteFileAtomically(
      (folder / kConfig).string(),
      config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"));
  written.insert(kConfig);
  return absl::OkStatus();
}

// Weights of another model would make readers refuse the folder.
void RemoveStale(const fs::path& folder, const std::set<std::string>& written) {
  std::error_code error;
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!written.contains(name) && name.starts_with("model") &&
        (name == kIndex || name.ends_with(".safetensors")))
      stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove(path, error);
}

absl::Status Replace(const fs::path& folder, const Json& config,
                     std::span<const ModelTensor> tensors,
                     const ModelFolderOptions& options) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Failed(folder, "cannot be made", error);
  fs::remove(folder / kConfig, error);
  std::set<std::string> written;
  RETURN_IF_ERROR(WriteFiles(folder, config, tensors, options, written));
  RemoveStale(folder, written);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckNewFolder(const std::string& dir) {
  const fs::path path = Plain(dir);
  std::error_code error;
  if (!fs::is_directory(ParentOf(path), error))
    return Error(Code::F204, ShownPath(ParentOf(path).string()),
                 ": is no folder, so that ", Quoted(path.filename().string()),
                 " cannot be made in it");
  if (!fs::exists(fs::symlink_status(path, error))) return absl::OkStatus();
  if (fs::is_directory(path, error) && fs::is_empty(path, error) && !error)
    return absl::OkStatus();
  return Error(Code::U103, ShownPath(dir),
               ": exists and is not empty. Give a folder that does not exist.");
}

absl::Status WriteModelFolder(const std::string& dir, const Json& config,
                              std::span<const ModelTensor> tensors,
                              const ModelFolderOptions& options) {
  const fs::path path = Plain(dir);
  if (options.replace) return Replace(path, config, tensors, options);
  RETURN_IF_ERROR(CheckNewFolder(dir));
  const fs::path making = ParentOf(path) / Joined(".", path.filename().string(),
                                                  ".", getpid(), ".part");
  std::error_code error, ignored;
  if (!fs::create_directory(making, error))
    return Failed(making, "cannot be made", error);
  std::set<std::string> written;
  absl::Status status = WriteFiles(making, config, tensors, options, written);
  if (status.ok()) {
    // A folder that is there must be empty, or this fails.
    fs::rename(making, path, error);
    if (error) status = Failed(path, "cannot be made", error);
  }
  if (!status.ok()) {
    fs::remove_all(making, ignored);
    return status;
  }
  SyncFolder(ParentOf(path));
  return absl::OkStatus();
}

}  // namespace moe
