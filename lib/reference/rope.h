// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rotary position embedding in two steps: a table per token, made once for all
// layers, and the rotation of queries and keys by it.
//
//   RopeTable(positions, tokens, inv_freq, d, scale, table);
//   Rope(q, table, tokens, heads, head_dim, d, start, RopePairing::kHalf, q);
//
// T is float or double. Functions are pure.

#ifndef MOE_LIB_REFERENCE_ROPE_H_
#define MOE_LIB_REFERENCE_ROPE_H_

#include <cstdint>

namespace moe::reference {

enum class RopePairing {
  kHalf,         // pairs (i, i + d/2)
  kInterleaved,  // pairs (2i, 2i + 1)
};

// nn.rope_table: table[tokens, d]: for i < d/2, table[t, i] = cos(a) * scale
// and table[t, d/2 + i] = sin(a) * scale, where a = positions[t] * inv_freq[i]
// is rounded to T and its cosine and sine are correctly rounded or nearly so.
// inv_freq[d/2]; d is even.
template <typename T>
void RopeTable(const int32_t* positions, int64_t tokens, const float* inv_freq,
               int64_t d, T scale, T* table);

// nn.rope: rotates dims [start, start + d) of each head of x[tokens, heads,
// head_dim] by table[tokens, d] and copies the others. Pair i of values (a, b)
// becomes (a*c - b*s, b*c + a*s) with c = table[t, i], s = table[t, d/2 + i];
// each product is rounded to T before the sum. y may equal x.
template <typename T>
void Rope(const T* x, const T* table, int64_t tokens, int64_t heads,
          int64_t head_dim, int64_t d, int64_t start, RopePairing pairing,
          T* y);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_ROPE_H_
