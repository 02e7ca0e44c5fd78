// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How each tensor of a new checkpoint is made from tensors of donors: the table
// that moe-compile --rewrite puts into a module and moe-run rewrite follows.
//
//   ASSIGN_OR_RETURN(RewritePlan plan, PlanRewrite(recipe, manifest));
//   writer.AddSection("rewrite", AsBytes(DumpJson(ToJson(plan))));
//   ...
//   ASSIGN_OR_RETURN(RewritePlan plan, ReadRewritePlan(json, where));

#ifndef MOE_RUNTIME_REWRITE_REWRITE_PLAN_H_
#define MOE_RUNTIME_REWRITE_REWRITE_PLAN_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/core/dtype.h"
#include "lib/core/json.h"
#include "runtime/manifest.h"
#include "runtime/rewrite/recipe.h"

namespace moe {

inline constexpr std::string_view kRewriteSection = "rewrite";

// The rows of |tensor| in |count| clusters of one size (clusters.h); empty: no
// clusters.
struct ClusterSpec {
  std::string tensor;
  int64_t count = 0;
};

// |weight| times indices of a tensor of the donor along an axis: all of them,
// the ranges [begin, count], or those of one cluster.
struct RewriteTerm {
  std::string tensor;
  double weight = 1;
  std::vector<std::array<int64_t, 2>> ranges = {};
  ClusterSpec cluster = {};
  int64_t pick = 0;
};

enum class RewriteKind {
  kCombine,  // sums of terms, joined along an axis
  kRandom,   // normal numbers
  kCentres,  // means of clusters of normed rows
};

enum class FolderUse {
  kFirst,  // the one folder that there is
  kEach,   // a tensor for each folder, whose number is {e} in the name
  kMean,   // the mean over all folders
};

struct RewriteTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // -1: the number of folders
  RewriteKind kind = RewriteKind::kCombine;
  FolderUse folders = FolderUse::kFirst;
  size_t axis = 0;
  std::vector<std::vector<RewriteTerm>> parts;  // joined along |axis|
  double scale = 1;
  double noise = 0;     // deviation in root mean squares of the tensor
  double std = 0;       // of kRandom
  int64_t repeat = 1;   // of kRandom: rows that are equal
  ClusterSpec cluster;  // of kCentres
};

struct RewritePlan {
  std::string recipe;
  uint64_t seed = 0;
  int64_t folders = 1;  // 0: any number from 2 on
  Json config;          // of the new model
  Json donor;           // config of the donors
  // Keys of |config| that are the number of folders where that is open.
  std::vector<std::string> counts;
  // [layer][old expert]: the new one, or -1; empty where nothing was renamed.
  std::vector<std::vector<int64_t>> expert_map;
  std::vector<RewriteTensor> tensors;
};

// |manifest| is of the donor. K111 for a donor or sizes that the recipe cannot
// be used on, W112 for one of quantised weights, P103 for a trace of another
// model.
absl::StatusOr<RewritePlan> PlanRewrite(const Recipe& recipe,
                                        const Manifest& manifest);

Json ToJson(const RewritePlan& plan);
// M109 if |json| is no such table.
absl::StatusOr<RewritePlan> ReadRewritePlan(const Json& json,
                                            std::string_view where);

// The bytes of |module|, a module file, with the table of a recipe in it. The
// codes of ParseRecipe, ReadUsage and PlanRewrite.
absl::StatusOr<std::string> AddRewrite(std::string_view module,
                                       std::string_view recipe);

}  // namespace moe

#endif  // MOE_RUNTIME_REWRITE_REWRITE_PLAN_H_
