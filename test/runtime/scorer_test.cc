// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/scorer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lib/core/errors.h"
#include "test/runtime/toy_model.h"

namespace moe {
namespace {

TEST(Scorer, RowsOfAPackDoNotMix) {
  toy::TempDir dir;
  const std::vector<std::vector<int32_t>> rows = {
      {1, 2, 3}, {250}, {9, 8, 7, 6}};
  const std::vector<std::span<const int32_t>> views(rows.begin(), rows.end());
  for (int threads : {1, 3}) {
    const auto engine = toy::LoadToy(dir, threads);
    auto scorer = Scorer::Create(*engine, {.max_tokens = 8, .max_rows = 3});
    ASSERT_TRUE(scorer.ok()) << scorer.status();
    ASSERT_TRUE(scorer->Run(views).ok());
    for (size_t r = 0; r < rows.size(); ++r) {
      const std::span<const float> logits = scorer->RowLogits(r);
      ASSERT_EQ(logits.size(), rows[r].size() * 256);
      for (size_t t = 0; t < rows[r].size(); ++t) {
        const std::vector<float> expected =
            toy::Logits(std::span(rows[r]).first(t + 1));
        for (size_t v = 0; v < 256; ++v)
          ASSERT_EQ(logits[t * 256 + v], expected[v]);
      }
      ASSERT_TRUE(scorer->has_routing());
      const RowRouting routing = scorer->Routing(1, r);
      EXPECT_EQ(routing.top_k, 2);
      ASSERT_EQ(routing.idx.size(), rows[r].size() * 2);
      for (size_t t = 0; t < rows[r].size(); ++t) {
        EXPECT_EQ(routing.idx[t * 2 + 1], (rows[r][t] + 2) % 4);
        EXPECT_EQ(routing.weight[t * 2 + 1], 1.0f);
      }
    }
  }
}

TEST(Scorer, NllIsLogSoftmax) {
  const std::vector<int32_t> ids = {0, 2, 1};
  const std::vector<float> logits = {0, 1, 2, 1000, 999, 0, 5, 5, 5};
  const std::vector<double> nll = RowNll(ids, logits);
  ASSERT_EQ(nll.size(), 2u);
  EXPECT_NEAR(nll[0], std::log(std::exp(-2) + std::exp(-1) + 1), 1e-12);
  EXPECT_NEAR(nll[1], 1 + std::log1p(std::exp(-1)), 1e-12);
  EXPECT_TRUE(RowNll(std::vector<int32_t>{1}, std::vector<float>(3)).empty());
}

TEST(Scorer, RefusesWhatDoesNotFit) {
  toy::TempDir dir;
  const auto engine = toy::LoadToy(dir);
  auto scorer = Scorer::Create(*engine, {.max_tokens = 600, .max_rows = 2});
  ASSERT_TRUE(scorer.ok()) << scorer.status();
  const auto code = [&](std::vector<std::vector<int32_t>> rows) {
    const std::vector<std::span<const int32_t>> views(rows.begin(), rows.end());
    const absl::Status status = scorer->Run(views);
    return status.ok() ? "" : InfoOf(CodeOf(status)).name;
  };
  EXPECT_STREQ(code({{1}, {}}), "MOE-R201");
  EXPECT_STREQ(code({{1, 300}}), "MOE-R202");
  EXPECT_STREQ(code({std::vector<int32_t>(513)}), "MOE-R203");
  EXPECT_STREQ(code({{1}, {2}, {3}}), "MOE-R203");
  EXPECT_STREQ(code({std::vector<int32_t>(400), std::vector<int32_t>(201)}),
               "MOE-R203");
  EXPECT_STREQ(code({{1}, {2}}), "");
}

}  // namespace
}  // namespace moe
