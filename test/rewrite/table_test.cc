// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The table of a rewrite as JSON: what is written is read, and bad tables are
// refused.
#include <gtest/gtest.h>

#include "lib/core/errors.h"
#include "runtime/rewrite/rewrite_plan.h"

namespace moe {
namespace {

RewritePlan AllKinds() {
  RewritePlan plan;
  plan.recipe = "upcycle=2";
  plan.seed = ~uint64_t{0};
  plan.folders = 0;
  plan.config = {{"model_type", "mixtral"}};
  plan.donor = {{"model_type", "llama"}};
  plan.counts = {"num_local_experts"};
  plan.expert_map = {{0, 1, -1}, {}};
  RewriteTensor sum;
  sum.name = "sum";
  sum.dtype = DType::kBF16;
  sum.shape = {4, 6};
  sum.axis = 1;
  sum.folders = FolderUse::kMean;
  sum.scale = 2;
  sum.noise = 0.25;
  sum.parts = {{{.tensor = "a", .weight = 0.5, .ranges = {{0, 2}, {5, 1}}},
                {.tensor = "b", .weight = -1, .ranges = {{3, 3}}}},
               {{.tensor = "c", .cluster = {"a", 2}, .pick = 1}}};
  RewriteTensor random;
  random.name = "random";
  random.shape = {-1, 8};
  random.kind = RewriteKind::kRandom;
  random.std = 0.02;
  random.repeat = 3;
  RewriteTensor centres;
  centres.name = "centres";
  centres.shape = {2, 8};
  centres.kind = RewriteKind::kCentres;
  centres.cluster = {"a", 2};
  RewriteTensor each;
  each.name = "each.{e}";
  each.shape = {3};
  each.folders = FolderUse::kEach;
  each.parts = {{{.tensor = "d"}}};
  plan.tensors = {sum, random, centres, each};
  return plan;
}

TEST(RewriteTable, IsReadAsWritten) {
  const std::string text = DumpJson(ToJson(AllKinds()));
  const auto json = ParseJson(text, "table");
  ASSERT_TRUE(json.ok()) << json.status();
  const auto plan = ReadRewritePlan(*json, "m.moe");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(DumpJson(ToJson(*plan)), text);
  EXPECT_EQ(plan->seed, ~uint64_t{0});
  EXPECT_EQ(plan->tensors[0].parts[0][1].weight, -1);
}

TEST(RewriteTable, RefusesWhatIsNone) {
  const Json good = *ParseJson(DumpJson(ToJson(AllKinds())), "table");
  const std::pair<const char*, const char*> changes[] = {
      {"/version", "2"},
      {"/recipe", "7"},
      {"/seed", "-1"},
      {"/folders", "-1"},
      {"/config", "[]"},
      {"/counts", "[1]"},
      {"/tensors", "{}"},
      {"/tensors/0", "[]"},
      {"/tensors/0/name", "null"},
      {"/tensors/0/dtype", "\"f33\""},
      {"/tensors/0/dtype", "\"i32\""},
      {"/tensors/0/shape", "[]"},
      {"/tensors/0/shape", "[0, 6]"},
      {"/tensors/0/shape", "[-2, 6]"},
      {"/tensors/0/axis", "2"},
      {"/tensors/0/axis", "-1"},
      {"/tensors/0/scale", "\"2\""},
      {"/tensors/0/folders", "\"some\""},
      {"/tensors/0/kind", "\"magic\""},
      {"/tensors/0/parts", "[]"},
      {"/tensors/0/parts/0", "[]"},
      {"/tensors/0/parts/0/0", "3"},
      {"/tensors/0/parts/0/0/of", "null"},
      {"/tensors/0/parts/0/0/ranges/0", "[1]"},
      {"/tensors/0/parts/0/0/ranges/0", "[-1, 2]"},
      {"/tensors/0/parts/0/0/ranges/0", "[0, 9223372036854775807]"},
      {"/tensors/0/parts/1/0/pick", "2"},
      {"/tensors/0/parts/1/0/cluster/count", "0"},
      {"/tensors/1/repeat", "0"},
      {"/tensors/2/cluster", "null"},
  };
  for (const auto& [place, value] : changes) {
    Json bad = good;
    bad[Json::json_pointer(place)] = Json::parse(value);
    const auto plan = ReadRewritePlan(bad, "m.moe");
    ASSERT_FALSE(plan.ok()) << place << " = " << value;
    EXPECT_TRUE(HasCode(plan.status(), Code::M109)) << plan.status();
  }
}

TEST(RewriteRecipe, IsReadOrRefused) {
  const auto upcycle = ParseRecipe("upcycle=8,top_k=2,granular=4,noise=0.5");
  ASSERT_TRUE(upcycle.ok());
  EXPECT_EQ(upcycle->count, 8);
  EXPECT_EQ(upcycle->granular, 4);
  EXPECT_EQ(upcycle->noise, 0.5);
  const auto merge = ParseRecipe("merge=0+3/2+1");
  ASSERT_TRUE(merge.ok());
  EXPECT_EQ(merge->groups, (std::vector<std::vector<int64_t>>{{0, 3}, {2, 1}}));
  EXPECT_TRUE(ParseRecipe("mix").ok());
  for (const char* bad : {"",
                          "=",
                          "upcycle",
                          "upcycle=",
                          "upcycle=-1",
                          "upcycle=1e3",
                          "upcycle=99999999999999999999",
                          "upcycle=4,",
                          "upcycle=4,top_k",
                          "upcycle=4,noise=nan",
                          "split=4,by=",
                          "prune=keep:",
                          "prune=keep:1+",
                          "prune=drop:65536",
                          "prune=",
                          "merge=",
                          "merge=0+1/",
                          "mix=0",
                          "mix,mix",
                          "upcycle=4,,seed=1"}) {
    const auto recipe = ParseRecipe(bad);
    ASSERT_FALSE(recipe.ok()) << bad;
    EXPECT_TRUE(HasCode(recipe.status(), Code::U103)) << bad;
  }
}

}  // namespace
}  // namespace moe
