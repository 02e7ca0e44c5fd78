// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// upcycle, split and mix: the feed-forward part of every layer of a dense donor
// becomes experts and a router whose weights sum to 1.
//
//   upcycle   expert c·G + g is part g of copy c of the layer; the rows of the
//             router are equal within a copy, so that whole copies are chosen,
//             each part with a G-th of the weight, which a scale of G undoes
//   split     expert e is part e of the layer; with a router of zeros each of
//             the K chosen has the weight 1/K, which a scale of K undoes
//   mix       expert e is the layer of folder e; all else is the mean
#include <algorithm>
#include <string>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/rewrite/planner.h"

namespace moe {
namespace {

struct DenseFamily {
  const char* from;
  const char* to;
  const char* architecture;
  const char* block;             // behind "model.layers.N."
  const char *gate, *up, *down;  // of an expert
  const char *count_key, *width_key;
};

constexpr DenseFamily kFamilies[] = {
    {"llama", "mixtral", "MixtralForCausalLM", "block_sparse_moe.", "w1", "w3",
     "w2", "num_local_experts", "intermediate_size"},
    {"mistral", "mixtral", "MixtralForCausalLM", "block_sparse_moe.", "w1",
     "w3", "w2", "num_local_experts", "intermediate_size"},
    {"qwen3", "qwen3_moe", "Qwen3MoeForCausalLM", "mlp.", "gate_proj",
     "up_proj", "down_proj", "num_experts", "moe_intermediate_size"},
};

constexpr std::string_view kMlp = ".mlp.";
constexpr std::string_view kGate = ".mlp.gate_proj.weight";
constexpr std::string_view kUp = ".mlp.up_proj.weight";
constexpr std::string_view kDown = ".mlp.down_proj.weight";

// What the recipe makes of one layer.
struct Shape {
  int64_t copies = 1;  // 0: one for each folder
  int64_t parts = 1;   // of each copy
  int64_t top_k = 1;
  double scale = 1;  // of what an expert gives
  int64_t experts() const { return copies * parts; }
};

bool Truthy(const Json& config, const char* key) {
  const auto found = config.find(key);
  return found != config.end() && *found == true;
}

absl::StatusOr<const DenseFamily*> FindFamily(const Recipe& recipe,
                                              const Json& config) {
  const Json type = config.value("model_type", Json());
  for (const DenseFamily& family : kFamilies)
    if (type == family.from) {
      // What the mixture of the family does not have.
      for (const char* key : {"mlp_bias", "use_sliding_window"})
        if (Truthy(config, key))
          return Error(Code::K111, "--rewrite ", recipe.text, ": ", family.to,
                       " has no ", key, ", which the donor has");
      if (std::string_view(family.to) == "mixtral" &&
          Truthy(config, "attention_bias"))
        return Error(Code::K111, "--rewrite ", recipe.text,
                     ": mixtral has no attention_bias, which the donor has");
      return &family;
    }
  return Error(Code::K111, "--rewrite ", recipe.text,
               " takes a dense donor: llama, mistral or qwen3; this is ",
               Quoted(DumpJson(type)));
}

absl::StatusOr<Shape> ShapeFor(const Recipe& recipe, int64_t width) {
  Shape shape;
  const int64_t usual = recipe.kind == RecipeKind::kMix && recipe.count == 0
                            ? 2
                            : std::min<int64_t>(2, recipe.count);
  const int64_t chosen = recipe.top_k > 0 ? recipe.top_k : usual;
  if (recipe.kind != RecipeKind::kSplit) {
    shape.copies = recipe.count;
    shape.parts = recipe.granular;
    shape.top_k = chosen * shape.parts;
    shape.scale = static_cast<double>(shape.parts);
  } else {
    shape.parts = recipe.count;
    shape.top_k = chosen;
    shape.scale = recipe.llama_scale ? static_cast<double>(recipe.count) /
                                           static_cast<double>(chosen)
                                     : static_cast<double>(chosen);
  }
  if (recipe.count > 0 && chosen > recipe.count)
    return Error(Code::U103, "--rewrite ", recipe.text, ": top_k ", chosen,
                 " is larger than ", recipe.count);
  if (width % shape.parts != 0)
    return Error(Code::K111, "--rewrite ", recipe.text, ": ", shape.parts,
                 " parts do not divide the ", width,
                 " neurons of a layer (intermediate_size)");
  if (shape.copies > 0 && shape.experts() > 65536)
    return Error(Code::U103, "--rewrite ", recipe.text, ": ", shape.experts(),
                 " experts are more than 65536");
  return shape;
}

Json NewConfig(const Json& donor, const DenseFamily& family, const Shape& shape,
               int64_t width) {
  Json config = donor;
  for (const char* key :
       {"attention_bias", "mlp_bias", "pretraining_tp", "layer_types"})
    if (std::string_view(family.to) == "mixtral") config.erase(key);
  config["model_type"] = family.to;
  config["architectures"] = Json::array({family.architecture});
  config[family.count_key] = shape.experts();
  config["num_experts_per_tok"] = shape.top_k;
  config[family.width_key] = width / shape.parts;
  // What one family takes for an absent key another does not.
  const auto pin = [&](const char* key, const Json& value) {
    if (config.value(key, Json()).is_null()) config[key] = value;
  };
  const bool mistral = donor.value("model_type", Json()) == "mistral";
  pin("rms_norm_eps", mistral ? 1e-5 : 1e-6);
  pin("num_key_value_heads", config.value("num_attention_heads", Json()));
  const Json rope = config.value("rope_parameters", Json());
  if (!rope.is_object() || !rope.contains("rope_theta"))
    pin("rope_theta", 10000.0);
  if (std::string_view(family.to) == "mixtral") {
    pin("sliding_window", Json());
  } else {
    config["norm_topk_prob"] = true;
    config["decoder_sparse_step"] = 1;
    config["mlp_only_layers"] = Json::array();
  }
  return config;
}

class DensePlanner {
 public:
  DensePlanner(const Recipe& recipe, const DenseFamily& family,
               const Shape& shape, RewritePlan& plan)
      : recipe_(recipe), family_(family), shape_(shape), plan_(plan) {}

  // |gate| names the layer.
  void AddRouter(const DonorTensor& gate, std::string_view layer) {
    RewriteTensor router;
    router.name = Joined(layer, ".", family_.block, "gate.weight");
    router.dtype = gate.dtype;
    router.shape = {shape_.copies > 0 ? shape_.experts() : -1, gate.shape[1]};
    router.kind = RewriteKind::kRandom;
    router.repeat = shape_.parts;
    const Json range = plan_.donor.value("initializer_range", Json());
    router.std = range.is_number() ? range.get<double>() : 0.02;
    if (recipe_.kind == RecipeKind::kSplit) {
      router.repeat = 1;
      // All are chosen: then each has the same weight.
      if (shape_.top_k == shape_.parts) {
        router.std = 0;
      } else if (recipe_.cluster) {
        router.kind = RewriteKind::kCentres;
        router.cluster = {gate.name, shape_.parts};
      }
    }
    plan_.tensors.push_back(std::move(router));
  }

  // The parts of one matrix of a layer, whose neurons lie along |axis|.
  void AddExperts(const DonorTensor& matrix, std::string_view layer,
                  const char* name, size_t axis, double scale) {
    RewriteTensor made = CopyOf(matrix, FolderUse::kFirst);
    made.axis = axis;
    made.shape[axis] /= shape_.parts;
    made.scale = scale;
    made.noise = recipe_.noise;
    const std::string prefix = Joined(layer, ".", family_.block, "experts.");
    if (shape_.copies == 0 || recipe_.kind == RecipeKind::kMix) {
      made.name = Joined(prefix, "{e}.", name, ".weight");
      made.folders = FolderUse::kEach;
      plan_.tensors.push_back(std::move(made));
      return;
    }
    for (int64_t e = 0; e < shape_.experts(); ++e) {
      RewriteTensor expert = made;
      expert.name = Joined(prefix, e, ".", name, ".weight");
      const int64_t part = e % shape_.parts;
      RewriteTerm& term = expert.parts[0][0];
      if (recipe_.cluster) {
        term.cluster = {Joined(layer, kGate), shape_.parts};
        term.pick = part;
      } else if (shape_.parts > 1) {
        term.ranges = {{part * made.shape[axis], made.shape[axis]}};
      }
      plan_.tensors.push_back(std::move(expert));
    }
  }

 private:
  const Recipe& recipe_;
  const DenseFamily& family_;
  const Shape shape_;
  RewritePlan& plan_;
};

}  // namespace

absl::Status PlanFromDense(const Recipe& recipe, DonorTensors donor,
                           RewritePlan& plan) {
  ASSIGN_OR_RETURN(const DenseFamily* family, FindFamily(recipe, plan.donor));
  ASSIGN_OR_RETURN(const int64_t width,
                   CountIn(plan.donor, "intermediate_size"));
  ASSIGN_OR_RETURN(const Shape shape, ShapeFor(recipe, width));
  if (recipe.kind == RecipeKind::kMix) {
    plan.folders = recipe.count;
    if (recipe.count == 0) plan.counts = {family->count_key};
    if (recipe.count == 1)
      return Error(Code::U103, "--rewrite ", recipe.text,
                   ": a mixture of one folder is no mixture");
  }
  plan.config = NewConfig(plan.donor, *family, shape, width);
  DensePlanner planner(recipe, *family, shape, plan);
  const FolderUse rest =
      recipe.kind == RecipeKind::kMix ? FolderUse::kMean : FolderUse::kFirst;
  for (const DonorTensor& tensor : donor) {
    const std::string_view name = tensor.name;
    const std::string_view layer = name.substr(0, name.rfind(kMlp));
    if (name.ends_with(kGate)) {
      planner.AddRouter(tensor, layer);
      planner.AddExperts(tensor, layer, family->gate, 0, 1);
    } else if (name.ends_with(kUp)) {
      planner.AddExperts(tensor, layer, family->up, 0, 1);
    } else if (name.ends_with(kDown)) {
      planner.AddExperts(tensor, layer, family->down, 1, shape.scale);
    } else {
      plan.tensors.push_back(CopyOf(tensor, rest));
    }
  }
  return absl::OkStatus();
}

}  // namespace moe
