// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/norm.h"

#include "lib/reference/elementwise.h"
#include "lib/reference/lanes.h"

namespace moe::reference {

template <typename T>
void RmsNorm(const T* x, const T* w, int64_t rows, int64_t d, T eps,
             Rounding rounding, T* y) {
  for (int64_t r = 0; r < rows; ++r, x += d, y += d) {
    const T mean = LaneSumOfSquares(x, d) / static_cast<T>(d);
    const T scale = Rsqrt(mean + eps);
    for (int64_t i = 0; i < d; ++i) {
      const T h = Round(x[i] * scale, rounding);
      y[i] = w == nullptr ? h : Round(h * w[i], rounding);
    }
  }
}

template <typename T>
void LayerNorm(const T* x, const T* w, const T* bias, int64_t rows, int64_t d,
               T eps, T* y) {
  for (int64_t r = 0; r < rows; ++r, x += d, y += d) {
    const T mean = LaneSum(x, d) / static_cast<T>(d);
    T lane[kLanes] = {};
    for (int64_t i = 0; i < d; ++i) {
      const T c = x[i] - mean;
      lane[i % kLanes] = std::fma(c, c, lane[i % kLanes]);
    }
    const T variance = FoldLanes(lane) / static_cast<T>(d);
    const T scale = Rsqrt(variance + eps);
    for (int64_t i = 0; i < d; ++i) {
      T h = (x[i] - mean) * scale;
      if (w != nullptr) h = h * w[i];
      if (bias != nullptr) h = h + bias[i];
      y[i] = h;
    }
  }
}

#define MOE_INSTANTIATE(T)                                                   \
  template void RmsNorm(const T*, const T*, int64_t, int64_t, T, Rounding,   \
                        T*);                                                 \
  template void LayerNorm(const T*, const T*, const T*, int64_t, int64_t, T, \
                          T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
