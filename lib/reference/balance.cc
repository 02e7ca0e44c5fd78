// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/balance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lib/reference/elementwise.h"
#include "lib/reference/routing.h"

namespace moe::reference {
namespace {

constexpr int64_t kPinnedRounds = 100;
// So that prices stay finite.
template <typename T>
constexpr T kMostWorth = sizeof(T) == 4 ? T(1e30) : T(1e300);

// s less its least finite value, transposed to [experts, tokens].
template <typename T>
std::vector<T> Worths(const T* s, int64_t tokens, int64_t experts) {
  T least = std::numeric_limits<T>::infinity();
  for (int64_t i = 0; i < tokens * experts; ++i)
    if (std::isfinite(s[i])) least = std::min(least, s[i]);
  std::vector<T> worths(tokens * experts, T(0));
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t e = 0; e < experts; ++e)
      if (const T v = s[t * experts + e]; std::isfinite(v))
        worths[e * tokens + t] = std::min(v - least, kMostWorth<T>);
  return worths;
}

}  // namespace

template <typename T>
int64_t Assign(const T* s, int64_t tokens, int64_t experts, int32_t* idx) {
  if (experts == 1 || tokens == 0) {
    std::fill_n(idx, tokens, 0);
    return 0;
  }
  const int64_t share = tokens / experts;
  const std::vector<T> worth = Worths(s, tokens, experts);
  const T most = *std::max_element(worth.begin(), worth.end());
  const T eps = std::max(most / T(50), T(1e-4));
  std::vector<T> value = worth, price(tokens, T(0));
  std::vector<int64_t> holder(tokens, -1);
  std::vector<int32_t> ranked(share + 1);
  for (int64_t round = 0;; ++round) {
    const bool pinned = round < kPinnedRounds;
    std::vector<T> highest(tokens, T(0));
    std::vector<int64_t> bidder(tokens, -1);
    for (int64_t e = 0; e < experts; ++e) {
      const T* values = &value[e * tokens];
      TopK(values, tokens, share + 1, ranked.data());
      const T left_out = values[ranked[share]];
      std::vector<T> bids(tokens, T(0));
      for (int64_t i = 0; i < share; ++i) {
        bids[ranked[i]] = values[ranked[i]] - left_out + eps;
        idx[ranked[i]] = static_cast<int32_t>(e);
      }
      for (int64_t t = 0; t < tokens; ++t) {
        if (pinned && holder[t] == e) bids[t] = eps;
        if (bids[t] > highest[t]) {
          highest[t] = bids[t];
          bidder[t] = e;
        }
      }
    }
    if (std::count(bidder.begin(), bidder.end(), -1) == 0) return round + 1;
    for (int64_t t = 0; t < tokens; ++t) {
      price[t] = price[t] + highest[t];
      holder[t] = bidder[t];
      for (int64_t e = 0; e < experts; ++e)
        value[e * tokens + t] = worth[e * tokens + t] - price[t];
      if (holder[t] >= 0)
        value[holder[t] * tokens + t] =
            pinned ? most : worth[holder[t] * tokens + t];
    }
  }
}

template <typename T>
int64_t Sinkhorn(const T* z, int64_t tokens, int64_t experts, double tolerance,
                 int64_t max_iterations, T* y) {
  const T small = static_cast<T>(1e-8);
  for (int64_t i = 0; i < tokens * experts; ++i) y[i] = Exp(z[i]);
  std::vector<T> d0(tokens, T(1)), d1(experts, T(1));
  int64_t iterations = 0;
  while (iterations < max_iterations) {
    ++iterations;
    for (int64_t t = 0; t < tokens; ++t) {
      T sum = 0;
      for (int64_t e = 0; e < experts; ++e)
        sum = std::fma(d1[e], y[t * experts + e], sum);
      d0[t] = T(1) / (static_cast<T>(tokens) * (sum + small));
    }
    T change = 0;
    for (int64_t e = 0; e < experts; ++e) {
      T sum = 0;
      for (int64_t t = 0; t < tokens; ++t)
        sum = std::fma(d0[t], y[t * experts + e], sum);
      const T next = T(1) / (static_cast<T>(experts) * (sum + small));
      change = change + std::fabs(next - d1[e]);
      d1[e] = next;
    }
    if (change / static_cast<T>(experts) <= static_cast<T>(tolerance)) break;
  }
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t e = 0; e < experts; ++e) {
      T& to = y[t * experts + e];
      to = d1[e] * to * d0[t];
    }
  return iterations;
}

#define MOE_INSTANTIATE(T)                                       \
  template int64_t Assign(const T*, int64_t, int64_t, int32_t*); \
  template int64_t Sinkhorn(const T*, int64_t, int64_t, double, int64_t, T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
