// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/nearest.h"

#include <algorithm>
#include <numeric>

namespace moe::run {
namespace {

// Single-character insertions, deletions and changes from |a| to |b|.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t k = 0; k < b.size(); ++k) {
      const size_t change = diagonal + (a[i] != b[k]);
      diagonal = row[k + 1];
      row[k + 1] = std::min({change, row[k + 1] + 1, row[k] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string Nearest(const std::string& given,
                    const std::vector<std::string>& names) {
  std::string nearest;
  size_t least = given.size() / 3 + 2;
  for (const std::string& name : names) {
    const size_t distance = Distance(given, name);
    if (distance < least) {
      least = distance;
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace moe::run
