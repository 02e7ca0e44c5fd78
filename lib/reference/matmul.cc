// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/matmul.h"

#include <algorithm>
#include <cmath>

namespace moe::reference {
namespace {

// Columns computed side by side, to hide the latency of the chains. It changes
// no result.
constexpr int64_t kColumns = 8;

// The products of x with `count` rows of w, which are k apart, into sum.
template <typename T>
void ChainDots(const T* x, const T* w, int64_t k, int64_t count, T* sum) {
  std::fill_n(sum, count, T(0));
  if (count == kColumns) {
    T acc[kColumns] = {};
    for (int64_t i = 0; i < k; ++i)
      for (int64_t c = 0; c < kColumns; ++c)
        acc[c] = std::fma(x[i], w[c * k + i], acc[c]);
    std::copy_n(acc, kColumns, sum);
    return;
  }
  for (int64_t c = 0; c < count; ++c)
    for (int64_t i = 0; i < k; ++i)
      sum[c] = std::fma(x[i], w[c * k + i], sum[c]);
}

template <typename T>
T EvenOddDot(const T* x, const T* w, int64_t k) {
  T sum = 0;
  for (int64_t block = 0; block < k; block += 32) {
    const int64_t end = std::min(block + 32, k);
    T even = 0, odd = 0;
    for (int64_t i = block; i < end; i += 2) {
      even = std::fma(x[i], w[i], even);
      if (i + 1 < end) odd = std::fma(x[i + 1], w[i + 1], odd);
    }
    sum = sum + (even + odd);
  }
  return sum;
}

// One row of a product: y[n] = x[k] * w[n, k]^T + bias[n].
template <typename T>
void Row(const T* x, const T* w, const T* bias, int64_t n, int64_t k,
         Accumulation order, T* y) {
  for (int64_t j = 0; j < n; j += kColumns) {
    const int64_t count = std::min(kColumns, n - j);
    if (order == Accumulation::kChain) {
      ChainDots(x, w + j * k, k, count, y + j);
    } else {
      for (int64_t c = 0; c < count; ++c)
        y[j + c] = EvenOddDot(x, w + (j + c) * k, k);
    }
  }
  if (bias == nullptr) return;
  for (int64_t j = 0; j < n; ++j) y[j] = y[j] + bias[j];
}

}  // namespace

template <typename T>
T Dot(const T* x, const T* w, int64_t k, Accumulation order) {
  T sum = 0;
  Row<T>(x, w, nullptr, 1, k, order, &sum);
  return sum;
}

template <typename T>
void Linear(const T* x, const T* w, const T* bias, int64_t tokens, int64_t n,
            int64_t k, Accumulation order, T* y) {
  for (int64_t t = 0; t < tokens; ++t)
    Row(x + t * k, w, bias, n, k, order, y + t * n);
}

template <typename T>
void HeadLinear(const T* x, const T* w, int64_t tokens, int64_t heads,
                int64_t n, int64_t k, Accumulation order, T* y) {
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h)
      Row<T>(x + (t * heads + h) * k, w + h * n * k, nullptr, n, k, order,
             y + (t * heads + h) * n);
}

template <typename T>
void GroupedMatmul(const T* x, const int32_t* source_row,
                   const int32_t* offsets, const T* w, const T* bias,
                   int64_t experts, int64_t n, int64_t k, Accumulation order,
                   T* y) {
  for (int64_t e = 0; e < experts; ++e) {
    const T* expert_bias = bias == nullptr ? nullptr : bias + e * n;
    for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
      const int64_t source = source_row == nullptr ? r : source_row[r];
      Row(x + source * k, w + e * n * k, expert_bias, n, k, order, y + r * n);
    }
  }
}

#define MOE_INSTANTIATE(T)                                                   \
  template T Dot(const T*, const T*, int64_t, Accumulation);                 \
  template void Linear(const T*, const T*, const T*, int64_t, int64_t,       \
                       int64_t, Accumulation, T*);                           \
  template void HeadLinear(const T*, const T*, int64_t, int64_t, int64_t,    \
                           int64_t, Accumulation, T*);                       \
  template void GroupedMatmul(const T*, const int32_t*, const int32_t*,      \
                              const T*, const T*, int64_t, int64_t, int64_t, \
                              Accumulation, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
