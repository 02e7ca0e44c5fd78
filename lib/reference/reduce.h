// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reductions over one axis. A tensor with axis a is seen as [outer, n, inner]:
// outer is the product of the sizes before a, inner of those after it.
//
//   Softmax(scores, tokens, experts, /*inner=*/1, p);
//   Reduce(ReduceKind::kSum, x, outer, n, inner, y);
//
// Sums over the last axis (inner = 1) use the 16 lanes of lanes.h; over any
// other axis they add in ascending order from +0. T is float or double. All
// functions are pure.

#ifndef MOE_LIB_REFERENCE_REDUCE_H_
#define MOE_LIB_REFERENCE_REDUCE_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace moe::reference {

enum class ReduceKind {
  kSum,   // 0 if n = 0
  kMean,  // sum / n
  kMax,   // NaN if any element is; -inf if n = 0
  kMin,   // NaN if any element is; +inf if n = 0
};

// The spelling of the IR attribute: sum, mean, max, min.
std::string_view ReduceKindName(ReduceKind kind);
std::optional<ReduceKind> ParseReduceKind(std::string_view name);

// nn.reduce: x[outer, n, inner] -> y[outer, inner].
template <typename T>
void Reduce(ReduceKind kind, const T* x, int64_t outer, int64_t n,
            int64_t inner, T* y);

// nn.softmax over the axis of size n: e = exp(x - max), y = e / sum(e). y may
// equal x.
template <typename T>
void Softmax(const T* x, int64_t outer, int64_t n, int64_t inner, T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_REDUCE_H_
