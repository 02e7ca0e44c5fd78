// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/movement.h"

#include <algorithm>

namespace moe::reference {

template <typename T>
void Fill(T value, int64_t n, T* y) {
  std::fill_n(y, n, value);
}

template <typename T>
bool Embedding(const int32_t* ids, const T* table, int64_t tokens,
               int64_t vocab, int64_t d, T* y) {
  if (std::any_of(ids, ids + tokens,
                  [&](int32_t id) { return id < 0 || id >= vocab; }))
    return false;
  for (int64_t t = 0; t < tokens; ++t)
    std::copy_n(table + ids[t] * d, d, y + t * d);
  return true;
}

template <typename T>
void LastRows(const T* x, const int32_t* cu_seqlens, int64_t sequences,
              int64_t d, T* y) {
  for (int64_t b = 0; b < sequences; ++b)
    std::copy_n(x + (cu_seqlens[b + 1] - 1) * d, d, y + b * d);
}

template <typename T>
void Slice(const T* x, int64_t rows, int64_t width, int64_t start, int64_t size,
           T* y) {
  for (int64_t r = 0; r < rows; ++r)
    std::copy_n(x + r * width + start, size, y + r * size);
}

template <typename T>
void ConcatPart(const T* x, int64_t rows, int64_t size, int64_t start,
                int64_t width, T* y) {
  for (int64_t r = 0; r < rows; ++r)
    std::copy_n(x + r * size, size, y + r * width + start);
}

template <typename T>
void Broadcast(const T* x, int64_t outer, int64_t n, int64_t inner, T* y) {
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < n; ++i)
      std::copy_n(x + o * inner, inner, y + (o * n + i) * inner);
}

template <typename T>
void GroupedBroadcast(const T* v, const int32_t* offsets, int64_t experts,
                      int64_t d, T* y) {
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r)
      std::copy_n(v + e * d, d, y + r * d);
}

#define MOE_INSTANTIATE(T)                                                     \
  template void Fill(T, int64_t, T*);                                          \
  template bool Embedding(const int32_t*, const T*, int64_t, int64_t, int64_t, \
                          T*);                                                 \
  template void LastRows(const T*, const int32_t*, int64_t, int64_t, T*);      \
  template void Slice(const T*, int64_t, int64_t, int64_t, int64_t, T*);       \
  template void ConcatPart(const T*, int64_t, int64_t, int64_t, int64_t, T*);  \
  template void Broadcast(const T*, int64_t, int64_t, int64_t, T*);            \
  template void GroupedBroadcast(const T*, const int32_t*, int64_t, int64_t,   \
                                 T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
MOE_INSTANTIATE(int32_t)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
