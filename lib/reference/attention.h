// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// nn.attend: causal attention inside each sequence of a pack, with keys from
// the pack or from a paged cache.
//
//   AttendShape shape{.tokens = t, .sequences = b, .heads = 8, .kv_heads = 2,
//                     .key_dims = 64, .value_dims = 64, .scale = 0.125};
//   Attend(shape, q, k, v, cu_seqlens, out);                        // prefill
//   AttendPaged(shape, layout, q, k, v, positions, cu_seqlens, slot,
//               block_table, layer_cache, out);                     // decode
//
// Latent form: v is null and the values are the first value_dims elements of
// each key record; kv_heads is 1 in the models we know, but any number works.
//
// One order, whatever the page length or the pack around a sequence:
//   score  s_j = LaneDot(q, k_j) * scale (lanes.h), for visible keys j; with a
//     cap c: s_j = Tanh(s_j / c) * c
//   chunks of kKeyChunk keys, counted from position 0 of the sequence; a chunk
//   without a visible key is skipped; for each other chunk
//     n = max(m, largest s_j),  c = exp(m - n),  l = l * c,  acc = acc * c
//     then for each visible j ascending: p = exp(s_j - n),  l = l + p,
//     acc = fma(p, v_j, acc);   m = n
//   out = acc / l
// At the start m is -inf and l is 0; with sinks m is the sink of the head and
// l is 1, its exponential.
// T is float or double; results are not rounded. Functions are pure except
// that the paged forms write the cache. Sizes and indices must be valid (see
// each function); they are the caller's to check.

#ifndef MOE_LIB_REFERENCE_ATTENTION_H_
#define MOE_LIB_REFERENCE_ATTENTION_H_

#include <cstdint>

#include "lib/reference/elementwise.h"

namespace moe::reference {

inline constexpr int64_t kKeyChunk = 64;

struct AttendShape {
  int64_t tokens = 0;     // T of the pack
  int64_t sequences = 0;  // B
  int64_t heads = 1;     // query heads; head h reads kv head h/(heads/kv_heads)
  bool tiled = false;    // reads kv head h mod kv_heads
  int64_t kv_heads = 1;  // divides heads
  int64_t key_dims = 0;
  int64_t value_dims = 0;  // <= key_dims in the latent form
  double scale = 1.0;
  int64_t window = 0;  // w > 0: key j is visible iff 0 <= t - j < w
  double cap = 0.0;    // c > 0: the score s becomes c * tanh(s / c)

  // The score of a key, from its dot product with the query.
  template <typename T>
  T Score(T dot) const {
    const T s = dot * static_cast<T>(scale);
    const T c = static_cast<T>(cap);
    return cap > 0 ? Tanh(s / c) * c : s;
  }

  int64_t KvHead(int64_t head) const {
    return tiled ? head % kv_heads : head / (heads / kv_heads);
  }
};

// q[T, heads, key_dims], k[T, kv_heads, key_dims], v[T, kv_heads, value_dims]
// or null, cu_seqlens[B + 1] -> out[T, heads, value_dims]. sinks[heads] or null:
// a logit that joins the softmax of a head and has no value. The keys of a token
// are the tokens of its own sequence up to itself. Tokens outside
// [cu_seqlens[0], cu_seqlens[B]) are not written.
template <typename T>
void Attend(const AttendShape& shape, const T* q, const T* k, const T* v,
            const int32_t* cu_seqlens, T* out, const T* sinks = nullptr);

// One layer of the cache: layer_cache[pages][page_length][width], a record
// being the k heads of a token and then its v heads (only k in latent form).
struct PagedLayout {
  int64_t page_length = 0;
  int64_t pages_per_sequence = 0;  // row stride of block_table
  int64_t width = 0;               // elements of one record
};

// The record width of a shape.
inline int64_t RecordWidth(const AttendShape& shape, bool latent) {
  return shape.kv_heads * (shape.key_dims + (latent ? 0 : shape.value_dims));
}

// Writes the k and v of the pack's tokens into the cache. Token t of sequence b
// goes to record positions[t] % page_length of page
//   block_table[slot[b] * pages_per_sequence + positions[t] / page_length].
template <typename T>
void WritePaged(const AttendShape& shape, const PagedLayout& layout, const T* k,
                const T* v, const int32_t* positions, const int32_t* cu_seqlens,
                const int32_t* slot, const int32_t* block_table,
                T* layer_cache);

// Attends over cache positions 0..positions[t] (less those outside the window)
// of each token's sequence, without writing. `latent` says that records hold
// no v heads.
template <typename T>
void AttendCached(const AttendShape& shape, const PagedLayout& layout,
                  bool latent, const T* q, const int32_t* positions,
                  const int32_t* cu_seqlens, const int32_t* slot,
                  const int32_t* block_table, const T* layer_cache, T* out,
                  const T* sinks = nullptr);

// WritePaged, then AttendCached.
template <typename T>
void AttendPaged(const AttendShape& shape, const PagedLayout& layout,
                 const T* q, const T* k, const T* v, const int32_t* positions,
                 const int32_t* cu_seqlens, const int32_t* slot,
                 const int32_t* block_table, T* layer_cache, T* out,
                 const T* sinks = nullptr);

}  // namespace moe::reference

#endif  // MOE_LIB_REFERENCE_ATTENTION_H_
