// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <algorithm>
#include <cmath>
#include <vector>

#include "lib/reference/lanes.h"
#include "lib/reference/training.h"
#include "lib/reference/vjp.h"

namespace moe::reference {

template <typename T>
void EmbeddingVjp(const int32_t* ids, const T* dy, int64_t tokens,
                  int64_t vocab, int64_t d, T* dtable) {
  std::fill_n(dtable, vocab * d, T(0));
  for (int64_t t = 0; t < tokens; ++t) {
    T* row = dtable + ids[t] * d;
    for (int64_t i = 0; i < d; ++i) row[i] = row[i] + dy[t * d + i];
  }
}

template <typename T>
void LastRowsVjp(const T* dy, const int32_t* cu_seqlens, int64_t tokens,
                 int64_t sequences, int64_t d, T* dx) {
  std::fill_n(dx, tokens * d, T(0));
  for (int64_t b = 0; b < sequences; ++b) {
    T* row = dx + (cu_seqlens[b + 1] - 1) * d;
    for (int64_t i = 0; i < d; ++i) row[i] = row[i] + dy[b * d + i];
  }
}

template <typename T>
void GroupMaskVjp(const T* s, const T* dy, int64_t tokens, int64_t experts,
                  int64_t groups, int64_t keep, GroupScore score, T* ds) {
  std::vector<uint8_t> kept(groups);
  for (int64_t t = 0; t < tokens; ++t) {
    KeptGroups(s + t * experts, experts, groups, keep, score, kept.data());
    for (int64_t e = 0; e < experts; ++e)
      ds[t * experts + e] =
          kept[e / (experts / groups)] ? dy[t * experts + e] : T(0);
  }
}

template <typename T>
void PickVjp(const int32_t* idx, const T* dw, int64_t tokens, int64_t experts,
             int64_t k, T* ds) {
  std::fill_n(ds, tokens * experts, T(0));
  for (int64_t slot = 0; slot < tokens * k; ++slot) {
    const int32_t e = idx[slot];
    if (e < 0 || e >= experts) continue;
    T& to = ds[slot / k * experts + e];
    to = to + dw[slot];
  }
}

template <typename T>
void DispatchVjp(const T* drows, const Plan& plan, int64_t d, T* dx) {
  std::fill_n(dx, plan.tokens * d, T(0));
  for (int64_t slot = 0; slot < plan.tokens * plan.top_k; ++slot) {
    const int32_t r = plan.slot2row[slot];
    if (r < 0) continue;
    T* to = dx + slot / plan.top_k * d;
    for (int64_t i = 0; i < d; ++i) to[i] = to[i] + drows[r * d + i];
  }
}

template <typename T>
void CombineVjp(const T* rows, const Plan& plan, const T* w, const T* dy,
                int64_t d, T* drows, T* dw) {
  for (int64_t slot = 0; slot < plan.tokens * plan.top_k; ++slot) {
    const int32_t r = plan.slot2row[slot];
    dw[slot] = 0;
    if (r < 0) continue;
    const T* g = dy + slot / plan.top_k * d;
    dw[slot] = LaneDot(g, rows + r * d, d);
    for (int64_t i = 0; i < d; ++i) drows[r * d + i] = w[slot] * g[i];
  }
}

template <typename T>
void Weigh(const T* rows, const Plan& plan, const T* w, int64_t n, T* y) {
  for (int64_t r = 0; r < plan.rows(); ++r)
    for (int64_t i = 0; i < n; ++i)
      y[r * n + i] = w[plan.row2slot[r]] * rows[r * n + i];
}

template <typename T>
void WeighVjp(const T* rows, const Plan& plan, const T* w, const T* dy,
              int64_t n, T* drows, T* dw) {
  for (int64_t slot = 0; slot < plan.tokens * plan.top_k; ++slot) {
    const int32_t r = plan.slot2row[slot];
    dw[slot] = r < 0 ? T(0) : LaneDot(dy + r * n, rows + r * n, n);
  }
  Weigh(dy, plan, w, n, drows);
}

template <typename T>
T CrossEntropy(const T* logits, const int32_t* targets, int64_t rows,
               int64_t vocab, T* dlogits) {
  const int64_t count = std::count_if(
      targets, targets + rows, [&](int32_t t) { return t >= 0 && t < vocab; });
  const T share = count == 0 ? T(0) : T(1) / static_cast<T>(count);
  std::vector<T> y(rows), dy(rows, share);
  CrossEntropyRows(logits, targets, rows, vocab, y.data());
  if (dlogits != nullptr)
    CrossEntropyRowsVjp(logits, targets, dy.data(), rows, vocab, dlogits);
  T total = 0;
  for (T loss : y) total = total + loss;
  return count == 0 ? T(0) : total / static_cast<T>(count);
}

#define MOE_INSTANTIATE(T)                                                     \
  template void EmbeddingVjp(const int32_t*, const T*, int64_t, int64_t,       \
                             int64_t, T*);                                     \
  template void LastRowsVjp(const T*, const int32_t*, int64_t, int64_t,        \
                            int64_t, T*);                                      \
  template void GroupMaskVjp(const T*, const T*, int64_t, int64_t, int64_t,    \
                             int64_t, GroupScore, T*);                         \
  template void PickVjp(const int32_t*, const T*, int64_t, int64_t, int64_t,   \
                        T*);                                                   \
  template void DispatchVjp(const T*, const Plan&, int64_t, T*);               \
  template void CombineVjp(const T*, const Plan&, const T*, const T*, int64_t, \
                           T*, T*);                                            \
  template void Weigh(const T*, const Plan&, const T*, int64_t, T*);           \
  template void WeighVjp(const T*, const Plan&, const T*, const T*, int64_t,   \
                         T*, T*);                                              \
  template T CrossEntropy(const T*, const int32_t*, int64_t, int64_t, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
