// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/rope.h"

#include <cmath>

namespace moe::reference {

template <typename T>
void RopeTable(const int32_t* positions, int64_t tokens, const float* inv_freq,
               int64_t d, T scale, T* table) {
  const int64_t half = d / 2;
  for (int64_t t = 0; t < tokens; ++t, table += d) {
    for (int64_t i = 0; i < half; ++i) {
      const T angle =
          static_cast<T>(positions[t]) * static_cast<T>(inv_freq[i]);
      // In double, so that float results are correctly rounded but for the
      // rarest cases, whatever the size of the angle.
      const double exact = static_cast<double>(angle);
      table[i] = static_cast<T>(std::cos(exact)) * scale;
      table[half + i] = static_cast<T>(std::sin(exact)) * scale;
    }
  }
}

template <typename T>
void Rope(const T* x, const T* table, int64_t tokens, int64_t heads,
          int64_t head_dim, int64_t d, int64_t start, RopePairing pairing,
          T* y) {
  const int64_t half = d / 2;
  const int64_t apart = pairing == RopePairing::kHalf ? half : 1;
  const int64_t step = pairing == RopePairing::kHalf ? 1 : 2;
  for (int64_t t = 0; t < tokens; ++t, table += d) {
    for (int64_t h = 0; h < heads; ++h, x += head_dim, y += head_dim) {
      for (int64_t i = 0; i < head_dim; ++i)
        if (i < start || i >= start + d) y[i] = x[i];
      for (int64_t i = 0; i < half; ++i) {
        const int64_t at = start + i * step;
        const T a = x[at], b = x[at + apart];
        const T c = table[i], s = table[half + i];
        y[at] = a * c - b * s;
        y[at + apart] = b * c + a * s;
      }
    }
  }
}

#define MOE_INSTANTIATE(T)                                                   \
  template void RopeTable(const int32_t*, int64_t, const float*, int64_t, T, \
                          T*);                                               \
  template void Rope(const T*, const T*, int64_t, int64_t, int64_t, int64_t, \
                     int64_t, RopePairing, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
