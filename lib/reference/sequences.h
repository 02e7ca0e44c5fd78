// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ops over the tokens of each sequence. Tokens t with cu_seqlens[b] <= t <
// cu_seqlens[b + 1] are of sequence b; cu_seqlens[sequences + 1] ascends from 0
// or more to at most the tokens. A token of no sequence gets 0.
//
//   SegmentReduce(ReduceKind::kMean, x, cu_seqlens, sequences, width, y);
//
// Outputs may not overlap inputs. T is float or double. All functions are pure.

#ifndef MOE_LIB_REFERENCE_SEQUENCES_H_
#define MOE_LIB_REFERENCE_SEQUENCES_H_

#include <cstdint>

#include "lib/reference/reduce.h"

namespace moe::reference {

// nn.segment_reduce: x[tokens, width] -> y[sequences, width]; additions from +0
// in ascending order. An empty sequence gives 0 for sum and mean, -inf for max,
// +inf for min; NaN as in reduce.h.
template <typename T>
void SegmentReduce(ReduceKind kind, const T* x, const int32_t* cu_seqlens,
                   int64_t sequences, int64_t width, T* y);

// nn.segment_broadcast: x[sequences, width] -> y[tokens, width]. T may be
// int32_t too.
template <typename T>
void SegmentBroadcast(const T* x, const int32_t* cu_seqlens, int64_t sequences,
                      int64_t tokens, int64_t width, T* y);

// nn.segment_softmax: x[tokens, width] -> y, over the tokens of each sequence:
// m = max, e = exp(x - m), y = e / sum(e), the sum in ascending order from +0.
template <typename T>
void SegmentSoftmax(const T* x, const int32_t* cu_seqlens, int64_t sequences,
                    int64_t tokens, int64_t width, T* y);

// nn.segment_linear: x[tokens, k], w[sequences, n, k] -> y[tokens, n], each row
// as by Linear in the order of f32.
template <typename T>
void SegmentLinear(const T* x, const T* w, const int32_t* cu_seqlens,
                   int64_t sequences, int64_t tokens, int64_t n, int64_t k,
                   T* y);

// nn.segment_linear_dx: dy[tokens, n] -> dx[tokens, k], as LinearVjpX.
template <typename T>
void SegmentLinearVjpX(const T* dy, const T* w, const int32_t* cu_seqlens,
                       int64_t sequences, int64_t tokens, int64_t n, int64_t k,
                       T* dx);

// nn.segment_linear_dw: dy[tokens, n], x[tokens, k] -> dw[sequences, n, k], as
// LinearVjpW; 0 for an empty sequence.
template <typename T>
void SegmentLinearVjpW(const T* dy, const T* x, const int32_t* cu_seqlens,
                       int64_t sequences, int64_t n, int64_t k, T* dw);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_SEQUENCES_H_
