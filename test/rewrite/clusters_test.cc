// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/rewrite/clusters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace moe {
namespace {

using Rows = std::vector<std::vector<int64_t>>;

// Rows i, i + 3, … lie near axis i % 3, at lengths that do not matter.
std::vector<float> ThreeDirections() {
  std::vector<float> rows;
  for (int i = 0; i < 12; ++i)
    for (int k = 0; k < 3; ++k)
      rows.push_back(static_cast<float>(1 + i) *
                     (k == i % 3 ? 1.0f : 0.01f * static_cast<float>(i + k)));
  return rows;
}

TEST(Clusters, FindsDirections) {
  for (uint64_t seed : {0, 1, 2}) {
    Clusters found = BalancedClusters(ThreeDirections(), 12, 3, 3, seed);
    std::sort(found.rows.begin(), found.rows.end());
    EXPECT_EQ(found.rows, (Rows{{0, 3, 6, 9}, {1, 4, 7, 10}, {2, 5, 8, 11}}));
  }
}

TEST(Clusters, AreOfOneSizeAndRepeat) {
  std::vector<float> rows;
  for (int i = 0; i < 30 * 5; ++i)
    rows.push_back(static_cast<float>((i * 7919) % 101) - 50);
  const Clusters found = BalancedClusters(rows, 30, 5, 6, 0);
  std::vector<int64_t> all;
  for (const auto& cluster : found.rows) {
    EXPECT_EQ(cluster.size(), 5u);
    EXPECT_TRUE(std::is_sorted(cluster.begin(), cluster.end()));
    all.insert(all.end(), cluster.begin(), cluster.end());
  }
  std::sort(all.begin(), all.end());
  for (int64_t i = 0; i < 30; ++i) EXPECT_EQ(all[static_cast<size_t>(i)], i);
  EXPECT_EQ(BalancedClusters(rows, 30, 5, 6, 0).rows, found.rows);
}

TEST(Clusters, TakeEqualRowsAndRowsOfZero) {
  const Clusters found =
      BalancedClusters(std::vector<float>(8 * 4, 0.0f), 8, 4, 4, 0);
  for (const auto& cluster : found.rows) EXPECT_EQ(cluster.size(), 2u);
  const Clusters one =
      BalancedClusters(std::vector<float>(8 * 4, 2.0f), 8, 4, 1, 0);
  ASSERT_EQ(one.rows.size(), 1u);
  EXPECT_FLOAT_EQ(one.centres[0], 0.5f);
}

}  // namespace
}  // namespace moe
