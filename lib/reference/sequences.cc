// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/sequences.h"

#include <algorithm>
#include <limits>

#include "lib/reference/elementwise.h"
#include "lib/reference/matmul.h"
#include "lib/reference/vjp.h"

namespace moe::reference {
namespace {

// One column of the tokens of one sequence: `size` elements, `stride` apart.
template <typename T>
T Column(ReduceKind kind, const T* x, int64_t size, int64_t stride) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  T y = kind == ReduceKind::kMax   ? -kInfinity
        : kind == ReduceKind::kMin ? kInfinity
                                   : T(0);
  for (int64_t t = 0; t < size; ++t) {
    const T v = x[t * stride];
    if (kind == ReduceKind::kMax)
      y = Maximum(y, v);
    else if (kind == ReduceKind::kMin)
      y = Minimum(y, v);
    else
      y = y + v;
  }
  return kind == ReduceKind::kMean && size > 0 ? y / static_cast<T>(size) : y;
}

}  // namespace

template <typename T>
void SegmentReduce(ReduceKind kind, const T* x, const int32_t* cu_seqlens,
                   int64_t sequences, int64_t width, T* y) {
  for (int64_t b = 0; b < sequences; ++b)
    for (int64_t i = 0; i < width; ++i)
      y[b * width + i] = Column(kind, x + cu_seqlens[b] * width + i,
                                cu_seqlens[b + 1] - cu_seqlens[b], width);
}

template <typename T>
void SegmentBroadcast(const T* x, const int32_t* cu_seqlens, int64_t sequences,
                      int64_t tokens, int64_t width, T* y) {
  std::fill_n(y, tokens * width, T(0));
  for (int64_t b = 0; b < sequences; ++b)
    for (int64_t t = cu_seqlens[b]; t < cu_seqlens[b + 1]; ++t)
      std::copy_n(x + b * width, width, y + t * width);
}

template <typename T>
void SegmentSoftmax(const T* x, const int32_t* cu_seqlens, int64_t sequences,
                    int64_t tokens, int64_t width, T* y) {
  std::fill_n(y, tokens * width, T(0));
  for (int64_t b = 0; b < sequences; ++b)
    for (int64_t i = 0; i < width; ++i) {
      const int64_t begin = cu_seqlens[b], size = cu_seqlens[b + 1] - begin;
      const T* from = x + begin * width + i;
      T* to = y + begin * width + i;
      const T largest = Column(ReduceKind::kMax, from, size, width);
      for (int64_t t = 0; t < size; ++t)
        to[t * width] = Exp(from[t * width] - largest);
      const T sum = Column<T>(ReduceKind::kSum, to, size, width);
      for (int64_t t = 0; t < size; ++t) to[t * width] = to[t * width] / sum;
    }
}

template <typename T>
void SegmentLinear(const T* x, const T* w, const int32_t* cu_seqlens,
                   int64_t sequences, int64_t tokens, int64_t n, int64_t k,
                   T* y) {
  std::fill_n(y, tokens * n, T(0));
  for (int64_t b = 0; b < sequences; ++b)
    Linear<T>(x + cu_seqlens[b] * k, w + b * n * k, nullptr,
              cu_seqlens[b + 1] - cu_seqlens[b], n, k, Accumulation::kChain,
              y + cu_seqlens[b] * n);
}

template <typename T>
void SegmentLinearVjpX(const T* dy, const T* w, const int32_t* cu_seqlens,
                       int64_t sequences, int64_t tokens, int64_t n, int64_t k,
                       T* dx) {
  std::fill_n(dx, tokens * k, T(0));
  for (int64_t b = 0; b < sequences; ++b)
    LinearVjpX<T>(dy + cu_seqlens[b] * n, w + b * n * k,
                  cu_seqlens[b + 1] - cu_seqlens[b], n, k,
                  dx + cu_seqlens[b] * k);
}

template <typename T>
void SegmentLinearVjpW(const T* dy, const T* x, const int32_t* cu_seqlens,
                       int64_t sequences, int64_t n, int64_t k, T* dw) {
  for (int64_t b = 0; b < sequences; ++b)
    LinearVjpW<T>(dy + cu_seqlens[b] * n, x + cu_seqlens[b] * k,
                  cu_seqlens[b + 1] - cu_seqlens[b], n, k, dw + b * n * k);
}

#define MOE_INSTANTIATE(T)                                                     \
  template void SegmentReduce(ReduceKind, const T*, const int32_t*, int64_t,   \
                              int64_t, T*);                                    \
  template void SegmentSoftmax(const T*, const int32_t*, int64_t, int64_t,     \
                               int64_t, T*);                                   \
  template void SegmentLinear(const T*, const T*, const int32_t*, int64_t,     \
                              int64_t, int64_t, int64_t, T*);                  \
  template void SegmentLinearVjpX(const T*, const T*, const int32_t*, int64_t, \
                                  int64_t, int64_t, int64_t, T*);              \
  template void SegmentLinearVjpW(const T*, const T*, const int32_t*, int64_t, \
                                  int64_t, int64_t, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE
#define MOE_INSTANTIATE(T)                                                   \
  template void SegmentBroadcast(const T*, const int32_t*, int64_t, int64_t, \
                                 int64_t, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
MOE_INSTANTIATE(int32_t)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
