// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rounding of values to the dtype in which an op's result is stored.
//
//   float y = Round(x, Rounding::kBf16);   // nearest, ties to even
//
// Reference functions compute in T (float or double) and mostly leave rounding
// to their caller, who knows the dtype of each result; RmsNorm takes a Rounding
// because it rounds in the middle. All functions here are pure.

#ifndef MOE_LIB_REFERENCE_ROUNDING_H_
#define MOE_LIB_REFERENCE_ROUNDING_H_

#include <bit>
#include <cstdint>

namespace moe::reference {

// kNone keeps T as it is (f32 results in float, everything in double).
enum class Rounding { kNone, kBf16 };

// The bf16 nearest to x, ties to even, as its 16 bits. Every NaN becomes
// 0x7fc0; denormal values are kept.
inline uint16_t Bf16Bits(float x) {
  if (x != x) return 0x7fc0;
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float Bf16Value(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

template <typename T>
T Round(T x, Rounding rounding) {
  if (rounding == Rounding::kNone) return x;
  return static_cast<T>(Bf16Value(Bf16Bits(static_cast<float>(x))));
}

// Rounds n values in place.
template <typename T>
void RoundAll(T* x, int64_t n, Rounding rounding) {
  for (int64_t i = 0; i < n; ++i) x[i] = Round(x[i], rounding);
}

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_ROUNDING_H_
