// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/json_events.h"
#include "lib/core/mapped_file.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

constexpr char kSingleName[] = "model.safetensors";
constexpr char kIndexName[] = "model.safetensors.index.json";
constexpr char kConfigName[] = "config.json";
constexpr uint64_t kConfigLimit = uint64_t{4} << 20;
constexpr uint64_t kIndexLimit = uint64_t{64} << 20;
constexpr size_t kShardLimit = 10000;

// Closes a folder on destruction.
struct Folder {
  int descriptor = -1;
  ~Folder() {
    if (descriptor >= 0) ::close(descriptor);
  }
};

std::string In(const std::string& dir, std::string_view name) {
  return Joined(dir, dir.ends_with('/') ? "" : "/", name);
}

bool IsShardName(std::string_view name) {
  const bool plain = std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 ||
           c == 0x7f;
  });
  return plain && name.size() <= 255 && !name.starts_with('.') &&
         name.ends_with(".safetensors");
}

// Reads the pairs of "weight_map"; skips everything else of the index.
class IndexReader : public JsonEvents {
 public:
  explicit IndexReader(std::string_view where) : where_(where) {}

  absl::Status Null() override { return Value("null"); }
  absl::Status Bool(bool) override { return Value("true or false"); }
  absl::Status Negative(int64_t) override { return Value("a number"); }
  absl::Status Unsigned(uint64_t) override { return Value("a number"); }
  absl::Status Float(double) override { return Value("a number"); }
  absl::Status String(std::string& shard) override {
    if (!in_map_) return Value("text");
    if (!IsShardName(shard))
      return Error(Code::S203, where_, ": tensor ", Quoted(key_, 60),
                   " is said to be in ", Quoted(shard, 60),
                   ", which is not the plain name of a .safetensors file.");
    auto found = shards.try_emplace(std::move(shard)).first;
    if (shards.size() > kShardLimit)
      return Error(Code::S205, where_, ": names more than ", kShardLimit,
                   " shards.");
    found->second.push_back(std::move(key_));
    return absl::OkStatus();
  }

  absl::Status StartObject() override {
    if (depth_ == 1 && key_ == "weight_map")
      in_map_ = has_map_ = true;
    else if (depth_ > 0)
      RETURN_IF_ERROR(Value("an object"));
    ++depth_;
    return absl::OkStatus();
  }
  absl::Status Key(std::string& key) override {
    if (depth_ == 1 || in_map_) key_ = std::move(key);
    return absl::OkStatus();
  }
  absl::Status EndObject() override {
    if (--depth_ == 1) in_map_ = false;
    return absl::OkStatus();
  }
  absl::Status StartArray() override {
    RETURN_IF_ERROR(Value("an array"));
    ++depth_;
    return absl::OkStatus();
  }
  absl::Status EndArray() override {
    --depth_;
    return absl::OkStatus();
  }

  absl::Status Check() const {
    if (!has_map_ || shards.empty())
      return Error(Code::S202, where_, ": ",
                   has_map_ ? "weight_map is empty." : "has no weight_map.");
    return absl::OkStatus();
  }

  // Shard name -> tensor names.
  std::map<std::string, std::vector<std::string>> shards;

 private:
  // A value that is not a pair of the map.
  absl::Status Value(std::string_view found) const {
    if (depth_ == 0)
      return Error(Code::S202, where_, ": expected an object, found ", found,
                   ".");
    if (in_map_)
      return Error(Code::S202, where_, ": weight_map of tensor ", Quoted(key_),
                   ": expected a file name, found ", found, ".");
    if (depth_ == 1 && key_ == "weight_map")
      return Error(Code::S202, where_,
                   ": weight_map: expected an object, found ", found, ".");
    return absl::OkStatus();
  }

  std::string where_;
  std::string key_;
  int depth_ = 0;
  bool in_map_ = false;
  bool has_map_ = false;
};

// Small edit distance between two names, for suggestions; stops at |limit|.
size_t Distance(std::string_view a, std::string_view b, size_t limit) {
  const size_t gap =
      a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (gap >= limit) return limit;
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    size_t least = row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
      least = std::min(least, row[j]);
    }
    if (least >= limit) return limit;
  }
  return std::min(row[b.size()], limit);
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& dir,
                                            const CheckpointOptions& options) {
  Checkpoint out;
  out.dir_ = dir;
  Folder folder;
  if (dir.find('\0') == std::string::npos)
    folder.descriptor = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder.descriptor < 0)
    return Error(Code::S209, ShownPath(dir),
                 ": expected a model folder: ", std::strerror(errno),
                 ". Give the folder that holds config.json.");

  // The order in which Hugging Face looks for them.
  auto exists = [&](const char* name) {
    return ::faccessat(folder.descriptor, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  };
  const bool single = exists(kSingleName), index = exists(kIndexName);
  if (single) {
    RETURN_IF_ERROR(out.ReadSingle(folder.descriptor, options));
    if (index) out.unused_files_.push_back(kIndexName);
  } else if (index) {
    RETURN_IF_ERROR(out.ReadShards(folder.descriptor, options));
  } else {
    return Error(Code::S201, ShownPath(dir), ": has neither ", kSingleName,
                 " nor ", kIndexName,
                 ". Convert other weights to safetensors.");
  }
  RETURN_IF_ERROR(out.Finish());
  return out;
}

absl::Status Checkpoint::ReadSingle(int directory,
                                    const CheckpointOptions& options) {
  ASSIGN_OR_RETURN(
      OpenedFile file,
      OpenedFile::OpenAt(directory, kSingleName, In(dir_, kSingleName),
                         {.follow_links = options.follow_links}));
  ASSIGN_OR_RETURN(
      SafetensorsFile read,
      SafetensorsFile::Read(file, {.header_only = options.header_only}));
  files_.push_back(std::move(read));
  return absl::OkStatus();
}

absl::Status Checkpoint::ReadShards(int directory,
                                    const CheckpointOptions& options) {
  const OpenOptions open = {.follow_links = options.follow_links};
  const std::string index_path = In(dir_, kIndexName);
  const std::string index_shown = ShownPath(index_path);
  ASSIGN_OR_RETURN(OpenedFile index_file,
                   OpenedFile::OpenAt(directory, kIndexName, index_path, open));
  ASSIGN_OR_RETURN(std::string text, index_file.ReadText(kIndexLimit));
  IndexReader index(index_shown);
  RETURN_IF_ERROR(
      ParseJsonEvents(text, index_shown, {.max_bytes = kIndexLimit}, index));
  RETURN_IF_ERROR(index.Check());

  files_.reserve(index.shards.size());
  for (const auto& [shard, names] : index.shards) {
    absl::StatusOr<OpenedFile> file =
        OpenedFile::OpenAt(directory, shard, In(dir_, shard), open);
    if (HasCode(file.status(), Code::F101))
      return Error(Code::S204, index_shown, ": names the shard ", Quoted(shard),
                   ", which is not in the folder. Fetch it.");
    RETURN_IF_ERROR(file.status());
    ASSIGN_OR_RETURN(
        SafetensorsFile read,
        SafetensorsFile::Read(*file, {.header_only = options.header_only}));
    files_.push_back(std::move(read));
    for (const std::string& name : names)
      if (!files_.back().Find(name))
        return Error(Code::S206, index_shown, ": tensor ", Quoted(name, 60),
                     " should be in ", Quoted(shard, 60),
                     " but is not. Index and shards do not belong together.");
  }

  // Every name of the index is in its shard. So if no tensor is left over, each
  // tensor is where the index says and nowhere else.
  auto file = files_.begin();
  for (const auto& [shard, names] : index.shards) {
    const std::set<std::string_view> listed(names.begin(), names.end());
    for (const Tensor& tensor : file->tensors()) {
      if (listed.contains(tensor.name)) continue;
      for (const auto& [other, other_names] : index.shards)
        if (std::find(other_names.begin(), other_names.end(), tensor.name) !=
            other_names.end())
          return Error(Code::S207, index_shown, ": tensor ",
                       Quoted(tensor.name, 60), " is in ", Quoted(shard, 50),
                       " and in ", Quoted(other, 50), ". Remove one.");
      return Error(Code::S208, index_shown, ": tensor ",
                   Quoted(tensor.name, 60), " of shard ", Quoted(shard, 60),
                   " is not listed. Index and shards do not belong together.");
    }
    ++file;
  }
  return absl::OkStatus();
}

absl::Status Checkpoint::Finish() {
  Hasher hasher;
  size_t count = 0;
  for (const SafetensorsFile& file : files_) {
    const size_t slash = file.path().rfind('/');
    const std::string_view name =
        std::string_view(file.path()).substr(slash + 1);
    hasher.Update(static_cast<uint64_t>(name.size()));
    hasher.Update(name);
    hasher.Update(file.header_hash().Hex());
    count += file.tensors().size();
  }
  header_hash_ = hasher.Finish();

  tensors_.reserve(count);
  by_name_.reserve(count);
  for (const SafetensorsFile& file : files_)
    for (const Tensor& tensor : file.tensors()) {
      tensors_.push_back(&tensor);
      by_name_.emplace(tensor.name, &tensor);
      if (__builtin_add_overflow(total_bytes_, tensor.bytes, &total_bytes_))
        return Error(Code::S104, ShownPath(dir_), ": too many bytes.");
    }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const Tensor* a, const Tensor* b) { return a->name < b->name; });
  return absl::OkStatus();
}

const Tensor* Checkpoint::Find(std::string_view name) const {
  const auto found = by_name_.find(absl::string_view(name.data(), name.size()));
  return found == by_name_.end() ? nullptr : found->second;
}

absl::StatusOr<const Tensor*> Checkpoint::Get(std::string_view name) const {
  if (const Tensor* tensor = Find(name)) return tensor;
  std::string hint;
  size_t best = 8;
  if (name.size() <= 200)
    for (const Tensor* tensor : tensors_)
      if (size_t d = Distance(name, tensor->name, best); d < best) {
        best = d;
        hint = Joined(" The nearest is ", Quoted(tensor->name), ".");
      }
  return Error(Code::W101, ShownPath(dir_), ": has no tensor ", Quoted(name),
               ".", hint);
}

const SafetensorsFile& Checkpoint::FileOf(const Tensor& tensor) const {
  for (const SafetensorsFile& file : files_) {
    const std::span<const Tensor> tensors = file.tensors();
    if (!tensors.empty() && &tensor >= tensors.data() &&
        &tensor < tensors.data() + tensors.size())
      return file;
  }
  return files_.front();
}

absl::StatusOr<Json> ReadConfig(const std::string& dir, bool follow_links) {
  const std::string path = In(dir, kConfigName);
  absl::StatusOr<Json> config = ReadJsonFile(
      path, {.max_bytes = kConfigLimit, .follow_links = follow_links});
  if (HasCode(config.status(), Code::F101))
    return Error(Code::C101, ShownPath(dir),
                 ": has no config.json. Give a "
                 "model folder.");
  RETURN_IF_ERROR(config.status());
  if (!config->is_object())
    return Error(Code::C102, ShownPath(path), ": expected one JSON object.");
  return config;
}

}  // namespace moe
