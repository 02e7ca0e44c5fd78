// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Dense mixtures of tokens, and of the parameters of experts. Sequences are
// those of sequences.h: the rows of tokens of no sequence become 0. Sums are
// fma chains from +0 in ascending order of what is summed over, but for LaneDots.
// Outputs may not overlap inputs. T is float or double. All functions are pure.
//
//   Mix(a, x, cu_seqlens, sequences, n, d, slots);
//   Unmix(b, slots, cu_seqlens, sequences, tokens, n, d, y);

#ifndef MOE_LIB_REFERENCE_MIXTURE_H_
#define MOE_LIB_REFERENCE_MIXTURE_H_

#include <cstdint>

namespace moe::reference {

// moe.mix: a[tokens, n], x[tokens, d] -> y[sequences, n, d].
template <typename T>
void Mix(const T* a, const T* x, const int32_t* cu_seqlens, int64_t sequences,
         int64_t n, int64_t d, T* y);

// moe.unmix: a[tokens, n], s[sequences, n, d] -> y[tokens, d].
template <typename T>
void Unmix(const T* a, const T* s, const int32_t* cu_seqlens, int64_t sequences,
           int64_t tokens, int64_t n, int64_t d, T* y);

// moe.mix_dot: x[tokens, d], s[sequences, n, d] -> y[tokens, n], each a LaneDot.
template <typename T>
void MixDot(const T* x, const T* s, const int32_t* cu_seqlens,
            int64_t sequences, int64_t tokens, int64_t n, int64_t d, T* y);

// moe.merge_params: w[rows, experts], param[experts, size] -> y[rows, size].
template <typename T>
void MergeParams(const T* w, const T* param, int64_t rows, int64_t experts,
                 int64_t size, T* y);

// moe.merge_params_grad: dy[rows, size] -> dw[rows, experts], each a LaneDot,
// and dparam[experts, size].
template <typename T>
void MergeParamsVjp(const T* w, const T* param, const T* dy, int64_t rows,
                    int64_t experts, int64_t size, T* dw, T* dparam);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_MIXTURE_H_
