// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/rewrite/clusters.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "lib/core/philox.h"

namespace moe {
namespace {

constexpr int kRounds = 20;

// Rows that are looked at and where they are.
struct Points {
  std::vector<float> values;
  size_t n = 0, width = 0;
  const float* Row(size_t i) const { return values.data() + i * width; }
};

void Normalize(Points& points) {
  for (size_t i = 0; i < points.n; ++i) {
    float* row = points.values.data() + i * points.width;
    double square = 0;
    for (size_t k = 0; k < points.width; ++k)
      square += static_cast<double>(row[k]) * row[k];
    const auto inverse =
        static_cast<float>(square > 0 ? 1 / std::sqrt(square) : 0);
    for (size_t k = 0; k < points.width; ++k) row[k] *= inverse;
  }
}

float Distance(const float* a, const float* b, size_t width) {
  float sums[8] = {};
  size_t k = 0;
  for (; k + 8 <= width; k += 8)
    for (size_t lane = 0; lane < 8; ++lane) {
      const float d = a[k + lane] - b[k + lane];
      sums[lane] += d * d;
    }
  for (; k < width; ++k) sums[0] += (a[k] - b[k]) * (a[k] - b[k]);
  return std::accumulate(std::begin(sums), std::end(sums), 0.0f);
}

// The first centre by the seed, each next the row farthest from those there.
std::vector<float> Starts(const Points& points, size_t count, uint64_t seed) {
  const PhiloxBlock block = Philox(seed)({0, 0, 0, 0});
  size_t next = block[0] % points.n;
  std::vector<float> nearest(points.n, std::numeric_limits<float>::infinity());
  std::vector<float> centres;
  for (size_t c = 0; c < count; ++c) {
    const float* row = points.Row(next);
    centres.insert(centres.end(), row, row + points.width);
    for (size_t i = 0; i < points.n; ++i)
      nearest[i] =
          std::min(nearest[i], Distance(points.Row(i), row, points.width));
    next = static_cast<size_t>(
        std::max_element(nearest.begin(), nearest.end()) - nearest.begin());
  }
  return centres;
}

struct Pair {
  float distance;
  uint32_t row, cluster;
  bool operator<(const Pair& other) const {
    if (distance != other.distance) return distance < other.distance;
    if (row != other.row) return row < other.row;
    return cluster < other.cluster;
  }
};

std::vector<uint32_t> Assign(const Points& points,
                             const std::vector<float>& centres, size_t count) {
  std::vector<Pair> pairs;
  pairs.reserve(points.n * count);
  for (size_t i = 0; i < points.n; ++i)
    for (size_t c = 0; c < count; ++c)
      pairs.push_back(
          {Distance(points.Row(i), centres.data() + c * points.width,
                    points.width),
           static_cast<uint32_t>(i), static_cast<uint32_t>(c)});
  std::sort(pairs.begin(), pairs.end());
  std::vector<size_t> room(count, points.n / count);
  const auto none = static_cast<uint32_t>(count);
  std::vector<uint32_t> owner(points.n, none);
  for (const Pair& pair : pairs)
    if (owner[pair.row] == none && room[pair.cluster] > 0) {
      owner[pair.row] = pair.cluster;
      --room[pair.cluster];
    }
  return owner;
}

std::vector<float> Means(const Points& points,
                         const std::vector<uint32_t>& owner, size_t count) {
  std::vector<double> sums(count * points.width);
  for (size_t i = 0; i < points.n; ++i)
    for (size_t k = 0; k < points.width; ++k)
      sums[owner[i] * points.width + k] += points.Row(i)[k];
  std::vector<float> means(sums.size());
  const double size = static_cast<double>(points.n / count);
  for (size_t i = 0; i < sums.size(); ++i)
    means[i] = static_cast<float>(sums[i] / size);
  return means;
}

}  // namespace

Clusters BalancedClusters(std::vector<float> rows, int64_t n, int64_t width,
                          int64_t count, uint64_t seed) {
  Points points{std::move(rows), static_cast<size_t>(n),
                static_cast<size_t>(width)};
  const auto clusters = static_cast<size_t>(count);
  Normalize(points);
  Clusters result;
  result.centres = Starts(points, clusters, seed);
  std::vector<uint32_t> owner;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<uint32_t> next = Assign(points, result.centres, clusters);
    result.centres = Means(points, next, clusters);
    if (next == owner) break;
    owner = std::move(next);
  }
  result.rows.resize(clusters);
  for (size_t i = 0; i < points.n; ++i)
    result.rows[owner[i]].push_back(static_cast<int64_t>(i));
  return result;
}

}  // namespace moe
