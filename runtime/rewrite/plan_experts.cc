// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// prune and merge: each new expert, and its row of the router, is the weighted
// mean of a group of old ones. Pruning has groups of one. With router=map the
// router keeps a row for each old expert, and expert_map of config.json says
// which new one it stands for.
#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/rewrite/planner.h"

namespace moe {
namespace {

using Group = std::vector<std::pair<int64_t, double>>;  // experts and weights
using Groups = std::vector<Group>;                      // the new experts

// Where the numbers stand in config.json, with the object that holds them.
constexpr const char* kCountKeys[] = {"num_local_experts", "num_experts",
                                      "n_routed_experts", "moe_num_experts"};
constexpr const char* kTopKeys[] = {"num_experts_per_tok", "moe_k",
                                    "moe_top_k"};

// Names of tensors with something for each expert along an axis.
struct Stacked {
  std::string_view end;
  size_t axis = 0;
};
constexpr Stacked kStacked[] = {
    {".mlp.gate.weight"},
    {".block_sparse_moe.gate.weight"},
    {".router.layer.weight"},
    {".mlp.router.weight"},
    {".mlp.router.bias"},
    {".gate.e_score_correction_bias"},
    {".moe_statics.e_score_correction_bias", 1},
    {".block_sparse_moe.input_linear.weight"},
    {".block_sparse_moe.output_linear.weight"},
    {".experts.gate_up_proj"},
    {".experts.gate_up_proj_bias"},
    {".experts.down_proj"},
    {".experts.down_proj_bias"},
    {".ffn.experts.mlp.w1"},
    {".ffn.experts.mlp.v1"},
    {".ffn.experts.mlp.w2"},
};

const Stacked* FindStacked(std::string_view name) {
  for (const Stacked& stacked : kStacked)
    if (name.ends_with(stacked.end)) return &stacked;
  return nullptr;
}

// "a.experts.7.b" is "a.experts.", 7 and ".b".
struct ExpertName {
  std::string_view before, after;
  int64_t expert = 0;
};
std::optional<ExpertName> SplitName(std::string_view name) {
  constexpr std::string_view kExperts = ".experts.";
  const size_t at = name.find(kExperts);
  if (at == std::string_view::npos) return std::nullopt;
  ExpertName split{name.substr(0, at + kExperts.size()), {}, 0};
  const char* end = name.data() + name.size();
  const auto [last, error] = std::from_chars(
      split.before.data() + split.before.size(), end, split.expert);
  if (error != std::errc() || last == end || *last != '.') return std::nullopt;
  split.after = std::string_view(last, static_cast<size_t>(end - last));
  return split;
}

Json& ObjectOf(Json& config) {
  const auto ffn = config.find("ffn_config");
  return ffn != config.end() && ffn->is_object() ? *ffn : config;
}

absl::StatusOr<int64_t> CountOf(Json config,
                                std::span<const char* const> keys) {
  Json& object = ObjectOf(config);
  for (const char* key : keys)
    if (object.contains(key) && !object[key].is_null())
      return CountIn(object, key);
  return CountIn(object, keys.front());
}

absl::Status CheckDonor(const Recipe& recipe, const Json& config) {
  const auto refuse = [&](const auto&... why) {
    return Error(Code::K111, "--rewrite ", recipe.text, ": ", why...);
  };
  if (config.value("model_type", Json()) == "jetmoe")
    return refuse("experts of jetmoe are heads of attention, too");
  constexpr std::string_view kMapped[] = {"mixtral", "olmoe", "qwen2_moe",
                                          "qwen3_moe"};
  const Json type = config.value("model_type", Json());
  if (recipe.map_router &&
      std::none_of(std::begin(kMapped), std::end(kMapped),
                   [&](std::string_view each) { return type == each; }))
    return refuse("router=map is for mixtral, olmoe, qwen2_moe and qwen3_moe");
  if (config.contains("expert_map"))
    return refuse("experts of the donor were merged before");
  for (const char* key : {"n_group", "topk_group"}) {
    const Json value = config.value(key, Json());
    if (value.is_number() && value.get<int64_t>() > 1)
      return refuse("the donor's experts are chosen by groups (", key, " ",
                    value.get<int64_t>(), ")");
  }
  return absl::OkStatus();
}

class ExpertPlanner {
 public:
  ExpertPlanner(const Recipe& recipe, int64_t experts, RewritePlan& plan)
      : recipe_(recipe), experts_(experts), plan_(plan) {}

  absl::Status Prepare(int64_t top_k) {
    if (!recipe_.usage.empty()) {
      ASSIGN_OR_RETURN(usage_, ReadUsage(recipe_.usage));
    }
    for (const auto& list : recipe_.groups)
      for (int64_t expert : list) RETURN_IF_ERROR(CheckExpert(expert));
    for (int64_t expert : recipe_.experts) RETURN_IF_ERROR(CheckExpert(expert));
    const std::vector<double> even(static_cast<size_t>(experts_), 1);
    count_ = recipe_.count > 0 ? recipe_.count
                               : static_cast<int64_t>(GroupsFor(even).size());
    if (count_ > experts_ || count_ < 1)
      return Misfit(Joined("keeps ", count_, " of ", experts_, " experts"));
    if (count_ < top_k)
      return Misfit(
          Joined(count_, " experts are left, and each token chooses ", top_k));
    return absl::OkStatus();
  }

  int64_t count() const { return count_; }

  absl::Status Add(const DonorTensor& tensor) {
    const std::optional<int64_t> layer = LayerOfName(tensor.name);
    const std::optional<ExpertName> split = SplitName(tensor.name);
    const Stacked* stacked = FindStacked(tensor.name);
    if (!layer || (!split && stacked == nullptr)) {
      plan_.tensors.push_back(CopyOf(tensor, FolderUse::kFirst));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const Groups* groups, GroupsOf(*layer));
    if (recipe_.map_router && tensor.name.ends_with(".gate.weight")) {
      plan_.tensors.push_back(CopyOf(tensor, FolderUse::kFirst));
      plan_.config["expert_map"] =
          plan_.expert_map[static_cast<size_t>(*layer)];
      return absl::OkStatus();
    }
    if (split) return AddSeparate(tensor, *split, *groups);
    return AddStacked(tensor, stacked->axis, *groups);
  }

 private:
  absl::Status Misfit(const std::string& why) const {
    return Error(Code::U103, "--rewrite ", recipe_.text, ": ", why);
  }

  absl::Status CheckExpert(int64_t expert) const {
    if (expert < experts_) return absl::OkStatus();
    return Misfit(Joined("expert ", expert, " of a donor with ", experts_));
  }

  // Groups of a layer whose experts were used so often.
  Groups GroupsFor(const std::vector<double>& used) const {
    std::vector<int64_t> all(static_cast<size_t>(experts_));
    std::iota(all.begin(), all.end(), int64_t{0});
    Groups groups;
    if (recipe_.kind == RecipeKind::kPrune) {
      std::vector<int64_t> kept = recipe_.experts;
      if (recipe_.count > 0) {
        kept = all;
        std::stable_sort(kept.begin(), kept.end(), [&](int64_t a, int64_t b) {
          return used[static_cast<size_t>(a)] > used[static_cast<size_t>(b)];
        });
        kept.resize(static_cast<size_t>(std::min(recipe_.count, experts_)));
      }
      for (int64_t e : all)
        if ((std::find(kept.begin(), kept.end(), e) != kept.end()) !=
            recipe_.drop)
          groups.push_back({{e, 1.0}});
      return groups;
    }
    // A group takes the place of its first expert.
    for (int64_t e : all) {
      const auto own = std::find_if(
          recipe_.groups.begin(), recipe_.groups.end(), [&](const auto& list) {
            return std::find(list.begin(), list.end(), e) != list.end();
          });
      if (own == recipe_.groups.end()) {
        groups.push_back({{e, 1.0}});
      } else if (*std::min_element(own->begin(), own->end()) == e) {
        groups.push_back(WeightedGroup(*own, used));
      }
    }
    return groups;
  }

  static Group WeightedGroup(std::vector<int64_t> list,
                             const std::vector<double>& used) {
    std::sort(list.begin(), list.end());
    double sum = 0;
    for (int64_t e : list) sum += used[static_cast<size_t>(e)];
    Group group;
    for (int64_t e : list)
      group.emplace_back(e, sum > 0 ? used[static_cast<size_t>(e)] / sum
                                    : 1.0 / static_cast<double>(list.size()));
    return group;
  }

  absl::StatusOr<const Groups*> GroupsOf(int64_t layer) {
    const auto found = groups_.find(layer);
    if (found != groups_.end()) return &found->second;
    std::vector<double> used(static_cast<size_t>(experts_), 1);
    if (!recipe_.usage.empty()) {
      const auto of_layer = usage_.find(layer);
      if (of_layer == usage_.end() || of_layer->second.size() != used.size())
        return Error(Code::P103, ShownPath(recipe_.usage),
                     ": has no loads of layer ", layer, " with ", experts_,
                     " experts. Trace the donor.");
      used = of_layer->second;
    }
    const Groups& groups = groups_[layer] = GroupsFor(used);
    auto& map = plan_.expert_map;
    if (map.size() <= static_cast<size_t>(layer))
      map.resize(static_cast<size_t>(layer) + 1);
    map[static_cast<size_t>(layer)].assign(static_cast<size_t>(experts_), -1);
    for (size_t n = 0; n < groups.size(); ++n)
      for (const auto& [old, weight] : groups[n])
        map[static_cast<size_t>(layer)][static_cast<size_t>(old)] =
            static_cast<int64_t>(n);
    return &groups;
  }

  // Adds the new expert where the first of its group stands.
  absl::Status AddSeparate(const DonorTensor& tensor, const ExpertName& name,
                           const Groups& groups) {
    RETURN_IF_ERROR(CheckExpert(name.expert));
    for (size_t n = 0; n < groups.size(); ++n) {
      if (groups[n].front().first != name.expert) continue;
      RewriteTensor made = CopyOf(tensor, FolderUse::kFirst);
      made.name = Joined(name.before, n, name.after);
      std::vector<RewriteTerm> terms;
      for (const auto& [old, weight] : groups[n])
        terms.push_back(
            {.tensor = Joined(name.before, old, name.after), .weight = weight});
      made.parts = {std::move(terms)};
      plan_.tensors.push_back(std::move(made));
    }
    return absl::OkStatus();
  }

  absl::Status AddStacked(const DonorTensor& tensor, size_t axis,
                          const Groups& groups) {
    if (tensor.shape.size() <= axis || tensor.shape[axis] % experts_ != 0)
      return Error(Code::K111, "--rewrite ", recipe_.text, ": tensor ",
                   Quoted(tensor.name), " has nothing for each of ", experts_,
                   " experts");
    const int64_t each = tensor.shape[axis] / experts_;
    RewriteTensor made = CopyOf(tensor, FolderUse::kFirst);
    made.axis = axis;
    made.shape[axis] = each * count_;
    made.parts.clear();
    for (const Group& group : groups) {
      std::vector<RewriteTerm> terms;
      for (const auto& [old, weight] : group)
        terms.push_back({.tensor = tensor.name,
                         .weight = weight,
                         .ranges = {{old * each, each}}});
      made.parts.push_back(std::move(terms));
    }
    plan_.tensors.push_back(std::move(made));
    return absl::OkStatus();
  }

  const Recipe& recipe_;
  const int64_t experts_;
  RewritePlan& plan_;
  int64_t count_ = 0;
  ExpertUsage usage_;
  std::map<int64_t, Groups> groups_;
};

}  // namespace

absl::Status PlanFewerExperts(const Recipe& recipe, DonorTensors donor,
                              RewritePlan& plan) {
  RETURN_IF_ERROR(CheckDonor(recipe, plan.donor));
  const auto experts = CountOf(plan.donor, kCountKeys);
  if (!experts.ok())
    return Error(Code::K111, "--rewrite ", recipe.text,
                 " takes a donor with experts: ", experts.status().message());
  ASSIGN_OR_RETURN(const int64_t top_k, CountOf(plan.donor, kTopKeys));
  plan.config = plan.donor;
  ExpertPlanner planner(recipe, *experts, plan);
  RETURN_IF_ERROR(planner.Prepare(top_k));
  for (const DonorTensor& tensor : donor) RETURN_IF_ERROR(planner.Add(tensor));
  Json& object = ObjectOf(plan.config);
  for (const char* key : kCountKeys)
    if (object.contains(key) && !object[key].is_null())
      object[key] = planner.count();
  return absl::OkStatus();
}

}  // namespace moe
