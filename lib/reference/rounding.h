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

#include <cstdint>

#include "lib/core/dtype.h"

namespace moe::reference {

// kNone keeps T as it is (f32 results in float, everything in double).
enum class Rounding { kNone, kBf16 };

template <typename T>
T Round(T x, Rounding rounding) {
  if (rounding == Rounding::kNone) return x;
  return static_cast<T>(
      FloatFromBFloat16(BFloat16FromFloat(static_cast<float>(x))));
}

// Rounds n values in place.
template <typename T>
void RoundAll(T* x, int64_t n, Rounding rounding) {
  for (int64_t i = 0; i < n; ++i) x[i] = Round(x[i], rounding);
}

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_ROUNDING_H_
