// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Matrix products, each with the one accumulation order of its operand dtypes.
//
//   // y[t, n] = sum over k of x[t, k] * w[n, k], weights as in a checkpoint
//   Linear(x, w, /*bias=*/static_cast<const float*>(nullptr), tokens, n, k,
//          Accumulation::kChain, y);
//
// All matrices are dense and row-major. Outputs may not overlap inputs. Sizes
// may be zero: no rows writes nothing, k = 0 gives the bias or 0. T is float or
// double. Results are not rounded: a caller with bf16 results rounds y.
// Functions are pure and may run on any thread.

#ifndef MOE_LIB_REFERENCE_MATMUL_H_
#define MOE_LIB_REFERENCE_MATMUL_H_

#include <cstdint>

namespace moe::reference {

// The order in which products over k are added. It depends on dtypes only,
// never on the number of rows.
enum class Accumulation {
  // f32 operands: acc = fma(x[k], w[k], acc), k ascending, from +0.
  kChain,
  // bf16 x and w: for each 32 k, e is the chain over even k and o the chain
  // over odd k, both from +0; then acc = acc + (e + o). A last group shorter
  // than 32 is padded with zeros.
  kEvenOdd32,
};

// The product of two vectors of k elements in that order.
template <typename T>
T Dot(const T* x, const T* w, int64_t k, Accumulation order);

// nn.linear: x[tokens, k], w[n, k], bias[n] or null -> y[tokens, n]. The bias
// is added once, after the sum.
template <typename T>
void Linear(const T* x, const T* w, const T* bias, int64_t tokens, int64_t n,
            int64_t k, Accumulation order, T* y);

// nn.head_linear: x[tokens, heads, k], w[heads, n, k] -> y[tokens, heads, n].
template <typename T>
void HeadLinear(const T* x, const T* w, int64_t tokens, int64_t heads,
                int64_t n, int64_t k, Accumulation order, T* y);

// moe.grouped_matmul: row r of expert e, offsets[e] <= r < offsets[e + 1], is
// multiplied by w[e] as by Linear:
//   y[r, :] = x[source_row ? source_row[r] : r, :] * w[e]^T + bias[e, :]
// w[experts, n, k], bias[experts, n] or null, offsets[experts + 1] ascending
// from 0, y[offsets[experts], n]. An expert without rows is skipped.
// `PlanTokens` (routing.h) makes source_row for rows gathered from tokens.
template <typename T>
void GroupedMatmul(const T* x, const int32_t* source_row,
                   const int32_t* offsets, const T* w, const T* bias,
                   int64_t experts, int64_t n, int64_t k, Accumulation order,
                   T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_MATMUL_H_
