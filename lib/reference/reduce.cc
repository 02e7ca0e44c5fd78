// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/reduce.h"

#include <iterator>
#include <limits>

#include "lib/reference/elementwise.h"
#include "lib/reference/lanes.h"

namespace moe::reference {
namespace {

constexpr std::string_view kNames[] = {"sum", "mean", "max", "min"};

// The sum of n elements that are `stride` apart, in the order of the header.
template <typename T>
T Sum(const T* x, int64_t n, int64_t stride) {
  if (stride == 1) return LaneSum(x, n);
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum = sum + x[i * stride];
  return sum;
}

template <typename T>
T Largest(const T* x, int64_t n, int64_t stride) {
  T best = -std::numeric_limits<T>::infinity();
  for (int64_t i = 0; i < n; ++i) best = Maximum(best, x[i * stride]);
  return best;
}

template <typename T>
T Smallest(const T* x, int64_t n, int64_t stride) {
  T best = std::numeric_limits<T>::infinity();
  for (int64_t i = 0; i < n; ++i) best = Minimum(best, x[i * stride]);
  return best;
}

}  // namespace

std::string_view ReduceKindName(ReduceKind kind) {
  return kNames[static_cast<int>(kind)];
}

std::optional<ReduceKind> ParseReduceKind(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (kNames[i] == name) return static_cast<ReduceKind>(i);
  return std::nullopt;
}

template <typename T>
void Reduce(ReduceKind kind, const T* x, int64_t outer, int64_t n,
            int64_t inner, T* y) {
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; ++i) {
      const T* from = x + o * n * inner + i;
      T& to = y[o * inner + i];
      switch (kind) {
        case ReduceKind::kSum:
          to = Sum(from, n, inner);
          break;
        case ReduceKind::kMean:
          to = Sum(from, n, inner) / static_cast<T>(n);
          break;
        case ReduceKind::kMax:
          to = Largest(from, n, inner);
          break;
        case ReduceKind::kMin:
          to = Smallest(from, n, inner);
          break;
      }
    }
  }
}

template <typename T>
void Softmax(const T* x, int64_t outer, int64_t n, int64_t inner, T* y) {
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; ++i) {
      const T* from = x + o * n * inner + i;
      T* to = y + o * n * inner + i;
      const T largest = Largest(from, n, inner);
      for (int64_t j = 0; j < n; ++j)
        to[j * inner] = Exp(from[j * inner] - largest);
      const T sum = Sum<T>(to, n, inner);
      for (int64_t j = 0; j < n; ++j) to[j * inner] = to[j * inner] / sum;
    }
  }
}

#define MOE_INSTANTIATE(T)                                                   \
  template void Reduce(ReduceKind, const T*, int64_t, int64_t, int64_t, T*); \
  template void Softmax(const T*, int64_t, int64_t, int64_t, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
