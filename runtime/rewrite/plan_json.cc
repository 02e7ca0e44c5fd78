// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The table as JSON; what is as usual is left out:
//   {"version":1,"recipe":…,"seed":…,"folders":…,"config":{…},"donor":{…},
//    "counts":[…],"expert_map":[…],"tensors":[
//      {"name":…,"dtype":…,"shape":[…],"axis":1,"scale":2.0,"noise":0.1,
//       "folders":"each"|"mean",
//       "parts":[[{"of":…,"weight":…,"ranges":[[0,4]],
//                  "cluster":{"of":…,"count":…},"pick":…}]]},
//      {…,"kind":"random","std":0.02,"repeat":2},
//      {…,"kind":"centres","cluster":{…}}]}
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/rewrite/rewrite_plan.h"

namespace moe {
namespace {

constexpr int64_t kVersion = 1;
constexpr int64_t kMost = int64_t{1} << 48;  // of an index or an extent
constexpr const char* kKinds[] = {"combine", "random", "centres"};
constexpr const char* kFolders[] = {"first", "each", "mean"};

Json ClusterJson(const ClusterSpec& cluster) {
  return {{"of", cluster.tensor}, {"count", cluster.count}};
}

Json TermJson(const RewriteTerm& term) {
  Json json = {{"of", term.tensor}};
  if (term.weight != 1) json["weight"] = term.weight;
  if (!term.ranges.empty()) json["ranges"] = term.ranges;
  if (!term.cluster.tensor.empty()) {
    json["cluster"] = ClusterJson(term.cluster);
    json["pick"] = term.pick;
  }
  return json;
}

Json TensorJson(const RewriteTensor& tensor) {
  Json json = {{"name", tensor.name},
               {"dtype", DTypeName(tensor.dtype)},
               {"shape", tensor.shape}};
  if (tensor.kind != RewriteKind::kCombine)
    json["kind"] = kKinds[static_cast<size_t>(tensor.kind)];
  if (tensor.folders != FolderUse::kFirst)
    json["folders"] = kFolders[static_cast<size_t>(tensor.folders)];
  if (tensor.axis != 0) json["axis"] = tensor.axis;
  if (tensor.scale != 1) json["scale"] = tensor.scale;
  if (tensor.noise != 0) json["noise"] = tensor.noise;
  if (tensor.kind == RewriteKind::kRandom) {
    json["std"] = tensor.std;
    json["repeat"] = tensor.repeat;
  }
  if (tensor.kind == RewriteKind::kCentres)
    json["cluster"] = ClusterJson(tensor.cluster);
  if (tensor.parts.empty()) return json;
  Json parts = Json::array();
  for (const auto& terms : tensor.parts) {
    parts.push_back(Json::array());
    for (const RewriteTerm& term : terms)
      parts.back().push_back(TermJson(term));
  }
  json["parts"] = std::move(parts);
  return json;
}

template <typename T, size_t N>
absl::StatusOr<T> NamedValue(JsonFields& fields, const char* key,
                             const char* const (&names)[N]) {
  ASSIGN_OR_RETURN(const std::string text, fields.StringOr(key, names[0]));
  for (size_t i = 0; i < N; ++i)
    if (text == names[i]) return static_cast<T>(i);
  return Error(Code::M109, fields.where(), ": key ", Quoted(key), ": ",
               Quoted(text), " is not known");
}

absl::StatusOr<ClusterSpec> ReadCluster(const Json& json,
                                        const std::string& where) {
  JsonFields fields(json, where, kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  ClusterSpec cluster;
  ASSIGN_OR_RETURN(cluster.tensor, fields.String("of"));
  ASSIGN_OR_RETURN(cluster.count, fields.Int("count", 1, kMost));
  return cluster;
}

absl::StatusOr<RewriteTerm> ReadTerm(const Json& json,
                                     const std::string& where) {
  JsonFields fields(json, where, kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  RewriteTerm term;
  ASSIGN_OR_RETURN(term.tensor, fields.String("of"));
  ASSIGN_OR_RETURN(term.weight, fields.NumberOr("weight", 1));
  if (fields.Has("cluster")) {
    ASSIGN_OR_RETURN(const Json* cluster, fields.Object("cluster"));
    ASSIGN_OR_RETURN(term.cluster, ReadCluster(*cluster, where));
    ASSIGN_OR_RETURN(term.pick, fields.Int("pick", 0, term.cluster.count - 1));
  }
  if (!fields.Has("ranges")) return term;
  ASSIGN_OR_RETURN(const Json* ranges, fields.Array("ranges"));
  for (const Json& range : *ranges) {
    const auto number = [](const Json& value) {
      return value.is_number_unsigned() && value.get<uint64_t>() <= kMost;
    };
    if (!range.is_array() || range.size() != 2 || !number(range[0]) ||
        !number(range[1]))
      return Error(Code::M109, where, ": a range is no pair of indices");
    term.ranges.push_back({range[0].get<int64_t>(), range[1].get<int64_t>()});
  }
  return term;
}

absl::Status ReadParts(JsonFields& fields, RewriteTensor& tensor) {
  ASSIGN_OR_RETURN(const Json* parts, fields.Array("parts"));
  for (const Json& part : *parts) {
    if (!part.is_array() || part.empty())
      return Error(Code::M109, fields.where(), ": a part has no terms");
    tensor.parts.emplace_back();
    for (const Json& json : part) {
      ASSIGN_OR_RETURN(RewriteTerm term, ReadTerm(json, fields.where()));
      tensor.parts.back().push_back(std::move(term));
    }
  }
  if (tensor.parts.empty())
    return Error(Code::M109, fields.where(), ": has no parts");
  return absl::OkStatus();
}

absl::StatusOr<RewriteTensor> ReadTensor(const Json& json,
                                         const std::string& table) {
  JsonFields fields(json, table, kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  RewriteTensor tensor;
  ASSIGN_OR_RETURN(tensor.name, fields.String("name"));
  ASSIGN_OR_RETURN(const std::string dtype, fields.String("dtype"));
  const auto known = DTypeFromName(dtype);
  ASSIGN_OR_RETURN(tensor.shape, fields.Ints("shape"));
  bool good = known && IsFloat(*known) && !tensor.shape.empty();
  for (int64_t extent : tensor.shape)
    good &= extent == -1 || (extent > 0 && extent <= kMost);
  if (!good)
    return Error(Code::M109, table, ": tensor ", Quoted(tensor.name),
                 " has a dtype or shape that no weight has");
  tensor.dtype = *known;
  ASSIGN_OR_RETURN(tensor.kind,
                   NamedValue<RewriteKind>(fields, "kind", kKinds));
  ASSIGN_OR_RETURN(tensor.folders,
                   NamedValue<FolderUse>(fields, "folders", kFolders));
  ASSIGN_OR_RETURN(const int64_t axis,
                   fields.IntOr("axis", 0, 0,
                                static_cast<int64_t>(tensor.shape.size()) - 1));
  tensor.axis = static_cast<size_t>(axis);
  ASSIGN_OR_RETURN(tensor.scale, fields.NumberOr("scale", 1));
  ASSIGN_OR_RETURN(tensor.noise, fields.NumberOr("noise", 0));
  ASSIGN_OR_RETURN(tensor.std, fields.NumberOr("std", 0));
  ASSIGN_OR_RETURN(tensor.repeat, fields.IntOr("repeat", 1, 1, kMost));
  if (tensor.kind == RewriteKind::kCentres) {
    ASSIGN_OR_RETURN(const Json* cluster, fields.Object("cluster"));
    ASSIGN_OR_RETURN(tensor.cluster, ReadCluster(*cluster, fields.where()));
  }
  if (tensor.kind == RewriteKind::kCombine)
    RETURN_IF_ERROR(ReadParts(fields, tensor));
  return tensor;
}

}  // namespace

Json ToJson(const RewritePlan& plan) {
  Json tensors = Json::array();
  for (const RewriteTensor& tensor : plan.tensors)
    tensors.push_back(TensorJson(tensor));
  Json json = {{"version", kVersion},   {"recipe", plan.recipe},
               {"seed", plan.seed},     {"folders", plan.folders},
               {"config", plan.config}, {"donor", plan.donor},
               {"counts", plan.counts}};
  if (!plan.expert_map.empty()) json["expert_map"] = plan.expert_map;
  json["tensors"] = std::move(tensors);
  return json;
}

absl::StatusOr<RewritePlan> ReadRewritePlan(const Json& json,
                                            std::string_view where) {
  const std::string table = Joined(where, ": table of the rewrite");
  JsonFields fields(json, table, kManifestCodes);
  RETURN_IF_ERROR(fields.Check());
  RETURN_IF_ERROR(fields.Int("version", kVersion, kVersion).status());
  RewritePlan plan;
  ASSIGN_OR_RETURN(plan.recipe, fields.String("recipe"));
  const Json* seed = fields.Find("seed");
  if (seed == nullptr || !seed->is_number_unsigned())
    return Error(Code::M109, table, ": has no seed");
  plan.seed = seed->get<uint64_t>();
  ASSIGN_OR_RETURN(plan.folders, fields.Int("folders", 0, 65536));
  ASSIGN_OR_RETURN(const Json* config, fields.Object("config"));
  ASSIGN_OR_RETURN(const Json* donor, fields.Object("donor"));
  plan.config = *config;
  plan.donor = *donor;
  ASSIGN_OR_RETURN(plan.counts, fields.StringsOrEmpty("counts"));
  if (fields.Has("expert_map")) {
    ASSIGN_OR_RETURN(const Json* map, fields.Array("expert_map"));
    for (const Json& layer : *map) {
      plan.expert_map.emplace_back();
      for (const Json& expert : layer)
        if (expert.is_number_integer())
          plan.expert_map.back().push_back(expert.get<int64_t>());
    }
  }
  ASSIGN_OR_RETURN(const Json* tensors, fields.Array("tensors"));
  for (const Json& each : *tensors) {
    ASSIGN_OR_RETURN(RewriteTensor tensor, ReadTensor(each, table));
    plan.tensors.push_back(std::move(tensor));
  }
  return plan;
}

}  // namespace moe
