// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/capacity.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "lib/reference/routing.h"

namespace moe::reference {

int64_t CapacityRows(const CapacityLimit& limit, int64_t tokens,
                     int64_t experts) {
  double share =
      limit.factor * static_cast<double>(tokens) / static_cast<double>(experts);
  if (limit.round == CapacityLimit::Round::kFloor) share = std::floor(share);
  if (limit.round == CapacityLimit::Round::kCeil) share = std::ceil(share);
  if (limit.round == CapacityLimit::Round::kNearest)
    share = share - std::remainder(share, 1.0);
  const int64_t rows = std::max(
      limit.min,
      static_cast<int64_t>(std::floor(std::min(limit.times * share, 1e15))));
  return (rows + limit.multiple - 1) / limit.multiple * limit.multiple +
         limit.extra;
}

template <typename T>
void Capacity(const int32_t* idx, const T* priority, const int32_t* cu_seqlens,
              int64_t sequences, int64_t tokens, int64_t experts, int64_t k,
              const CapacityLimit& limit, bool choice_major, int32_t* kept) {
  std::fill_n(kept, tokens * k, static_cast<int32_t>(experts));
  for (int64_t b = 0; b < sequences; ++b) {
    const int64_t begin = cu_seqlens[b], end = cu_seqlens[b + 1];
    const int64_t rows = CapacityRows(limit, end - begin, experts);
    for (int64_t e = 0; e < experts; ++e) {
      // What comes first has the smallest tuple.
      std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t>> wanted;
      for (int64_t t = begin; t < end; ++t)
        for (int64_t j = 0; j < k; ++j)
          if (idx[t * k + j] == e)
            wanted.emplace_back(
                choice_major ? j : 0,
                priority ? -SelectionKey(priority[t * k + j]) : 0, t, j);
      std::sort(wanted.begin(), wanted.end());
      if (static_cast<int64_t>(wanted.size()) > rows) wanted.resize(rows);
      for (const auto& [major, rank, t, j] : wanted)
        kept[t * k + j] = static_cast<int32_t>(e);
    }
  }
}

void NextChoice(const int32_t* idx, int64_t tokens, int64_t experts, int64_t k,
                const CapacityLimit& limit, int32_t* placed) {
  const int64_t rows = CapacityRows(limit, tokens, experts);
  std::vector<int64_t> held(experts, 0);
  std::fill_n(placed, tokens, static_cast<int32_t>(experts));
  for (int64_t j = 0; j < k; ++j)
    for (int64_t t = 0; t < tokens; ++t) {
      const int32_t e = idx[t * k + j];
      if (placed[t] != experts || e < 0 || e >= experts || held[e] >= rows)
        continue;
      placed[t] = e;
      ++held[e];
    }
}

template <typename T>
void SelectTokens(const T* s, const int32_t* cu_seqlens, int64_t sequences,
                  int64_t tokens, int64_t experts, const CapacityLimit& limit,
                  int32_t* idx) {
  std::fill_n(idx, tokens * experts, static_cast<int32_t>(experts));
  for (int64_t b = 0; b < sequences; ++b) {
    const int64_t begin = cu_seqlens[b], size = cu_seqlens[b + 1] - begin;
    const int64_t rows = std::min(size, CapacityRows(limit, size, experts));
    std::vector<T> column(size);
    std::vector<int32_t> best(rows);
    for (int64_t e = 0; e < experts; ++e) {
      for (int64_t t = 0; t < size; ++t)
        column[t] = s[(begin + t) * experts + e];
      TopK(column.data(), size, rows, best.data());
      for (int32_t t : best)
        idx[(begin + t) * experts + e] = static_cast<int32_t>(e);
    }
  }
}

#define MOE_INSTANTIATE(T)                                                  \
  template void Capacity(const int32_t*, const T*, const int32_t*, int64_t, \
                         int64_t, int64_t, int64_t, const CapacityLimit&,   \
                         bool, int32_t*);                                   \
  template void SelectTokens(const T*, const int32_t*, int64_t, int64_t,    \
                             int64_t, const CapacityLimit&, int32_t*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
