// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The one summation order of reductions over the last axis, on every ISA level:
// 16 lanes, lane l takes elements l, l + 16, l + 32, … in ascending order, each
// starting from +0; then lanes 8 apart are added, then 4, 2 and 1 apart.
//
//   float mean_square = LaneSumOfSquares(x, d) / d;

#ifndef MOE_LIB_REFERENCE_LANES_H_
#define MOE_LIB_REFERENCE_LANES_H_

#include <cmath>
#include <cstdint>

namespace moe::reference {

inline constexpr int64_t kLanes = 16;

// Folds 16 partial sums with the fixed tree. Overwrites lane.
template <typename T>
T FoldLanes(T (&lane)[kLanes]) {
  for (int64_t step = kLanes / 2; step > 0; step /= 2)
    for (int64_t i = 0; i < step; ++i) lane[i] = lane[i] + lane[i + step];
  return lane[0];
}

// Sum of x[0..n): plain additions.
template <typename T>
T LaneSum(const T* x, int64_t n) {
  T lane[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lane[i % kLanes] = lane[i % kLanes] + x[i];
  return FoldLanes(lane);
}

// Sum of x[i] * y[i]: one fma per element.
template <typename T>
T LaneDot(const T* x, const T* y, int64_t n) {
  T lane[kLanes] = {};
  for (int64_t i = 0; i < n; ++i)
    lane[i % kLanes] = std::fma(x[i], y[i], lane[i % kLanes]);
  return FoldLanes(lane);
}

template <typename T>
T LaneSumOfSquares(const T* x, int64_t n) {
  return LaneDot(x, x, n);
}

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_LANES_H_
