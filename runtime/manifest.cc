// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/manifest.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/include/moe/abi.h"

namespace moe {
namespace {

constexpr int64_t kMaxCount = int64_t{1} << 31;  // of anything that is counted
constexpr int64_t kMaxSlots = int64_t{1} << 24;
constexpr int64_t kMaxRanks = int64_t{1} << 16;
constexpr int64_t kMaxStride = int64_t{1} << 48;  // elements
constexpr std::array<std::string_view, MOE_DIM_COUNT> kDimNames = {
    "tokens", "sequences",  "longest", "page_length", "pages_per_sequence",
    "pages",  "rank_tokens"};

std::optional<int64_t> Product(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  for (int64_t factor : factors)
    if (__builtin_mul_overflow(product, factor, &product)) return std::nullopt;
  return product;
}

int DimIndex(std::string_view name) {
  const auto it = std::find(kDimNames.begin(), kDimNames.end(), name);
  return it == kDimNames.end() ? Extent::kFree
                               : static_cast<int>(it - kDimNames.begin());
}

// An integer, "tokens" or "sequences+1". Other names stay free.
absl::StatusOr<Extent> ReadExtent(const Json& item, const std::string& where) {
  if (item.is_number_integer() && item.get<int64_t>() >= 0 &&
      item.get<int64_t>() < kMaxCount)
    return Extent{Extent::kConstant, item.get<int64_t>(), DumpJson(item)};
  if (!item.is_string())
    return Error(Code::M109, where,
                 ": a shape holds integers and names of dims, found ",
                 Quoted(DumpJson(item)));
  const std::string text = item.get<std::string>();
  const size_t plus = text.find('+');
  Extent extent{DimIndex(std::string_view(text).substr(0, plus)), 0, text};
  if (plus != std::string::npos) {
    const char *begin = text.data() + plus + 1,
               *end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, extent.add);
    if (error != std::errc() || stop != end || extent.add < 0 ||
        extent.add >= kMaxCount)
      return Error(Code::M109, where, ": shape item ", Quoted(text),
                   " is neither a dim nor a dim plus a number");
  }
  return extent;
}

absl::StatusOr<BufferSpec> ReadBuffer(const Json& json,
                                      const std::string& where) {
  JsonFields fields(json, where, kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  BufferSpec buffer;
  ASSIGN_OR_RETURN(buffer.name, fields.String("name"));
  ASSIGN_OR_RETURN(const std::string role, fields.String("role"));
  const std::string here = Joined(where, " ", Quoted(buffer.name));
  if (role == "input")
    buffer.role = BufferRole::kInput;
  else if (role == "output")
    buffer.role = BufferRole::kOutput;
  else if (role == "params")
    buffer.role = BufferRole::kParams;
  else if (role == "cache")
    buffer.role = BufferRole::kCache;
  else
    return Error(Code::M109, here, ": unknown role ", Quoted(role));
  if (buffer.role == BufferRole::kParams || buffer.role == BufferRole::kCache)
    return buffer;
  ASSIGN_OR_RETURN(const std::string dtype, fields.String("dtype"));
  const std::optional<DType> known = DTypeFromName(dtype);
  if (!known) return Error(Code::M109, here, ": unknown dtype ", Quoted(dtype));
  buffer.dtype = *known;
  ASSIGN_OR_RETURN(const Json* shape, fields.Array("shape"));
  for (const Json& item : *shape) {
    ASSIGN_OR_RETURN(Extent extent, ReadExtent(item, here));
    if (extent.dim == Extent::kFree && buffer.role == BufferRole::kOutput)
      return Error(Code::M109, here, ": output of unknown size ",
                   Quoted(extent.text));
    buffer.shape.push_back(std::move(extent));
  }
  return buffer;
}

// Programs are partitioned along one axis at most.
absl::Status ReadMesh(JsonFields& fields, Manifest& manifest) {
  if (!fields.Has("mesh")) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Json* axes, fields.Array("mesh"));
  if (axes->size() > 1)
    return Error(Code::M110, fields.where(), ": has a mesh of ", axes->size(),
                 " axes, this runtime knows one. Use the version it was "
                 "compiled with.");
  for (const Json& item : *axes) {
    JsonFields axis(item, Joined(fields.where(), ": mesh"), kManifestCodes);
    RETURN_IF_ERROR(axis.Check());
    MeshAxis& read = manifest.mesh.emplace_back();
    ASSIGN_OR_RETURN(read.axis, axis.String("axis"));
    ASSIGN_OR_RETURN(read.ranks, axis.Int("ranks", 1, kMaxRanks));
  }
  return absl::OkStatus();
}

absl::StatusOr<KeptSpec> ReadKept(const Json& json, std::string_view where) {
  JsonFields fields(json, Joined(where, ": kept"), kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  ASSIGN_OR_RETURN(const std::vector<int64_t> layers, fields.Ints("layers"));
  if (layers.size() != 2 || layers[0] < 0 || layers[0] >= layers[1] ||
      layers[1] > kMaxSlots)
    return Error(Code::M109, where, ": kept layers are no range");
  KeptSpec kept{layers[0], layers[1]};
  ASSIGN_OR_RETURN(kept.token_bytes, fields.Int("token_bytes", 0, kMaxCount));
  ASSIGN_OR_RETURN(kept.bytes, fields.Int("bytes", 0, kMaxCount));
  return kept;
}

absl::StatusOr<EntrySpec> ReadEntry(const Json& json, std::string_view where) {
  JsonFields fields(json, Joined(where, ": entry"), kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  EntrySpec entry;
  ASSIGN_OR_RETURN(entry.name, fields.String("name"));
  ASSIGN_OR_RETURN(const Json* buffers, fields.Array("buffers"));
  const std::string here =
      Joined(where, ": entry ", Quoted(entry.name), " buffer");
  for (const Json& item : *buffers) {
    ASSIGN_OR_RETURN(BufferSpec buffer, ReadBuffer(item, here));
    if (entry.FindBuffer(buffer.name) >= 0)
      return Error(Code::M109, here, " ", Quoted(buffer.name), " twice");
    entry.buffers.push_back(std::move(buffer));
  }
  ASSIGN_OR_RETURN(entry.recompute, fields.StringOr("recompute", ""));
  if (fields.Has("kept")) {
    ASSIGN_OR_RETURN(const Json* kept, fields.Array("kept"));
    for (const Json& item : *kept) {
      ASSIGN_OR_RETURN(const KeptSpec spec, ReadKept(item, where));
      entry.kept.push_back(spec);
    }
  }
  return entry;
}

absl::StatusOr<ModelSpec> ReadModel(const Json& json, std::string_view where) {
  JsonFields fields(json, Joined(where, ": model"), kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  ModelSpec model;
  ASSIGN_OR_RETURN(model.vocab_size, fields.Int("vocab_size", 1, kMaxCount));
  ASSIGN_OR_RETURN(model.layers, fields.IntOr("layers", 0, 0, kMaxSlots));
  ASSIGN_OR_RETURN(model.max_positions,
                   fields.IntOr("max_positions", 0, 0, kMaxCount));
  ASSIGN_OR_RETURN(model.experts, fields.IntOr("experts", 0, 0, kMaxSlots));
  ASSIGN_OR_RETURN(model.top_k, fields.IntOr("top_k", 0, 0, kMaxSlots));
  ASSIGN_OR_RETURN(model.moe_layers, fields.IntsOrEmpty("moe_layers"));
  if (fields.Has("routing")) {
    ASSIGN_OR_RETURN(const Json* outputs, fields.Array("routing"));
    for (const Json& item : *outputs) {
      std::vector<int64_t>& layers = model.routing.emplace_back();
      for (const Json& layer : item) {
        if (!layer.is_number_integer())
          return Error(Code::M109, where, ": model: routing holds no layers");
        layers.push_back(layer.get<int64_t>());
      }
    }
  }
  ASSIGN_OR_RETURN(model.eos_token_ids, fields.IntsOrEmpty("eos_token_ids"));
  const Json* kv = fields.Find("kv");
  if (kv == nullptr) return model;
  JsonFields kv_fields(*kv, Joined(where, ": model kv"), kManifestCodes);
  RETURN_IF_ERROR(kv_fields.Check());
  KvSpec spec;
  ASSIGN_OR_RETURN(const std::string dtype, kv_fields.String("dtype"));
  const std::optional<DType> known = DTypeFromName(dtype);
  if (!known)
    return Error(Code::M109, where, ": model kv: unknown dtype ",
                 Quoted(dtype));
  spec.dtype = *known;
  ASSIGN_OR_RETURN(spec.width, kv_fields.Int("width", 0, int64_t{1} << 24));
  ASSIGN_OR_RETURN(spec.layers, kv_fields.Int("layers", 0, int64_t{1} << 16));
  model.kv = spec;
  return model;
}

// Whether every element that the source names lies inside its tensor.
bool SourceFits(const ParamSpec& param, const SourceSpec& source) {
  std::optional<int64_t> elements = ElementCount(source.shape);
  if (elements && source.scaled &&
      source.scaled->layout.stored == StoredNumber::kF4E2M1)
    elements = Product({*elements, 2});
  if (!elements || source.n0 + source.n > param.n) return false;
  const int64_t groups = source.PerGroup() ? 1 : param.groups * param.shards;
  if (source.n == 0 || groups == 0 || param.k == 0) return true;
  int64_t last = source.offset;
  for (auto [count, stride] : {std::pair{source.n, source.stride_n},
                               std::pair{param.k, source.stride_k},
                               std::pair{groups, source.stride_g}}) {
    const std::optional<int64_t> step = Product({count - 1, stride});
    if (!step || __builtin_add_overflow(last, *step, &last)) return false;
  }
  return last < *elements;
}

// Whether there is a scale for every block of |elements| numbers.
bool ScalesFit(const ScaledSpec& scaled, int64_t elements) {
  const std::optional<int64_t> scales = ElementCount(scaled.shape);
  return scales && elements > 0 && elements % scaled.layout.columns == 0 &&
         scaled.layout.ScaleOf(elements - 1) == *scales - 1;
}

absl::StatusOr<ScaledSpec> ReadScaled(const Json& json,
                                      const std::string& where) {
  JsonFields fields(json, Joined(where, " scaled"), kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  ScaledSpec scaled;
  ASSIGN_OR_RETURN(const std::string stored, fields.String("stored"));
  if (stored != "f8e4m3" && stored != "f4e2m1")
    return Error(Code::M110, fields.where(), ": unknown numbers ",
                 Quoted(stored),
                 ". Compile the model again with this version.");
  if (stored == "f4e2m1") scaled.layout.stored = StoredNumber::kF4E2M1;
  ASSIGN_OR_RETURN(scaled.pattern, fields.String("pattern"));
  ASSIGN_OR_RETURN(scaled.shape, fields.Ints("shape"));
  ASSIGN_OR_RETURN(scaled.layout.columns, fields.Int("columns", 1, kMaxStride));
  ASSIGN_OR_RETURN(const std::vector<int64_t> block, fields.Ints("block"));
  if (block.size() != 2 || block[0] < 1 || block[1] < 1 ||
      block[0] > kMaxCount || block[1] > kMaxCount)
    return Error(Code::M109, fields.where(), ": block is not [rows, columns]");
  scaled.layout.block_rows = block[0];
  scaled.layout.block_columns = block[1];
  ASSIGN_OR_RETURN(scaled.pack, fields.String("pack"));
  return scaled;
}

absl::StatusOr<SourceSpec> ReadSource(const Json& json, const ParamSpec& param,
                                      const std::string& where) {
  JsonFields fields(json, Joined(where, " source"), kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  SourceSpec source;
  ASSIGN_OR_RETURN(source.pattern, fields.String("pattern"));
  ASSIGN_OR_RETURN(source.shape, fields.Ints("shape"));
  ASSIGN_OR_RETURN(source.n0, fields.IntOr("n0", 0, 0, kMaxCount));
  ASSIGN_OR_RETURN(source.n, fields.IntOr("n", param.n, 0, kMaxCount));
  ASSIGN_OR_RETURN(source.offset, fields.IntOr("offset", 0, 0, kMaxStride));
  ASSIGN_OR_RETURN(source.stride_n,
                   fields.IntOr("stride_n", param.k, 0, kMaxStride));
  ASSIGN_OR_RETURN(source.stride_k, fields.IntOr("stride_k", 1, 0, kMaxStride));
  ASSIGN_OR_RETURN(source.stride_g, fields.IntOr("stride_g", 0, 0, kMaxStride));
  if (const Json* scaled = fields.Find("scaled")) {
    ASSIGN_OR_RETURN(source.scaled, ReadScaled(*scaled, where));
    const std::optional<int64_t> stored = ElementCount(source.shape);
    const bool halves = source.scaled->layout.stored == StoredNumber::kF4E2M1;
    const std::optional<int64_t> numbers =
        stored ? Product({*stored, halves ? 2 : 1}) : std::nullopt;
    if (!numbers || !ScalesFit(*source.scaled, *numbers))
      return Error(Code::M109, where, ": source ", Quoted(source.pattern),
                   " has not one scale for each block");
  }
  if (!SourceFits(param, source))
    return Error(Code::M109, where, ": source ", Quoted(source.pattern),
                 " reaches outside its tensor or the parameter");
  return source;
}

absl::Status ReadParamSizes(JsonFields& fields, ParamSpec& param) {
  ASSIGN_OR_RETURN(param.index, fields.Int("index", 0, kMaxSlots));
  ASSIGN_OR_RETURN(param.layers, fields.IntOr("layers", 1, 1, kMaxSlots));
  ASSIGN_OR_RETURN(param.first_layer,
                   fields.IntOr("first_layer", 0, 0, kMaxSlots));
  ASSIGN_OR_RETURN(param.groups, fields.IntOr("groups", 1, 1, kMaxSlots));
  ASSIGN_OR_RETURN(param.shards, fields.IntOr("shards", 1, 1, kMaxRanks));
  ASSIGN_OR_RETURN(const std::vector<int64_t> shape, fields.Ints("shape"));
  param.rank = static_cast<int>(shape.size());
  if (param.rank != 1 && param.rank != 2)
    return Error(Code::M109, fields.where(), ": shape must have rank 1 or 2");
  param.n = shape[0];
  param.k = param.rank == 2 ? shape[1] : 1;
  if (param.n < 1 || param.n >= kMaxCount || param.k < 1 ||
      param.k >= kMaxCount)
    return Error(Code::M109, fields.where(), ": shape out of range");
  ASSIGN_OR_RETURN(const std::string dtype, fields.String("dtype"));
  const std::optional<DType> known = DTypeFromName(dtype);
  if (!known)
    return Error(Code::M109, fields.where(), ": unknown dtype ", Quoted(dtype));
  param.dtype = *known;
  return absl::OkStatus();
}

absl::Status ReadParamFormat(JsonFields& fields, ParamSpec& param) {
  ASSIGN_OR_RETURN(const std::string format, fields.String("format"));
  constexpr ParamFormat kFormats[] = {ParamFormat::kRaw, ParamFormat::kF32N32,
                                      ParamFormat::kBF16N32,
                                      ParamFormat::kBF16Amx};
  const auto it = std::find_if(
      std::begin(kFormats), std::end(kFormats),
      [&](ParamFormat known) { return FormatName(known) == format; });
  if (it == std::end(kFormats))
    return Error(Code::M110, fields.where(), ": unknown weight format ",
                 Quoted(format),
                 ". Compile the model again with this version.");
  param.format = *it;
  ASSIGN_OR_RETURN(param.pack, fields.StringOr("pack", ""));
  const bool raw = param.format == ParamFormat::kRaw;
  if (raw != param.pack.empty() || (!raw && param.rank != 2))
    return Error(Code::M109, fields.where(),
                 ": pack entry and shape do not fit format ", Quoted(format));
  const std::optional<int64_t> group =
      GroupBytes(param.format, param.dtype, param.n, param.k);
  const std::optional<int64_t> all =
      group ? Product({*group, param.groups, param.layers}) : std::nullopt;
  if (!all) return Error(Code::M109, fields.where(), ": size out of range");
  param.group_bytes = *group;
  param.bytes = *group * param.groups;
  ASSIGN_OR_RETURN(const int64_t bytes, fields.IntOr("bytes", param.bytes));
  ASSIGN_OR_RETURN(const int64_t group_bytes,
                   fields.IntOr("group_bytes", param.group_bytes));
  if (bytes != param.bytes || group_bytes != param.group_bytes)
    return Error(Code::M109, fields.where(), ": expects ", param.bytes,
                 " bytes in groups of ", param.group_bytes, ", found ", bytes,
                 " in groups of ", group_bytes);
  return absl::OkStatus();
}

absl::StatusOr<ParamSpec> ReadParam(const Json& json, std::string_view where) {
  JsonFields outer(json, Joined(where, ": param"), kManifestCodes);
  RETURN_IF_ERROR(outer.Check());
  ParamSpec param;
  ASSIGN_OR_RETURN(param.name, outer.String("name"));
  JsonFields fields(json, Joined(where, ": param ", Quoted(param.name)),
                    kManifestCodes);
  RETURN_IF_ERROR(ReadParamSizes(fields, param));
  RETURN_IF_ERROR(ReadParamFormat(fields, param));
  ASSIGN_OR_RETURN(const Json* sources, fields.Array("sources"));
  for (const Json& item : *sources) {
    ASSIGN_OR_RETURN(SourceSpec source,
                     ReadSource(item, param, fields.where()));
    param.sources.push_back(std::move(source));
  }
  if (param.sources.empty())
    return Error(Code::M109, fields.where(), ": has no source");
  return param;
}

absl::Status ReadParams(const Json& list, std::string_view where,
                        Manifest& manifest) {
  for (const Json& item : list) {
    ASSIGN_OR_RETURN(ParamSpec param, ReadParam(item, where));
    manifest.params.push_back(std::move(param));
  }
  std::vector<const ParamSpec*> order;
  for (const ParamSpec& param : manifest.params) order.push_back(&param);
  std::sort(order.begin(), order.end(),
            [](const ParamSpec* a, const ParamSpec* b) {
              return a->index < b->index;
            });
  for (const ParamSpec* param : order) {
    if (param->index < manifest.param_slots)
      return Error(Code::M109, where, ": param ", Quoted(param->name),
                   " shares table slot ", param->index, " with another");
    manifest.param_slots = param->index + param->layers;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Manifest> ReadManifest(const Json& json,
                                      std::string_view where) {
  JsonFields fields(json, std::string(where), kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  Manifest manifest;
  ASSIGN_OR_RETURN(manifest.name, fields.StringOr("name", ""));
  ASSIGN_OR_RETURN(manifest.producer, fields.StringOr("producer", ""));
  ASSIGN_OR_RETURN(manifest.compute, fields.StringOr("compute", ""));
  ASSIGN_OR_RETURN(manifest.source_hash, fields.StringOr("source_hash", ""));
  if (fields.Has("dims")) {
    ASSIGN_OR_RETURN(const std::vector<std::string> dims,
                     fields.Strings("dims"));
    if (!std::equal(dims.begin(), dims.end(), kDimNames.begin(),
                    kDimNames.end()))
      return Error(Code::M110, where, ": dims are not those of this runtime. ",
                   "Compile the model again with this version.");
  }
  const Json* model = fields.Find("model");
  if (model != nullptr && !model->empty()) {
    ASSIGN_OR_RETURN(manifest.model, ReadModel(*model, where));
  }
  RETURN_IF_ERROR(ReadMesh(fields, manifest));
  ASSIGN_OR_RETURN(const Json* entries, fields.Array("entries"));
  for (const Json& item : *entries) {
    ASSIGN_OR_RETURN(EntrySpec entry, ReadEntry(item, where));
    if (manifest.FindEntry(entry.name) != nullptr)
      return Error(Code::M109, where, ": entry ", Quoted(entry.name), " twice");
    manifest.entries.push_back(std::move(entry));
  }
  if (fields.Has("params")) {
    ASSIGN_OR_RETURN(const Json* params, fields.Array("params"));
    RETURN_IF_ERROR(ReadParams(*params, where, manifest));
  }
  if (const Json* config = fields.Find("config")) manifest.config = *config;
  return manifest;
}

absl::StatusOr<Manifest> ReadManifest(const ModuleFile& module) {
  return ReadManifest(module.manifest(), Joined(module.path(), ": manifest"));
}

}  // namespace moe
