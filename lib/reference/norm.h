// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Normalisation over the last axis of x[rows, d]. Sums use the 16 lanes of
// lanes.h. rsqrt(v) is 1 / sqrt(v). T is float or double; y may equal x.

#ifndef MOE_LIB_REFERENCE_NORM_H_
#define MOE_LIB_REFERENCE_NORM_H_

#include <cstdint>

#include "lib/reference/rounding.h"

namespace moe::reference {

// nn.rms_norm: h = Round(x * rsqrt(mean(x^2) + eps)), y = Round(h * w).
// w[d]; a null w leaves out the product and its rounding.
template <typename T>
void RmsNorm(const T* x, const T* w, int64_t rows, int64_t d, T eps,
             Rounding rounding, T* y);

// nn.layer_norm: m = mean(x), v = mean((x - m)^2),
// y = (x - m) * rsqrt(v + eps) * w + bias, rounded once, by the caller.
// w[d] or null, bias[d] or null.
template <typename T>
void LayerNorm(const T* x, const T* w, const T* bias, int64_t rows, int64_t d,
               T eps, T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_NORM_H_
