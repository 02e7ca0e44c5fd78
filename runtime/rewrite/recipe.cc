// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/rewrite/recipe.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <set>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/json.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

constexpr int64_t kMostExperts = int64_t{1} << 16;

struct Kind {
  const char* name;
  RecipeKind kind;
  std::vector<std::string_view> options;
  const char* form;
};

const Kind kKinds[] = {
    {"upcycle",
     RecipeKind::kUpcycle,
     {"top_k", "granular", "noise", "seed"},
     "upcycle=E[,top_k=K][,granular=G][,noise=S][,seed=N]"},
    {"split",
     RecipeKind::kSplit,
     {"top_k", "by", "scale", "seed"},
     "split=E[,top_k=K][,by=index|cluster][,scale=one|llama_moe][,seed=N]"},
    {"prune",
     RecipeKind::kPrune,
     {"usage"},
     "prune=N,usage=TRACE.json, prune=keep:0+2+5 or prune=drop:1+3"},
    {"merge",
     RecipeKind::kMerge,
     {"usage", "router"},
     "merge=0+1/2+3[,usage=TRACE.json][,router=mean|map]"},
    {"mix",
     RecipeKind::kMix,
     {"top_k", "seed"},
     "mix[=FOLDERS][,top_k=K][,seed=N]"},
};

absl::Status Misfit(const Kind& kind, std::string_view why) {
  return Error(Code::U103, "--rewrite ", kind.name, ": ", why, ". The form is ",
               kind.form);
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename T>
bool ReadNumber(std::string_view text, T least, T most, T& value) {
  const auto [last, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && last == text.data() + text.size() &&
         value >= least && value <= most;
}

// "0+2+5": numbers of experts, each once in |seen|.
bool ReadList(std::string_view text, std::set<int64_t>& seen,
              std::vector<int64_t>& list) {
  for (std::string_view part : Split(text, '+')) {
    int64_t expert = 0;
    if (!ReadNumber(part, int64_t{0}, kMostExperts - 1, expert) ||
        !seen.insert(expert).second)
      return false;
    list.push_back(expert);
  }
  return true;
}

absl::Status ReadMain(const Kind& kind, std::optional<std::string_view> value,
                      Recipe& recipe) {
  if (recipe.kind == RecipeKind::kMix && !value) return absl::OkStatus();
  if (!value) return Misfit(kind, "has no value");
  std::set<int64_t> seen;
  if (recipe.kind == RecipeKind::kMerge) {
    for (std::string_view group : Split(*value, '/')) {
      recipe.groups.emplace_back();
      if (!ReadList(group, seen, recipe.groups.back()))
        return Misfit(kind, Joined(Quoted(*value),
                                   " is no list of groups of "
                                   "experts, each once"));
    }
    return absl::OkStatus();
  }
  if (recipe.kind == RecipeKind::kPrune &&
      (value->starts_with("keep:") || value->starts_with("drop:"))) {
    recipe.drop = value->starts_with("drop:");
    if (ReadList(value->substr(5), seen, recipe.experts))
      return absl::OkStatus();
    return Misfit(kind,
                  Joined(Quoted(*value), " is no list of experts, each once"));
  }
  if (ReadNumber(*value, int64_t{1}, kMostExperts, recipe.count))
    return absl::OkStatus();
  return Misfit(kind, Joined("got ", Quoted(*value)));
}

absl::Status ReadOption(const Kind& kind, std::string_view key,
                        std::string_view value, Recipe& recipe) {
  bool good = false;
  if (key == "top_k") {
    good = ReadNumber(value, int64_t{1}, kMostExperts, recipe.top_k);
  } else if (key == "granular") {
    good = ReadNumber(value, int64_t{1}, kMostExperts, recipe.granular);
  } else if (key == "noise") {
    good = ReadNumber(value, 0.0, 1e3, recipe.noise);
  } else if (key == "seed") {
    good = ReadNumber(value, uint64_t{0}, ~uint64_t{0}, recipe.seed);
  } else if (key == "by") {
    recipe.cluster = value == "cluster";
    good = recipe.cluster || value == "index";
  } else if (key == "scale") {
    recipe.llama_scale = value == "llama_moe";
    good = recipe.llama_scale || value == "one";
  } else if (key == "router") {
    recipe.map_router = value == "map";
    good = recipe.map_router || value == "mean";
  } else if (key == "usage") {
    recipe.usage = value;
    good = !value.empty();
  }
  if (good) return absl::OkStatus();
  return Misfit(kind, Joined(key, " cannot be ", Quoted(value)));
}

absl::Status CheckTogether(const Kind& kind, const Recipe& recipe) {
  if (recipe.kind == RecipeKind::kPrune) {
    const bool by_usage = recipe.count > 0;
    if (by_usage && recipe.usage.empty())
      return Misfit(kind, "a number of experts to keep needs usage");
    if (!by_usage && !recipe.usage.empty())
      return Misfit(kind, "a list of experts and usage contradict each other");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Recipe> ParseRecipe(std::string_view text) {
  const std::vector<std::string_view> parts = Split(text, ',');
  const auto cut = [](std::string_view part) {
    const size_t at = part.find('=');
    return std::pair(part.substr(0, at),
                     at == std::string_view::npos
                         ? std::nullopt
                         : std::optional(part.substr(at + 1)));
  };
  const auto [name, value] = cut(parts.front());
  const auto found =
      std::find_if(std::begin(kKinds), std::end(kKinds),
                   [&](const Kind& kind) { return kind.name == name; });
  if (found == std::end(kKinds))
    return Error(Code::U103,
                 "--rewrite expects upcycle=E, split=E, prune=…, merge=… or "
                 "mix, got ",
                 Quoted(text));
  Recipe recipe;
  recipe.kind = found->kind;
  recipe.text = text;
  RETURN_IF_ERROR(ReadMain(*found, value, recipe));
  std::set<std::string_view> given;
  for (size_t i = 1; i < parts.size(); ++i) {
    const auto [key, setting] = cut(parts[i]);
    if (!setting || std::find(found->options.begin(), found->options.end(),
                              key) == found->options.end())
      return Misfit(*found, Joined("has no option ", Quoted(parts[i])));
    if (!given.insert(key).second)
      return Misfit(*found, Joined(key, " is there twice"));
    RETURN_IF_ERROR(ReadOption(*found, key, *setting, recipe));
  }
  RETURN_IF_ERROR(CheckTogether(*found, recipe));
  return recipe;
}

absl::StatusOr<ExpertUsage> ReadUsage(const std::string& path) {
  ASSIGN_OR_RETURN(const Json json,
                   ReadJsonFile(path, {.max_bytes = uint64_t{1} << 28}));
  const auto bad = [&](std::string_view what) {
    return Error(Code::P101, ShownPath(path), ": ", what,
                 ". Give a file that moe-run trace-routing wrote.");
  };
  if (!json.is_object() || json.value("format", Json()) != "moe-place-trace/1")
    return bad("is no trace of routing");
  JsonFields fields(json, ShownPath(path),
                    {Code::P101, Code::P101, Code::P101});
  ASSIGN_OR_RETURN(const std::vector<int64_t> layers, fields.Ints("layers"));
  ASSIGN_OR_RETURN(const int64_t experts,
                   fields.Int("experts", 1, kMostExperts));
  ASSIGN_OR_RETURN(const Json* windows, fields.Array("loads"));
  ExpertUsage usage;
  for (const Json& window : *windows) {
    if (!window.is_array() || window.size() != layers.size())
      return bad("loads do not fit its layers");
    for (size_t l = 0; l < layers.size(); ++l) {
      std::vector<double>& sums = usage[layers[l]];
      sums.resize(static_cast<size_t>(experts));
      if (!window[l].is_array() || window[l].size() != sums.size())
        return bad("loads do not fit its experts");
      for (size_t e = 0; e < sums.size(); ++e) {
        if (!window[l][e].is_number() || window[l][e].get<double>() < 0)
          return bad("loads are no counts");
        sums[e] += window[l][e].get<double>();
      }
    }
  }
  return usage;
}

}  // namespace moe
