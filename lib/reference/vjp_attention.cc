// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <algorithm>
#include <cmath>
#include <vector>

#include "lib/reference/lanes.h"
#include "lib/reference/vjp.h"

namespace moe::reference {
namespace {

template <typename T>
void AddScaled(T factor, const T* x, int64_t n, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::fma(factor, x[i], y[i]);
}

}  // namespace

template <typename T>
void AttendVjp(const AttendShape& shape, const T* q, const T* k, const T* v,
               const int32_t* cu_seqlens, const T* dy, T* dq, T* dk, T* dv,
               const T* sinks, T* dsinks) {
  const int64_t heads = shape.heads, kv_heads = shape.kv_heads;
  const int64_t key_dims = shape.key_dims, value_dims = shape.value_dims;
  const T scale = static_cast<T>(shape.scale);
  std::fill_n(dq, shape.tokens * heads * key_dims, T(0));
  std::fill_n(dk, shape.tokens * kv_heads * key_dims, T(0));
  if (v != nullptr) std::fill_n(dv, shape.tokens * kv_heads * value_dims, T(0));
  if (sinks != nullptr) std::fill_n(dsinks, heads, T(0));
  // Of the visible keys, then of the sink.
  std::vector<T> s(shape.tokens), p(shape.tokens + 1), dp(shape.tokens + 1);
  for (int64_t b = 0; b < shape.sequences; ++b) {
    for (int64_t t = cu_seqlens[b]; t < cu_seqlens[b + 1]; ++t) {
      int64_t first = cu_seqlens[b];
      if (shape.window > 0) first = std::max(first, t - shape.window + 1);
      const int64_t visible = t - first + 1;
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kv = shape.KvHead(h);
        const T* query = q + (t * heads + h) * key_dims;
        const T* g = dy + (t * heads + h) * value_dims;
        auto key_at = [&](int64_t j) {
          return ((first + j) * kv_heads + kv) * key_dims;
        };
        auto value_at = [&](int64_t j) {
          return v == nullptr ? key_at(j)
                              : ((first + j) * kv_heads + kv) * value_dims;
        };
        const T* values = v == nullptr ? k : v;
        T* dvalues = v == nullptr ? dk : dv;
        for (int64_t j = 0; j < visible; ++j) {
          s[j] = shape.Score(LaneDot(query, k + key_at(j), key_dims));
          p[j] = s[j];
          dp[j] = LaneDot(g, values + value_at(j), value_dims);
        }
        int64_t all = visible;
        if (sinks != nullptr) {
          p[all] = sinks[h];
          dp[all++] = 0;
        }
        Softmax(p.data(), 1, all, 1, p.data());
        const T along = LaneDot(p.data(), dp.data(), all);
        if (sinks != nullptr) dsinks[h] = dsinks[h] - p[visible] * along;
        for (int64_t j = 0; j < visible; ++j) {
          T ds = p[j] * (dp[j] - along);
          if (shape.cap > 0) {
            const T share = s[j] / static_cast<T>(shape.cap);
            ds = ds * (T(1) - share * share);
          }
          ds = ds * scale;
          AddScaled(ds, k + key_at(j), key_dims,
                    dq + (t * heads + h) * key_dims);
          AddScaled(ds, query, key_dims, dk + key_at(j));
          AddScaled(p[j], g, value_dims, dvalues + value_at(j));
        }
      }
    }
  }
}

#define MOE_INSTANTIATE(T)                                                  \
  template void AttendVjp(const AttendShape&, const T*, const T*, const T*, \
                          const int32_t*, const T*, T*, T*, T*, const T*, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
