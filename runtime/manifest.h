// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The manifest of a module, read into structs and checked.
//
//   ASSIGN_OR_RETURN(ModuleFile file, ModuleFile::Open("out.moe"));
//   ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(file));
//   if (const EntrySpec* score = manifest.FindEntry("score")) ...
//
// After ReadManifest every size in a Manifest is non-negative, fits 63 bits
// together with the sizes it is multiplied with, and agrees with the others.

#ifndef MOE_RUNTIME_MANIFEST_H_
#define MOE_RUNTIME_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/core/dtype.h"
#include "lib/core/json.h"
#include "lib/core/module_file.h"
#include "lib/core/scaled.h"

namespace moe {

// One extent of a buffer's shape: dims[dim] + add, the constant `add` where dim
// is kConstant, or anything where dim is kFree.
struct Extent {
  static constexpr int kConstant = -1;
  static constexpr int kFree = -2;

  int dim = kConstant;
  int64_t add = 0;
  std::string text;  // as the manifest has it, for messages
};

enum class BufferRole { kInput, kOutput, kParams, kCache };

struct BufferSpec {
  std::string name;
  BufferRole role = BufferRole::kInput;
  DType dtype = DType::kF32;
  std::vector<Extent> shape;
};

// What a gradient keeps of each of the layers [first, last).
struct KeptSpec {
  int64_t first = 0, last = 0;
  int64_t token_bytes = 0, bytes = 0;  // for each token, and beside that
};

struct EntrySpec {
  std::string name;
  std::vector<BufferSpec> buffers;  // in the order of the native call
  std::string recompute;            // of a gradient: none, selective, full
  std::vector<KeptSpec> kept;

  // Index into buffers; -1 if there is none of that name.
  int FindBuffer(std::string_view buffer) const;
};

enum class ParamFormat { kRaw, kF32N32, kBF16N32, kBF16Amx };

// Where the columns [n0, n0 + n) of a parameter come from. Element (g, n, k) is
// at offset + g * stride_g + n * stride_n + k * stride_k of the tensor, whose
// name is |pattern| with {i} the layer and {e} the group.
struct ScaledSpec {
  ScaledLayout layout;
  std::string pattern;  // of the tensors of scales
  std::vector<int64_t> shape;
  std::string pack;  // entry that makes rows of plain numbers
};

struct SourceSpec {
  std::string pattern;
  std::vector<int64_t> shape;
  int64_t n0 = 0, n = 0;
  int64_t offset = 0, stride_n = 0, stride_k = 0, stride_g = 0;
  std::optional<ScaledSpec> scaled;  // of a quantised checkpoint

  bool PerGroup() const { return pattern.find("{e}") != std::string::npos; }
  std::string TensorName(int64_t layer, int64_t group) const;
  // Of the scales; only where there are some.
  std::string ScaleName(int64_t layer, int64_t group) const;
};

struct ParamSpec {
  std::string name;
  int64_t index = 0;        // first slot of the parameter table
  int64_t layers = 1;       // slots
  int64_t first_layer = 0;  // the layer of the first slot
  int64_t groups = 1;       // experts or heads, on one rank
  int64_t shards = 1;       // ranks that hold equal parts of the groups
  int64_t n = 0, k = 1;     // of one group; k is 1 where rank is 1
  int rank = 2;
  ParamFormat format = ParamFormat::kRaw;
  DType dtype = DType::kF32;  // in the checkpoint
  int64_t bytes = 0;          // of one slot
  int64_t group_bytes = 0;
  std::string pack;  // entry that packs; empty if raw
  std::vector<SourceSpec> sources;

  // The first group, of those of all ranks, that |rank| holds.
  int64_t FirstGroup(int rank) const { return shards > 1 ? rank * groups : 0; }
  // Whether a slot is one contiguous piece of one checkpoint tensor.
  bool MapsDirectly() const;
  // Whether each token uses only some of the groups.
  bool PerExpert(int64_t experts) const;
};

struct KvSpec {
  DType dtype = DType::kF32;
  int64_t width = 0;  // elements per token and layer
  int64_t layers = 0;

  int64_t TokenBytes() const { return width * layers * DTypeSize(dtype); }
};

struct ModelSpec {
  int64_t vocab_size = 0;
  int64_t layers = 0;
  int64_t max_positions = 0;  // 0: no limit known
  int64_t experts = 0;
  int64_t top_k = 0;
  std::vector<int64_t> moe_layers;
  // The layers of the outputs routing.idx, routing.1.idx, …; empty: the first
  // holds all of them.
  std::vector<std::vector<int64_t>> routing;
  std::vector<int64_t> eos_token_ids;
  std::optional<KvSpec> kv;
};

// Ranks that run one program together along an axis.
struct MeshAxis {
  std::string axis;
  int64_t ranks = 1;
};

struct Manifest {
  std::string name, producer, compute, source_hash;
  std::optional<ModelSpec> model;  // absent: loose functions
  std::vector<MeshAxis> mesh;      // empty: one rank
  std::vector<EntrySpec> entries;
  std::vector<ParamSpec> params;
  int64_t param_slots = 0;  // length of the parameter table
  Json config;              // the model's config.json; null if absent

  // Whether it was compiled to train: then parameters are raw and change.
  bool Trains() const { return FindEntry("update") != nullptr; }
  // Ranks that a run takes.
  int64_t Ranks() const;
  const EntrySpec* FindEntry(std::string_view entry) const;
  // The entry, or U108 with the names there are.
  absl::StatusOr<const EntrySpec*> GetEntry(std::string_view entry) const;
};

// "raw", "f32.n32", "bf16.n32", "bf16.amx".
std::string_view FormatName(ParamFormat format);

// Bytes of one packed group of |n| columns with |k| rows; nothing if that does
// not fit 63 bits. |dtype| counts for kRaw only.
std::optional<int64_t> GroupBytes(ParamFormat format, DType dtype, int64_t n,
                                  int64_t k);

// M109 with the place if anything is missing or does not fit.
absl::StatusOr<Manifest> ReadManifest(const ModuleFile& module);

// The same for a manifest on its own; |where| starts every message.
absl::StatusOr<Manifest> ReadManifest(const Json& json, std::string_view where);

// Size of |extent| under |dims|. |extent| must not be free.
inline int64_t ExtentSize(const Extent& extent, const int64_t* dims) {
  return extent.dim == Extent::kConstant ? extent.add
                                         : dims[extent.dim] + extent.add;
}

}  // namespace moe

#endif  // MOE_RUNTIME_MANIFEST_H_
