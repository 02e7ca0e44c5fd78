// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/rewrite/rewrite_plan.h"

#include <charconv>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lib/core/errors.h"
#include "lib/core/module_file.h"
#include "lib/core/safetensors.h"
#include "lib/core/status_macros.h"
#include "runtime/rewrite/planner.h"

namespace moe {
namespace {

// Each tensor once, however many parameters read it, in their order.
absl::StatusOr<std::vector<DonorTensor>> TensorsOf(const Recipe& recipe,
                                                   const Manifest& manifest) {
  std::vector<DonorTensor> tensors;
  absl::flat_hash_set<std::string> names;
  for (const ParamSpec& param : manifest.params)
    for (int64_t layer = 0; layer < param.layers; ++layer)
      for (const SourceSpec& source : param.sources)
        for (int64_t group = 0; group < param.groups; ++group) {
          std::string name =
              source.TensorName(param.first_layer + layer, group);
          if (source.scaled)
            return Error(Code::W112, "--rewrite ", recipe.text, ": tensor ",
                         Quoted(name),
                         " of the donor is quantised. Use a checkpoint in "
                         "bf16 or f32.");
          if (names.insert(name).second)
            tensors.push_back({std::move(name), param.dtype, source.shape});
        }
  return tensors;
}

}  // namespace

RewriteTensor CopyOf(const DonorTensor& tensor, FolderUse folders) {
  RewriteTensor copy;
  copy.name = tensor.name;
  copy.dtype = tensor.dtype;
  copy.shape = tensor.shape;
  copy.folders = folders;
  copy.parts = {{RewriteTerm{.tensor = tensor.name}}};
  return copy;
}

std::optional<int64_t> LayerOfName(std::string_view name) {
  for (std::string_view mark : {"layers.", "blocks."}) {
    const size_t at = name.find(mark);
    if (at == std::string_view::npos) continue;
    const char* end = name.data() + name.size();
    int64_t layer = 0;
    const auto [last, error] =
        std::from_chars(name.data() + at + mark.size(), end, layer);
    // No model has more layers, and the number makes a place in a list.
    if (error == std::errc() && last != end && *last == '.' && layer >= 0 &&
        layer < 100'000)
      return layer;
  }
  return std::nullopt;
}

absl::StatusOr<int64_t> CountIn(const Json& config, std::string_view key) {
  JsonFields fields(config, "config.json", kConfigCodes);
  return fields.Int(key, 1, int64_t{1} << 32);
}

absl::StatusOr<RewritePlan> PlanRewrite(const Recipe& recipe,
                                        const Manifest& manifest) {
  if (!manifest.model || !manifest.config.is_object())
    return Error(Code::K111, "--rewrite ", recipe.text,
                 ": the donor needs a config.json: give its folder, or a "
                 "description that carries one");
  if (manifest.Ranks() > 1)
    return Error(Code::U104, "--rewrite and --mesh cannot go together");
  ASSIGN_OR_RETURN(const std::vector<DonorTensor> donor,
                   TensorsOf(recipe, manifest));
  RewritePlan plan;
  plan.recipe = recipe.text;
  plan.seed = recipe.seed;
  plan.donor = manifest.config;
  const bool fewer =
      recipe.kind == RecipeKind::kPrune || recipe.kind == RecipeKind::kMerge;
  RETURN_IF_ERROR(fewer ? PlanFewerExperts(recipe, donor, plan)
                        : PlanFromDense(recipe, donor, plan));
  return plan;
}

absl::StatusOr<std::string> AddRewrite(std::string_view module,
                                       std::string_view recipe) {
  ASSIGN_OR_RETURN(const Recipe parsed, ParseRecipe(recipe));
  ASSIGN_OR_RETURN(
      const ModuleFile file,
      ModuleFile::Parse(std::as_bytes(std::span(module)), "module"));
  ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(file));
  ASSIGN_OR_RETURN(const RewritePlan plan, PlanRewrite(parsed, manifest));
  const std::string table = DumpJson(ToJson(plan));
  ModuleWriter writer;
  writer.SetManifest(file.manifest());
  for (const ModuleSection& section : file.sections())
    if (section.name != kManifestSection)
      writer.AddSection(section.name, section.bytes);
  writer.AddSection(std::string(kRewriteSection), AsBytes(table));
  return writer.Serialize();
}

}  // namespace moe
