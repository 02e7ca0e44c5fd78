// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ops that copy values and compute nothing. T is float, double or int32_t.
// Outputs may not overlap inputs.

#ifndef MOE_LIB_REFERENCE_MOVEMENT_H_
#define MOE_LIB_REFERENCE_MOVEMENT_H_

#include <cstdint>

namespace moe::reference {

// nn.fill: value in n elements.
template <typename T>
void Fill(T value, int64_t n, T* y);

// nn.embedding: y[t, :] = table[ids[t], :], table[vocab, d]. Returns false,
// having written nothing, if an id lies outside [0, vocab).
template <typename T>
bool Embedding(const int32_t* ids, const T* table, int64_t tokens,
               int64_t vocab, int64_t d, T* y);

// nn.last_rows: y[b, :] = x[cu_seqlens[b + 1] - 1, :] for b < sequences. Each
// cu_seqlens[b + 1] is at least 1.
template <typename T>
void LastRows(const T* x, const int32_t* cu_seqlens, int64_t sequences,
              int64_t d, T* y);

// nn.slice: y[rows, size] = x[rows, width][:, start : start + size].
template <typename T>
void Slice(const T* x, int64_t rows, int64_t width, int64_t start, int64_t size,
           T* y);

// One operand of nn.concat: writes x[rows, size] to columns [start,
// start + size) of y[rows, width]. Call it once per operand.
template <typename T>
void ConcatPart(const T* x, int64_t rows, int64_t size, int64_t start,
                int64_t width, T* y);

// nn.broadcast: x[outer, inner] -> y[outer, n, inner].
template <typename T>
void Broadcast(const T* x, int64_t outer, int64_t n, int64_t inner, T* y);

// moe.grouped_broadcast: y[r, :] = v[e, :] for offsets[e] <= r < offsets[e + 1],
// v[experts, d], offsets[experts + 1] ascending from 0.
template <typename T>
void GroupedBroadcast(const T* v, const int32_t* offsets, int64_t experts,
                      int64_t d, T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_MOVEMENT_H_
