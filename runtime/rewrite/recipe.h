// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What `moe-compile --rewrite` asks for:
//
//   upcycle=E[,top_k=K][,granular=G][,noise=S][,seed=N]
//   split=E[,top_k=K][,by=index|cluster][,scale=one|llama_moe][,seed=N]
//   prune=N,usage=TRACE.json   prune=keep:0+2+5   prune=drop:1+3
//   merge=0+1/2+3[,usage=TRACE.json][,router=mean|map]
//   mix[=N][,top_k=K][,seed=N]

#ifndef MOE_RUNTIME_REWRITE_RECIPE_H_
#define MOE_RUNTIME_REWRITE_RECIPE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace moe {

enum class RecipeKind { kUpcycle, kSplit, kPrune, kMerge, kMix };

// Pairs of a token and an expert in each layer, over all data of a trace.
using ExpertUsage = std::map<int64_t, std::vector<double>>;

struct Recipe {
  RecipeKind kind = RecipeKind::kUpcycle;
  std::string text;
  // Copies of upcycle, parts of split, experts that prune keeps by usage,
  // folders of mix; 0 where a list says it, or for any number of folders.
  int64_t count = 0;
  int64_t top_k = 0;  // 0: as the kind has it
  int64_t granular = 1;
  double noise = 0;  // deviation, in root mean squares of the tensor
  bool cluster = false, llama_scale = false;
  uint64_t seed = 0;
  bool map_router = false;       // merge: the router keeps its rows
  bool drop = false;             // prune: |experts| go instead of staying
  std::vector<int64_t> experts;  // of prune, each once
  std::vector<std::vector<int64_t>> groups;  // of merge, each expert once
  std::string usage;                         // path of a trace
};

// U103 with the form for anything else.
absl::StatusOr<Recipe> ParseRecipe(std::string_view text);

// Loads of a file that trace-routing wrote: P101 if it is none.
absl::StatusOr<ExpertUsage> ReadUsage(const std::string& path);

}  // namespace moe

#endif  // MOE_RUNTIME_REWRITE_RECIPE_H_
