// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>
#include <vector>

#include "lib/reference/balance.h"

namespace moe::reference {
namespace {

template <typename T>
constexpr T kNone = -std::numeric_limits<T>::infinity();

// Places at experts, |share| at each, and who holds them at which price.
template <typename T>
struct Places {
  int64_t experts, share;
  std::vector<T> price;
  std::vector<int64_t> holder;

  // The cheapest place of |e|, the lowest of several, but |other|; -1 if none.
  int64_t Cheapest(int64_t e, int64_t other) const {
    int64_t best = -1;
    for (int64_t p = e * share; p < (e + 1) * share; ++p)
      if (p != other && (best < 0 || price[p] < price[best])) best = p;
    return best;
  }
};

// A token takes the place worth most to it; gives whom it pushed out, or -1.
template <typename T>
int64_t Bid(const T* worth, int64_t t, T eps, Places<T>& places) {
  const auto value = [&](int64_t e, int64_t place) {
    return place < 0 ? kNone<T> : worth[e] - places.price[place];
  };
  int64_t best = -1;
  T most = kNone<T>, second = kNone<T>;
  for (int64_t e = 0; e < places.experts; ++e) {
    const int64_t place = places.Cheapest(e, -1);
    const T v = value(e, place);
    if (v > most) {
      second = most;
      most = v;
      best = place;
    } else {
      second = std::max(second, v);
    }
  }
  const int64_t e = best / places.share;
  second = std::max(second, value(e, places.Cheapest(e, best)));
  const T gain = second == kNone<T> ? T(0) : most - second;
  places.price[best] += gain + eps;
  return std::exchange(places.holder[best], t);
}

}  // namespace

template <typename T>
void AssignExactly(const T* s, int64_t tokens, int64_t experts, int32_t* idx) {
  if (tokens == 0) return;
  constexpr T kMostWorth = sizeof(T) == 4 ? T(1e30) : T(1e300);
  constexpr int kPowers = sizeof(T) == 4 ? 18 : 30;
  T least = std::numeric_limits<T>::infinity();
  for (int64_t i = 0; i < tokens * experts; ++i)
    if (std::isfinite(s[i])) least = std::min(least, s[i]);
  std::vector<T> worth(tokens * experts, T(0));
  T range = 0;
  for (int64_t i = 0; i < tokens * experts; ++i)
    if (std::isfinite(s[i])) {
      worth[i] = std::min(s[i] - least, kMostWorth);
      range = std::max(range, worth[i]);
    }
  if (range > 0)
    for (T& w : worth) w /= range;
  Places<T> places{experts, tokens / experts, std::vector<T>(tokens, T(0)), {}};
  T eps = 1;
  for (int power = 2; power <= kPowers; power += 2) {
    eps /= 4;
    const T lowest =
        *std::min_element(places.price.begin(), places.price.end());
    for (T& price : places.price) price -= lowest;
    places.holder.assign(tokens, -1);
    std::deque<int64_t> waiting(tokens);
    for (int64_t t = 0; t < tokens; ++t) waiting[t] = t;
    while (!waiting.empty()) {
      const int64_t t = waiting.front();
      waiting.pop_front();
      const int64_t out = Bid(&worth[t * experts], t, eps, places);
      if (out >= 0) waiting.push_back(out);
    }
  }
  for (int64_t p = 0; p < tokens; ++p)
    idx[places.holder[p]] = static_cast<int32_t>(p / places.share);
}

template void AssignExactly(const float*, int64_t, int64_t, int32_t*);
template void AssignExactly(const double*, int64_t, int64_t, int32_t*);

}  // namespace moe::reference
