// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <algorithm>
#include <cmath>
#include <vector>

#include "lib/reference/lanes.h"
#include "lib/reference/vjp.h"

namespace moe::reference {
namespace {

// One row of both norms: h is the normalised row, g the gradient of h, and
// dx = scale * (g - centre - h * mean(g * h)).
template <typename T>
void NormalisedVjp(const T* g, const T* h, T scale, T centre, int64_t d,
                   T* dx) {
  const T along = LaneDot(g, h, d) / static_cast<T>(d);
  for (int64_t i = 0; i < d; ++i)
    dx[i] = scale * (g[i] - centre - h[i] * along);
}

// g = dy * w, and dw += dy * h where wanted.
template <typename T>
void ScaleVjp(const T* dy, const T* w, const T* h, int64_t d, T* g, T* dw) {
  for (int64_t i = 0; i < d; ++i) {
    g[i] = w == nullptr ? dy[i] : dy[i] * w[i];
    if (dw != nullptr) dw[i] = std::fma(dy[i], h[i], dw[i]);
  }
}

}  // namespace

template <typename T>
void RmsNormVjp(const T* x, const T* w, const T* dy, int64_t rows, int64_t d,
                T eps, T* dx, T* dw) {
  std::vector<T> h(d), g(d);
  if (dw != nullptr) std::fill_n(dw, d, T(0));
  for (int64_t r = 0; r < rows; ++r, x += d, dy += d, dx += d) {
    const T scale = Rsqrt(LaneSumOfSquares(x, d) / static_cast<T>(d) + eps);
    for (int64_t i = 0; i < d; ++i) h[i] = x[i] * scale;
    ScaleVjp(dy, w, h.data(), d, g.data(), dw);
    NormalisedVjp(g.data(), h.data(), scale, T(0), d, dx);
  }
}

template <typename T>
void LayerNormVjp(const T* x, const T* w, const T* dy, int64_t rows, int64_t d,
                  T eps, T* dx, T* dw, T* dbias) {
  std::vector<T> h(d), g(d);
  if (dw != nullptr) std::fill_n(dw, d, T(0));
  if (dbias != nullptr) std::fill_n(dbias, d, T(0));
  for (int64_t r = 0; r < rows; ++r, x += d, dy += d, dx += d) {
    const T mean = LaneSum(x, d) / static_cast<T>(d);
    for (int64_t i = 0; i < d; ++i) h[i] = x[i] - mean;
    const T variance = LaneSumOfSquares(h.data(), d) / static_cast<T>(d);
    const T scale = Rsqrt(variance + eps);
    for (int64_t i = 0; i < d; ++i) h[i] = h[i] * scale;
    ScaleVjp(dy, w, h.data(), d, g.data(), dw);
    if (dbias != nullptr)
      for (int64_t i = 0; i < d; ++i) dbias[i] = dbias[i] + dy[i];
    NormalisedVjp(g.data(), h.data(), scale,
                  LaneSum(g.data(), d) / static_cast<T>(d), d, dx);
  }
}

template <typename T>
void SoftmaxVjp(const T* y, const T* dy, int64_t outer, int64_t n,
                int64_t inner, T* dx) {
  std::vector<T> p(n), g(n);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      const int64_t base = o * n * inner + i;
      for (int64_t j = 0; j < n; ++j) {
        p[j] = y[base + j * inner];
        g[j] = dy[base + j * inner];
      }
      const T along = LaneDot(p.data(), g.data(), n);
      for (int64_t j = 0; j < n; ++j)
        dx[base + j * inner] = p[j] * (g[j] - along);
    }
}

template <typename T>
void ReduceVjp(ReduceKind kind, const T* x, const T* y, const T* dy,
               int64_t outer, int64_t n, int64_t inner, T* dx) {
  const bool sums = kind == ReduceKind::kSum || kind == ReduceKind::kMean;
  const T share = kind == ReduceKind::kMean ? static_cast<T>(n) : T(1);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < inner; ++i) {
      const T g = dy[o * inner + i] / share;
      bool passed = false;
      for (int64_t j = 0; j < n; ++j) {
        const int64_t at = (o * n + j) * inner + i;
        const bool passes = sums || (!passed && x[at] == y[o * inner + i]);
        passed = passed || passes;
        dx[at] = passes ? g : T(0);
      }
    }
}

#define MOE_INSTANTIATE(T)                                                     \
  template void RmsNormVjp(const T*, const T*, const T*, int64_t, int64_t, T,  \
                           T*, T*);                                            \
  template void LayerNormVjp(const T*, const T*, const T*, int64_t, int64_t,   \
                             T, T*, T*, T*);                                   \
  template void SoftmaxVjp(const T*, const T*, int64_t, int64_t, int64_t, T*); \
  template void ReduceVjp(ReduceKind, const T*, const T*, const T*, int64_t,   \
                          int64_t, int64_t, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
