// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/random.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

#include "lib/core/philox.h"
#include "lib/reference/elementwise.h"

namespace moe::reference {
namespace {

constexpr std::string_view kNames[] = {"uniform", "normal", "gumbel",
                                       "exponential"};

template <typename T>
T Value(Distribution distribution, const PhiloxBlock& words) {
  const T u = static_cast<T>(words[0] >> 8) * static_cast<T>(0x1p-24);
  const T v = std::max(u, static_cast<T>(0x1p-24));
  switch (distribution) {
    case Distribution::kUniform:
      return u;
    case Distribution::kExponential:
      return -Log(v);
    case Distribution::kGumbel:
      return -Log(-Log(v));
    case Distribution::kNormal:
      break;
  }
  const T turn = static_cast<T>(words[1] >> 8) * static_cast<T>(0x1p-24);
  return Sqrt(T(-2) * Log(v)) * std::cos(T(2) * std::numbers::pi_v<T> * turn);
}

}  // namespace

RandomKey RandomKey::FromInts(const int32_t (&ints)[6]) {
  auto word = [&](int i) { return static_cast<uint32_t>(ints[i]); };
  return {uint64_t{word(1)} << 32 | word(0), word(2), word(3),
          uint64_t{word(5)} << 32 | word(4)};
}

std::string_view DistributionName(Distribution distribution) {
  return kNames[static_cast<int>(distribution)];
}

std::optional<Distribution> ParseDistribution(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (kNames[i] == name) return static_cast<Distribution>(i);
  return std::nullopt;
}

template <typename T>
void RandomValues(const RandomKey& key, uint32_t stream,
                  Distribution distribution, int64_t tokens, int64_t width,
                  T* y) {
  const Philox philox(key.seed);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t j = 0; j < width; ++j) {
      const uint64_t at = (key.first + static_cast<uint64_t>(t)) *
                              static_cast<uint64_t>(width) +
                          static_cast<uint64_t>(j);
      y[t * width + j] = Value<T>(
          distribution,
          philox({static_cast<uint32_t>(at), static_cast<uint32_t>(at >> 32),
                  key.layer * 64 + stream, key.step}));
    }
}

template void RandomValues(const RandomKey&, uint32_t, Distribution, int64_t,
                           int64_t, float*);
template void RandomValues(const RandomKey&, uint32_t, Distribution, int64_t,
                           int64_t, double*);

}  // namespace moe::reference
