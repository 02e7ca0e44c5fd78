// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Writes a model folder as Hugging Face has it: config.json, and either
// model.safetensors or shards with model.safetensors.index.json.
//
//   std::vector<ModelTensor> tensors = …;
//   RETURN_IF_ERROR(WriteModelFolder("DIR", config, tensors, {}));
//
// One tensor is in memory at a time. config.json is written last: without it a
// folder is no model.

#ifndef MOE_LIB_CORE_MODEL_FOLDER_H_
#define MOE_LIB_CORE_MODEL_FOLDER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/core/dtype.h"
#include "lib/core/json.h"
#include "lib/core/safetensors.h"

namespace moe {

struct ModelTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  SafetensorsWriter::Fill fill;
};

struct ModelFolderOptions {
  // Most bytes of tensors in a file; a larger tensor has a file of its own.
  uint64_t shard_bytes = uint64_t{5} * 1000 * 1000 * 1000;
  // Replaces the model of a folder that is there. Off: the folder must not
  // exist or be empty, and it appears with all its files or not at all.
  bool replace = false;
  // Written beside the weights, by file name.
  std::map<std::string, Json> notes = {};
  // Called before a tensor is made.
  std::function<void(const ModelTensor& tensor)> progress = {};
};

// F201 … F204 if something cannot be written, U103 if |dir| is in use. Files
// of a failed attempt are removed.
absl::Status WriteModelFolder(const std::string& dir, const Json& config,
                              std::span<const ModelTensor> tensors,
                              const ModelFolderOptions& options);

// OK if WriteModelFolder() may write |dir| without replacing anything: U103,
// F204.
absl::Status CheckNewFolder(const std::string& dir);

}  // namespace moe

#endif  // MOE_LIB_CORE_MODEL_FOLDER_H_
