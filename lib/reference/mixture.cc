// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/mixture.h"

#include <algorithm>
#include <cmath>

#include "lib/reference/lanes.h"

namespace moe::reference {
namespace {

// y += w * x
template <typename T>
void Add(T w, const T* x, int64_t d, T* y) {
  for (int64_t i = 0; i < d; ++i) y[i] = std::fma(w, x[i], y[i]);
}

}  // namespace

template <typename T>
void Mix(const T* a, const T* x, const int32_t* cu_seqlens, int64_t sequences,
         int64_t n, int64_t d, T* y) {
  std::fill_n(y, sequences * n * d, T(0));
  for (int64_t b = 0; b < sequences; ++b)
    for (int64_t t = cu_seqlens[b]; t < cu_seqlens[b + 1]; ++t)
      for (int64_t j = 0; j < n; ++j)
        Add(a[t * n + j], x + t * d, d, y + (b * n + j) * d);
}

template <typename T>
void Unmix(const T* a, const T* s, const int32_t* cu_seqlens, int64_t sequences,
           int64_t tokens, int64_t n, int64_t d, T* y) {
  std::fill_n(y, tokens * d, T(0));
  for (int64_t b = 0; b < sequences; ++b)
    for (int64_t t = cu_seqlens[b]; t < cu_seqlens[b + 1]; ++t)
      for (int64_t j = 0; j < n; ++j)
        Add(a[t * n + j], s + (b * n + j) * d, d, y + t * d);
}

template <typename T>
void MixDot(const T* x, const T* s, const int32_t* cu_seqlens,
            int64_t sequences, int64_t tokens, int64_t n, int64_t d, T* y) {
  std::fill_n(y, tokens * n, T(0));
  for (int64_t b = 0; b < sequences; ++b)
    for (int64_t t = cu_seqlens[b]; t < cu_seqlens[b + 1]; ++t)
      for (int64_t j = 0; j < n; ++j)
        y[t * n + j] = LaneDot(x + t * d, s + (b * n + j) * d, d);
}

template <typename T>
void MergeParams(const T* w, const T* param, int64_t rows, int64_t experts,
                 int64_t size, T* y) {
  std::fill_n(y, rows * size, T(0));
  for (int64_t b = 0; b < rows; ++b)
    for (int64_t e = 0; e < experts; ++e)
      Add(w[b * experts + e], param + e * size, size, y + b * size);
}

template <typename T>
void MergeParamsVjp(const T* w, const T* param, const T* dy, int64_t rows,
                    int64_t experts, int64_t size, T* dw, T* dparam) {
  std::fill_n(dparam, experts * size, T(0));
  for (int64_t b = 0; b < rows; ++b)
    for (int64_t e = 0; e < experts; ++e) {
      dw[b * experts + e] = LaneDot(dy + b * size, param + e * size, size);
      Add(w[b * experts + e], dy + b * size, size, dparam + e * size);
    }
}

#define MOE_INSTANTIATE(T)                                                     \
  template void Mix(const T*, const T*, const int32_t*, int64_t, int64_t,      \
                    int64_t, T*);                                              \
  template void Unmix(const T*, const T*, const int32_t*, int64_t, int64_t,    \
                      int64_t, int64_t, T*);                                   \
  template void MixDot(const T*, const T*, const int32_t*, int64_t, int64_t,   \
                       int64_t, int64_t, T*);                                  \
  template void MergeParams(const T*, const T*, int64_t, int64_t, int64_t,     \
                            T*);                                               \
  template void MergeParamsVjp(const T*, const T*, const T*, int64_t, int64_t, \
                               int64_t, T*, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
