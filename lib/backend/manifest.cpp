// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/manifest.h"

#include "dialect/nn/NnParams.h"

#include "dialect/moe/MoeDialect.h"
#include "lib/core/errors.h"
#include "lib/core/module_file.h"
#include "lib/core/status_macros.h"

#include <algorithm>
#include <set>

using namespace mlir;
using namespace mlir::moe;
using ::moe::Code;
using ::moe::Error;
using ::moe::Json;

static std::string printed(Type type) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << type;
  return text;
}

/// The name of dimension |i| of a buffer, which is dynamic. |rows| says what its
/// rows are where its name does not: tokens, sequences or boundaries.
static StringRef dimName(StringRef buffer, int64_t i, bool hasCache,
                         StringRef rows) {
  if (rows == "boundaries")
    return "sequences+1";
  if (!rows.empty())
    return rows;
  if (buffer == "block_table")
    return i == 0 ? "slots" : "pages_per_sequence";
  if (buffer == "cu_seqlens")
    return "sequences+1";
  if (buffer == "slot" || (buffer == "logits" && hasCache))
    return "sequences";
  return "tokens";
}

static absl::StatusOr<Json> makeBuffer(StringRef entry, StringRef name,
                                       StringRef role, Type type, bool hasCache,
                                       StringAttr rowsAttr) {
  StringRef rows = rowsAttr ? rowsAttr.getValue() : StringRef();
  if (rowsAttr &&
      !llvm::is_contained({"tokens", "sequences", "boundaries"}, rows))
    return Error(Code::K109, "entry '", entry.str(), "': nn.rows of '",
                 name.str(), "' is '", rows.str(),
                 "', expected tokens, sequences or boundaries");
  auto tensor = dyn_cast<RankedTensorType>(type);
  Json buffer = {{"name", name.str()}, {"role", role.str()}};
  if (!tensor || !tensor.getElementType().isIntOrFloat())
    return Error(Code::K109, "entry '", entry.str(), "': '", name.str(),
                 "' of type ", printed(type), " cannot cross into native code");
  Json shape = Json::array();
  int64_t named = 0;
  for (int64_t i = 0; i < tensor.getRank(); ++i) {
    if (!tensor.isDynamicDim(i)) {
      shape.push_back(tensor.getDimSize(i));
      continue;
    }
    if (named++ && name != "block_table")
      return Error(Code::K109, "entry '", entry.str(), "': '", name.str(),
                   "' has two dimensions that are not static");
    shape.push_back(dimName(name, i, hasCache, rows).str());
  }
  buffer["dtype"] = printed(tensor.getElementType());
  buffer["shape"] = std::move(shape);
  return buffer;
}

static std::string nameOf(StringAttr given, StringRef kind, unsigned i) {
  return given ? given.str() : kind.str() + std::to_string(i);
}

static absl::StatusOr<Json> makeEntry(func::FuncOp function) {
  StringRef name = function.getName();
  bool hasCache =
      llvm::any_of(function.getArgumentTypes(), llvm::IsaPred<nn::CacheType>);
  Json buffers = Json::array(), cache;
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
    auto given = function.getArgAttrOfType<StringAttr>(i, "nn.name");
    std::string argument = nameOf(given, "arg", i);
    if (isa<nn::CacheType>(type)) {
      if (!cache.is_null())
        return Error(Code::K109, "entry '", name.str(), "' has two caches");
      cache = {{"name", argument}, {"role", "cache"}};
      continue;
    }
    ASSIGN_OR_RETURN(
        Json buffer,
        makeBuffer(name, argument, "input", type, hasCache,
                   function.getArgAttrOfType<StringAttr>(i, "nn.rows")));
    buffers.push_back(std::move(buffer));
  }
  buffers.push_back({{"name", "params"}, {"role", "params"}});
  if (hasCache)
    buffers.push_back(std::move(cache));
  for (auto [i, type] : llvm::enumerate(function.getResultTypes())) {
    auto given = function.getResultAttrOfType<StringAttr>(i, "nn.name");
    ASSIGN_OR_RETURN(
        Json buffer,
        makeBuffer(name, nameOf(given, "result", i), "output", type, hasCache,
                   function.getResultAttrOfType<StringAttr>(i, "nn.rows")));
    buffers.push_back(std::move(buffer));
  }
  Json entry = {{"name", name.str()}, {"buffers", std::move(buffers)}};
  // What passes/train/Recompute.h says of gradients.
  if (auto policy = function->getAttrOfType<StringAttr>("nn.recompute"))
    entry["recompute"] = policy.str();
  function.walk([&](nn::LayersOp loop) {
    if (auto bytes = loop->getAttrOfType<DenseI64ArrayAttr>("nn.kept_bytes"))
      entry["kept"].push_back({{"layers", {loop.getLower(), loop.getUpper()}},
                               {"token_bytes", bytes[0]},
                               {"bytes", bytes[1]}});
  });
  return entry;
}

namespace {
/// What the operations of a program tell about its model.
struct ModelFacts {
  int64_t vocab = 0, layers = 0, cached = 0, experts = 0, topK = 0;
  std::set<int64_t> moeLayers;
  nn::CacheType cache;
  Type compute;
};
} // namespace

/// The layers whose experts the body of |loop| runs, by its index.
static SmallVector<::moe::LayerPlace> expertLayers(nn::LayersOp loop) {
  SmallVector<::moe::LayerPlace> places;
  loop.walk([&](nn::ParamGetOp get) {
    bool ofExperts = llvm::any_of(get->getUsers(), [](Operation *user) {
      return isa<GroupedMatmulOp, ExpertsOp>(user);
    });
    auto place = ofExperts ? nn::placeOf(get) : std::nullopt;
    if (place)
      places.push_back(*place);
  });
  if (places.empty())
    places.push_back({});
  return places;
}

static ModelFacts collectFacts(ModuleOp module) {
  ModelFacts facts;
  module.walk([&](nn::LayersOp loop) {
    facts.layers = std::max<int64_t>(facts.layers, loop.getUpper());
  });
  module.walk([&](nn::EmbeddingOp op) {
    auto type = cast<RankedTensorType>(op.getY().getType());
    facts.compute = type.getElementType();
  });
  module.walk([&](Operation *op) {
    for (Type type : op->getResultTypes()) {
      auto plan = dyn_cast<PlanType>(type);
      if (!plan)
        continue;
      facts.experts = std::max<int64_t>(facts.experts, plan.getExperts());
      facts.topK = std::max<int64_t>(facts.topK, plan.getK());
      if (auto loop = op->getParentOfType<nn::LayersOp>())
        for (auto [scale, offset] : expertLayers(loop))
          for (int64_t i = loop.getLower(), end = loop.getUpper(); i < end; ++i)
            facts.moeLayers.insert(scale * i + offset);
    }
  });
  module.walk([&](nn::ParamGetOp get) {
    auto range = nn::layersOf(get.getLayer());
    if (auto place = nn::placeOf(get); place && range)
      facts.layers = std::max(facts.layers,
                              place->scale * range->second + place->offset + 1);
  });
  module.walk([&](nn::AttendOp op) {
    auto range = nn::layersOf(op.getLayer());
    if (op.getCache() && range)
      facts.cached = std::max(facts.cached, range->second + 1);
  });
  module.walk([&](nn::CrossEntropyOp op) {
    facts.vocab = cast<RankedTensorType>(op.getX().getType()).getDimSize(1);
  });
  module.walk([&](nn::HeadLossOp op) {
    facts.vocab = cast<RankedTensorType>(op.getW().getType()).getDimSize(0);
  });
  for (auto function : module.getOps<func::FuncOp>()) {
    for (Type type : function.getArgumentTypes())
      if (auto cache = dyn_cast<nn::CacheType>(type))
        facts.cache = cache;
    for (auto [i, type] : llvm::enumerate(function.getResultTypes())) {
      auto given = function.getResultAttrOfType<StringAttr>(i, "nn.name");
      auto tensor = dyn_cast<RankedTensorType>(type);
      if (given && given.getValue() == "logits" && tensor && tensor.getRank())
        facts.vocab = tensor.getShape().back();
    }
  }
  return facts;
}

static Json integers(ArrayAttr attributes) {
  Json values = Json::array();
  if (attributes)
    for (auto value : attributes.getAsRange<IntegerAttr>())
      values.push_back(value.getInt());
  return values;
}

/// For each pair of results with routing the layers that it holds.
static Json describeRouting(ModuleOp module) {
  Json routing = Json::array();
  for (auto function : module.getOps<func::FuncOp>())
    for (unsigned i = 0; i < function.getNumResults(); ++i) {
      auto name = function.getResultAttrOfType<StringAttr>(i, "nn.name");
      auto range = function.getResultAttrOfType<ArrayAttr>(i, "nn.layers");
      if (!name || !range || range.size() < 2 ||
          !name.getValue().ends_with(".idx"))
        continue;
      auto at = [&](unsigned place) {
        return cast<IntegerAttr>(range[place]).getInt();
      };
      Json layers = Json::array();
      for (int64_t layer = at(0); layer < at(1);
           layer += range.size() > 2 ? at(2) : 1)
        layers.push_back(layer);
      routing.push_back(std::move(layers));
    }
  return routing;
}

static Json describeModel(ModuleOp module, const ModelFacts &facts) {
  Json model = {{"vocab_size", facts.vocab}, {"layers", facts.layers}};
  if (auto most = module->getAttrOfType<IntegerAttr>("moe.max_positions"))
    model["max_positions"] = most.getInt();
  model["experts"] = facts.experts;
  model["top_k"] = facts.topK;
  model["moe_layers"] = facts.moeLayers;
  Attribute eos = module->getAttr("moe.eos_token_ids");
  if (auto dense = dyn_cast_or_null<DenseI64ArrayAttr>(eos))
    model["eos_token_ids"] = dense.asArrayRef().vec();
  else
    model["eos_token_ids"] = integers(dyn_cast_or_null<ArrayAttr>(eos));
  if (facts.cache)
    model["kv"] = {{"dtype", printed(facts.cache.getElementType())},
                   {"width", facts.cache.getWidth()},
                   {"layers", facts.cached ? facts.cached : facts.layers}};
  Json routing = describeRouting(module);
  if (routing.size() > 1)
    model["routing"] = std::move(routing);
  return model;
}

absl::StatusOr<Json> mlir::moe::makeManifest(ModuleOp module,
                                             const ManifestOptions &options) {
  ModelFacts facts = collectFacts(module);
  auto name = module->getAttrOfType<StringAttr>("moe.name");
  Json manifest = {{"format", ::moe::kManifestFormat},
                   {"abi", ::moe::kModuleAbi},
                   {"producer", producer.str()},
                   {"name", name ? name.str() : ""},
                   {"compute", facts.compute ? printed(facts.compute) : "f32"},
                   {"source_hash", options.sourceHash}};
  if (facts.vocab > 0)
    manifest["model"] = describeModel(module, facts);
  manifest["dims"] = {"tokens",      "sequences",          "longest",
                      "page_length", "pages_per_sequence", "pages",
                      "rank_tokens"};
  if (auto mesh = module->getAttrOfType<DictionaryAttr>("moe.mesh"))
    manifest["mesh"] = {
        {{"axis", "ep"}, {"ranks", mesh.getAs<IntegerAttr>("ep").getInt()}}};
  manifest["entries"] = Json::array();
  for (auto function : module.getOps<func::FuncOp>()) {
    if (!function->hasAttr("nn.entry"))
      continue;
    ASSIGN_OR_RETURN(Json entry, makeEntry(function));
    manifest["entries"].push_back(std::move(entry));
  }
  if (manifest["entries"].empty())
    return Error(Code::I002, "the program has no entry");
  manifest["params"] = Json::array();
  for (auto param : module.getOps<nn::ParamOp>()) {
    if (!param->hasAttr("nn.index"))
      continue;
    ASSIGN_OR_RETURN(Json described, describeParam(param));
    manifest["params"].push_back(std::move(described));
  }
  if (auto config = module->getAttrOfType<StringAttr>("moe.config")) {
    auto parsed = ::moe::ParseJson(config.str(), "moe.config");
    if (parsed.ok())
      manifest["config"] = *std::move(parsed);
  }
  return manifest;
}
