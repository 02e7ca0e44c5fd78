// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Neurons that fire together: rows of a matrix, scaled to length 1, in clusters
// of one size by k-means.

#ifndef MOE_RUNTIME_REWRITE_CLUSTERS_H_
#define MOE_RUNTIME_REWRITE_CLUSTERS_H_

#include <cstdint>
#include <vector>

namespace moe {

struct Clusters {
  std::vector<std::vector<int64_t>> rows;  // of each cluster, in order
  std::vector<float> centres;              // [count, width]
};

// |rows| is [n, width] and |count| divides n. Clusters start from rows that the
// seed chooses, far from each other; then, at most 20 times, pairs of a row and
// a centre are taken in the order of their distance while the cluster has room,
// and centres become means. A pure function: ties go to the lower row, then to
// the lower cluster.
Clusters BalancedClusters(std::vector<float> rows, int64_t n, int64_t width,
                          int64_t count, uint64_t seed);

}  // namespace moe

#endif  // MOE_RUNTIME_REWRITE_CLUSTERS_H_
