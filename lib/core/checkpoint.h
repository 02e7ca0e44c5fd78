// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A model folder as Hugging Face writes it: config.json, and either
// model.safetensors or model.safetensors.index.json with its shards.
//
//   ASSIGN_OR_RETURN(Checkpoint checkpoint,
//                    Checkpoint::Open(dir, {.header_only = true}));
//   ASSIGN_OR_RETURN(Json config, ReadConfig(dir));
//   if (const Tensor* w = checkpoint.Find("lm_head.weight")) Use(w->shape);
//
// The folder may be hostile. Shard names must be plain file names that end in
// ".safetensors"; files are opened without following links (unless asked to);
// every tensor of the index must be in its shard and in no other, and every
// tensor of a shard must be in the index. S201 to S210, and the codes of
// safetensors.h, json.h and mapped_file.h.

#ifndef MOE_LIB_CORE_CHECKPOINT_H_
#define MOE_LIB_CORE_CHECKPOINT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/core/hash.h"
#include "lib/core/json.h"
#include "lib/core/safetensors.h"

namespace moe {

struct CheckpointOptions {
  // Reads headers only: Tensor::data is null and nothing is mapped.
  bool header_only = false;
  // For folders of links, such as a download cache of the user's own.
  bool follow_links = false;
};

// Immutable after opening, so safe to share between threads. Movable; moving
// keeps Tensor pointers and data valid. Keeps no file descriptor open.
class Checkpoint {
 public:
  static absl::StatusOr<Checkpoint> Open(const std::string& dir,
                                         const CheckpointOptions& options = {});

  // Null if there is no tensor of that name.
  const Tensor* Find(std::string_view name) const;
  // As Find, but W101 with the nearest name there is.
  absl::StatusOr<const Tensor*> Get(std::string_view name) const;
  // The file that holds a tensor which Find() gave.
  const SafetensorsFile& FileOf(const Tensor& tensor) const;

  // Every tensor, sorted by name.
  std::span<const Tensor* const> tensors() const { return tensors_; }
  // One file, or the shards sorted by name.
  std::span<const SafetensorsFile> files() const { return files_; }
  // Bytes of all tensors together.
  uint64_t total_bytes() const { return total_bytes_; }
  // Of the names of the files and their headers, in order: changes with any
  // name, dtype, shape or place of a tensor, not with the weights.
  const Hash128& header_hash() const { return header_hash_; }
  const std::string& dir() const { return dir_; }
  // Files of the folder that were found but not used, for the log.
  const std::vector<std::string>& unused_files() const { return unused_files_; }

 private:
  Checkpoint() = default;
  absl::Status ReadSingle(int directory, const CheckpointOptions& options);
  absl::Status ReadShards(int directory, const CheckpointOptions& options);
  absl::Status Finish();

  std::string dir_;
  std::vector<SafetensorsFile> files_;
  std::vector<const Tensor*> tensors_;
  absl::flat_hash_map<absl::string_view, const Tensor*> by_name_;
  uint64_t total_bytes_ = 0;
  Hash128 header_hash_;
  std::vector<std::string> unused_files_;
};

// |dir|/config.json, an object. C101 if there is none, C102 if it is something
// else than an object, J101 to J105 for its JSON (at most 4 MiB).
absl::StatusOr<Json> ReadConfig(const std::string& dir,
                                bool follow_links = false);

}  // namespace moe

#endif  // MOE_LIB_CORE_CHECKPOINT_H_
