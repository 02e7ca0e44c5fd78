// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <algorithm>
#include <cmath>

#include "lib/reference/vjp.h"

namespace moe::reference {
namespace {

// dx[k] = sum over n ascending of dy[n] * w[n, k].
template <typename T>
void RowVjpX(const T* dy, const T* w, int64_t n, int64_t k, T* dx) {
  std::fill_n(dx, k, T(0));
  for (int64_t j = 0; j < n; ++j)
    for (int64_t i = 0; i < k; ++i)
      dx[i] = std::fma(dy[j], w[j * k + i], dx[i]);
}

// dw[n, k] += dy[n] * x[k].
template <typename T>
void AddOuter(const T* dy, const T* x, int64_t n, int64_t k, T* dw) {
  for (int64_t j = 0; j < n; ++j)
    for (int64_t i = 0; i < k; ++i)
      dw[j * k + i] = std::fma(dy[j], x[i], dw[j * k + i]);
}

template <typename T>
void AddRow(const T* dy, int64_t n, T* sum) {
  for (int64_t j = 0; j < n; ++j) sum[j] = sum[j] + dy[j];
}

}  // namespace

template <typename T>
void LinearVjpX(const T* dy, const T* w, int64_t tokens, int64_t n, int64_t k,
                T* dx) {
  for (int64_t t = 0; t < tokens; ++t) RowVjpX(dy + t * n, w, n, k, dx + t * k);
}

template <typename T>
void LinearVjpW(const T* dy, const T* x, int64_t tokens, int64_t n, int64_t k,
                T* dw) {
  std::fill_n(dw, n * k, T(0));
  for (int64_t t = 0; t < tokens; ++t)
    AddOuter(dy + t * n, x + t * k, n, k, dw);
}

template <typename T>
void LinearVjpBias(const T* dy, int64_t tokens, int64_t n, T* dbias) {
  std::fill_n(dbias, n, T(0));
  for (int64_t t = 0; t < tokens; ++t) AddRow(dy + t * n, n, dbias);
}

template <typename T>
void HeadLinearVjpX(const T* dy, const T* w, int64_t tokens, int64_t heads,
                    int64_t n, int64_t k, T* dx) {
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h)
      RowVjpX(dy + (t * heads + h) * n, w + h * n * k, n, k,
              dx + (t * heads + h) * k);
}

template <typename T>
void HeadLinearVjpW(const T* dy, const T* x, int64_t tokens, int64_t heads,
                    int64_t n, int64_t k, T* dw) {
  std::fill_n(dw, heads * n * k, T(0));
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h)
      AddOuter(dy + (t * heads + h) * n, x + (t * heads + h) * k, n, k,
               dw + h * n * k);
}

template <typename T>
void GroupedMatmulVjpX(const T* dy, const int32_t* offsets, const T* w,
                       int64_t experts, int64_t n, int64_t k, T* dx) {
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r)
      RowVjpX(dy + r * n, w + e * n * k, n, k, dx + r * k);
}

template <typename T>
void GroupedMatmulVjpW(const T* dy, const T* x, const int32_t* source_row,
                       const int32_t* offsets, int64_t experts, int64_t n,
                       int64_t k, T* dw) {
  std::fill_n(dw, experts * n * k, T(0));
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
      const int64_t source = source_row == nullptr ? r : source_row[r];
      AddOuter(dy + r * n, x + source * k, n, k, dw + e * n * k);
    }
}

template <typename T>
void GroupedMatmulVjpBias(const T* dy, const int32_t* offsets, int64_t experts,
                          int64_t n, T* dbias) {
  std::fill_n(dbias, experts * n, T(0));
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r)
      AddRow(dy + r * n, n, dbias + e * n);
}

#define MOE_INSTANTIATE(T)                                                     \
  template void LinearVjpX(const T*, const T*, int64_t, int64_t, int64_t, T*); \
  template void LinearVjpW(const T*, const T*, int64_t, int64_t, int64_t, T*); \
  template void LinearVjpBias(const T*, int64_t, int64_t, T*);                 \
  template void HeadLinearVjpX(const T*, const T*, int64_t, int64_t, int64_t,  \
                               int64_t, T*);                                   \
  template void HeadLinearVjpW(const T*, const T*, int64_t, int64_t, int64_t,  \
                               int64_t, T*);                                   \
  template void GroupedMatmulVjpX(const T*, const int32_t*, const T*, int64_t, \
                                  int64_t, int64_t, T*);                       \
  template void GroupedMatmulVjpW(const T*, const T*, const int32_t*,          \
                                  const int32_t*, int64_t, int64_t, int64_t,   \
                                  T*);                                         \
  template void GroupedMatmulVjpBias(const T*, const int32_t*, int64_t,        \
                                     int64_t, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
