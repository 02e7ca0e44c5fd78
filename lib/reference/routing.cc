// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/routing.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace moe::reference {
namespace {

// Sign and magnitude to two's complement: ascending with the value.
int64_t Ordered(int64_t magnitude, bool negative) {
  return negative ? -magnitude : magnitude;
}

// x as generated code takes it: in float a denormal is 0.
template <typename T>
T Flushed(T x) {
  const bool denormal = sizeof(T) == sizeof(float) &&
                        std::fabs(x) < std::numeric_limits<T>::min();
  return denormal ? T(0) : x;
}

template <typename T>
T FlushedSum(T x, T y) {
  return Flushed(Flushed(x) + Flushed(y));
}

template <typename T>
T Score(const T* members, int64_t size, GroupScore score) {
  const int64_t count = score.sum_top == 0 ? 1 : score.sum_top;
  std::vector<int32_t> best(count);
  TopK(members, size, count, best.data());
  T sum = members[best[0]];
  for (int64_t i = 1; i < count; ++i) sum = FlushedSum(sum, members[best[i]]);
  return sum;
}

bool Valid(int32_t expert, int64_t experts) {
  return expert >= 0 && expert < experts;
}

}  // namespace

int64_t SelectionKey(float x) {
  if (x != x) return std::numeric_limits<int64_t>::max();
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const bool denormal = magnitude < 0x00800000u;
  return Ordered(denormal ? 0 : magnitude, (bits >> 31) != 0);
}

int64_t SelectionKey(double x) {
  if (x != x) return std::numeric_limits<int64_t>::max();
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  return Ordered(static_cast<int64_t>(bits & ~(uint64_t{1} << 63)),
                 (bits >> 63) != 0);
}

template <typename T>
void TopK(const T* values, int64_t n, int64_t k, int32_t* out) {
  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + k, order.end(),
                    [&](int32_t a, int32_t b) {
                      const int64_t ka = SelectionKey(values[a]);
                      const int64_t kb = SelectionKey(values[b]);
                      return ka != kb ? ka > kb : a < b;
                    });
  std::copy_n(order.begin(), k, out);
}

template <typename T>
void KeptGroups(const T* s, int64_t experts, int64_t groups, int64_t keep,
                GroupScore score, uint8_t* kept) {
  const int64_t size = experts / groups;
  std::vector<T> scores(groups);
  std::vector<int32_t> best(keep);
  for (int64_t g = 0; g < groups; ++g)
    scores[g] = Score(s + g * size, size, score);
  TopK(scores.data(), groups, keep, best.data());
  std::fill_n(kept, groups, uint8_t{0});
  for (int32_t g : best) kept[g] = 1;
}

template <typename T>
void GroupMask(const T* s, int64_t tokens, int64_t experts, int64_t groups,
               int64_t keep, GroupScore score, T fill, T* y) {
  const int64_t size = experts / groups;
  std::vector<uint8_t> kept(groups);
  for (int64_t t = 0; t < tokens; ++t, s += experts, y += experts) {
    KeptGroups(s, experts, groups, keep, score, kept.data());
    for (int64_t e = 0; e < experts; ++e) y[e] = kept[e / size] ? s[e] : fill;
  }
}

template <typename T>
void Select(const T* s, const T* bias, int64_t tokens, int64_t experts,
            int64_t k, int32_t* idx) {
  std::vector<T> biased(experts);
  for (int64_t t = 0; t < tokens; ++t) {
    const T* row = s + t * experts;
    for (int64_t e = 0; e < experts; ++e)
      biased[e] = bias == nullptr ? row[e] : FlushedSum(row[e], bias[e]);
    TopK(biased.data(), experts, k, idx + t * k);
  }
}

template <typename T>
void DropNotAbove(const T* s, const T* bias, T above, int64_t tokens,
                  int64_t experts, int64_t k, int32_t* idx) {
  for (int64_t slot = 0; slot < tokens * k; ++slot) {
    int32_t& e = idx[slot];
    if (!Valid(e, experts)) continue;
    T value = s[slot / k * experts + e];
    if (bias != nullptr) value = FlushedSum(value, bias[e]);
    if (SelectionKey(value) <= SelectionKey(above))
      e = static_cast<int32_t>(experts);
  }
}

template <typename T>
void MaskChoices(const T* s, const int32_t* idx, int64_t tokens,
                 int64_t experts, int64_t k, T fill, T* y) {
  if (y != s) std::copy_n(s, tokens * experts, y);
  for (int64_t slot = 0; slot < tokens * k; ++slot)
    if (Valid(idx[slot], experts)) y[slot / k * experts + idx[slot]] = fill;
}

template <typename T>
void Pick(const T* s, const int32_t* idx, int64_t tokens, int64_t experts,
          int64_t k, T* w) {
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t j = 0; j < k; ++j) {
      const int32_t e = idx[t * k + j];
      w[t * k + j] = Valid(e, experts) ? s[t * experts + e] : T(0);
    }
}

Plan MakePlan(const int32_t* idx, int64_t tokens, int64_t experts, int64_t k) {
  Plan plan;
  plan.tokens = tokens;
  plan.experts = experts;
  plan.top_k = k;
  plan.idx.assign(idx, idx + tokens * k);
  plan.slot2row.assign(tokens * k, -1);
  plan.offsets.assign(experts + 1, 0);
  for (int32_t& e : plan.idx) {
    if (!Valid(e, experts))
      e = static_cast<int32_t>(experts);
    else
      ++plan.offsets[e + 1];
  }
  std::partial_sum(plan.offsets.begin(), plan.offsets.end(),
                   plan.offsets.begin());
  plan.row2slot.assign(plan.offsets[experts], 0);
  std::vector<int32_t> next = plan.offsets;
  for (int64_t slot = 0; slot < tokens * k; ++slot) {
    const int32_t e = plan.idx[slot];
    if (e == experts) continue;
    plan.slot2row[slot] = next[e];
    plan.row2slot[next[e]++] = static_cast<int32_t>(slot);
  }
  return plan;
}

void Counts(const Plan& plan, int32_t* counts) {
  for (int64_t e = 0; e < plan.experts; ++e)
    counts[e] = plan.offsets[e + 1] - plan.offsets[e];
}

void PlanTokens(const Plan& plan, int32_t* tokens) {
  for (int64_t r = 0; r < plan.rows(); ++r)
    tokens[r] = static_cast<int32_t>(plan.row2slot[r] / plan.top_k);
}

void PlanSeqs(const Plan& plan, const int32_t* cu_seqlens, int64_t sequences,
              int32_t* y) {
  for (int64_t b = 0; b <= sequences; ++b)
    y[b] = static_cast<int32_t>(std::count_if(
        plan.row2slot.begin(), plan.row2slot.end(),
        [&](int32_t slot) { return slot / plan.top_k < cu_seqlens[b]; }));
}

template <typename T>
void Dispatch(const T* x, const Plan& plan, int64_t d, T* rows) {
  for (int64_t r = 0; r < plan.rows(); ++r)
    std::copy_n(x + plan.row2slot[r] / plan.top_k * d, d, rows + r * d);
}

template <typename T>
void Ungroup(const T* rows, const Plan& plan, int64_t d, T* y) {
  std::fill_n(y, plan.tokens * plan.top_k * d, T(0));
  for (int64_t slot = 0; slot < plan.tokens * plan.top_k; ++slot)
    if (plan.slot2row[slot] >= 0)
      std::copy_n(rows + plan.slot2row[slot] * d, d, y + slot * d);
}

template <typename T>
void Group(const T* y, const Plan& plan, int64_t d, T* rows) {
  for (int64_t r = 0; r < plan.rows(); ++r)
    std::copy_n(y + plan.row2slot[r] * d, d, rows + r * d);
}

template <typename T>
void Combine(const T* rows, const Plan& plan, const T* w, int64_t d, T* y) {
  std::fill_n(y, plan.tokens * d, T(0));
  for (int64_t slot = 0; slot < plan.tokens * plan.top_k; ++slot) {
    const int32_t r = plan.slot2row[slot];
    if (r < 0) continue;
    T* to = y + slot / plan.top_k * d;
    for (int64_t i = 0; i < d; ++i)
      to[i] = std::fma(w[slot], rows[r * d + i], to[i]);
  }
}

#define MOE_INSTANTIATE(T)                                                     \
  template void TopK(const T*, int64_t, int64_t, int32_t*);                    \
  template void KeptGroups(const T*, int64_t, int64_t, int64_t, GroupScore,    \
                           uint8_t*);                                          \
  template void GroupMask(const T*, int64_t, int64_t, int64_t, int64_t,        \
                          GroupScore, T, T*);                                  \
  template void Select(const T*, const T*, int64_t, int64_t, int64_t,          \
                       int32_t*);                                              \
  template void DropNotAbove(const T*, const T*, T, int64_t, int64_t, int64_t, \
                             int32_t*);                                        \
  template void MaskChoices(const T*, const int32_t*, int64_t, int64_t,        \
                            int64_t, T, T*);                                   \
  template void Pick(const T*, const int32_t*, int64_t, int64_t, int64_t, T*); \
  template void Dispatch(const T*, const Plan&, int64_t, T*);                  \
  template void Ungroup(const T*, const Plan&, int64_t, T*);                   \
  template void Group(const T*, const Plan&, int64_t, T*);                     \
  template void Combine(const T*, const Plan&, const T*, int64_t, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE
template void Dispatch(const int32_t*, const Plan&, int64_t, int32_t*);

}  // namespace moe::reference
