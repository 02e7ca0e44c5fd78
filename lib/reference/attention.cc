// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/reference/attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "lib/reference/elementwise.h"
#include "lib/reference/lanes.h"

namespace moe::reference {
namespace {

// One query head over the keys of positions first..last of its sequence.
// key(j) and value(j) give the vectors of position j.
template <typename T, typename Key, typename Value>
void AttendRow(const AttendShape& shape, const T* q, int64_t first,
               int64_t last, Key key, Value value, const T* sink, T* out) {
  const int64_t dv = shape.value_dims;
  T largest = sink ? *sink : -std::numeric_limits<T>::infinity();
  T sum = sink ? 1 : 0;
  std::fill_n(out, dv, T(0));
  T score[kKeyChunk];
  for (int64_t chunk = first - first % kKeyChunk; chunk <= last;
       chunk += kKeyChunk) {
    const int64_t begin = std::max(chunk, first);
    const int64_t end = std::min(chunk + kKeyChunk, last + 1);
    T chunk_largest = largest;
    for (int64_t j = begin; j < end; ++j) {
      score[j - begin] = shape.Score(LaneDot(q, key(j), shape.key_dims));
      chunk_largest = Maximum(chunk_largest, score[j - begin]);
    }
    const T correction = Exp(largest - chunk_largest);
    largest = chunk_largest;
    sum = sum * correction;
    for (int64_t i = 0; i < dv; ++i) out[i] = out[i] * correction;
    for (int64_t j = begin; j < end; ++j) {
      const T p = Exp(score[j - begin] - largest);
      sum = sum + p;
      const T* v = value(j);
      for (int64_t i = 0; i < dv; ++i) out[i] = std::fma(p, v[i], out[i]);
    }
  }
  for (int64_t i = 0; i < dv; ++i) out[i] = out[i] / sum;
}

int64_t FirstVisible(const AttendShape& shape, int64_t position) {
  if (shape.window <= 0) return 0;
  return std::max<int64_t>(0, position - shape.window + 1);
}

// The record of a cache position of the sequence in `slot`.
template <typename T>
T* Record(const PagedLayout& layout, const int32_t* block_table, int64_t slot,
          int64_t position, T* cache) {
  const int64_t page = block_table[slot * layout.pages_per_sequence +
                                   position / layout.page_length];
  return cache + (page * layout.page_length + position % layout.page_length) *
                     layout.width;
}

}  // namespace

template <typename T>
void Attend(const AttendShape& shape, const T* q, const T* k, const T* v,
            const int32_t* cu_seqlens, T* out, const T* sinks) {
  const int64_t heads = shape.heads, kv_heads = shape.kv_heads;
  const int64_t dk = shape.key_dims, dv = shape.value_dims;
  for (int64_t b = 0; b < shape.sequences; ++b) {
    const int64_t start = cu_seqlens[b];
    for (int64_t t = start; t < cu_seqlens[b + 1]; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kv = shape.KvHead(h);
        auto key = [&](int64_t j) {
          return k + ((start + j) * kv_heads + kv) * dk;
        };
        auto value = [&](int64_t j) {
          return v == nullptr ? key(j) : v + ((start + j) * kv_heads + kv) * dv;
        };
        AttendRow(shape, q + (t * heads + h) * dk,
                  FirstVisible(shape, t - start), t - start, key, value,
                  sinks ? sinks + h : nullptr, out + (t * heads + h) * dv);
      }
    }
  }
}

template <typename T>
void WritePaged(const AttendShape& shape, const PagedLayout& layout, const T* k,
                const T* v, const int32_t* positions, const int32_t* cu_seqlens,
                const int32_t* slot, const int32_t* block_table,
                T* layer_cache) {
  const int64_t key_part = shape.kv_heads * shape.key_dims;
  const int64_t value_part = shape.kv_heads * shape.value_dims;
  for (int64_t b = 0; b < shape.sequences; ++b) {
    for (int64_t t = cu_seqlens[b]; t < cu_seqlens[b + 1]; ++t) {
      T* record =
          Record(layout, block_table, slot[b], positions[t], layer_cache);
      std::copy_n(k + t * key_part, key_part, record);
      if (v != nullptr)
        std::copy_n(v + t * value_part, value_part, record + key_part);
    }
  }
}

template <typename T>
void AttendCached(const AttendShape& shape, const PagedLayout& layout,
                  bool latent, const T* q, const int32_t* positions,
                  const int32_t* cu_seqlens, const int32_t* slot,
                  const int32_t* block_table, const T* layer_cache, T* out,
                  const T* sinks) {
  const int64_t heads = shape.heads, kv_heads = shape.kv_heads;
  const int64_t dk = shape.key_dims, dv = shape.value_dims;
  for (int64_t b = 0; b < shape.sequences; ++b) {
    for (int64_t t = cu_seqlens[b]; t < cu_seqlens[b + 1]; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kv = shape.KvHead(h);
        auto record = [&](int64_t j) {
          return Record(layout, block_table, slot[b], j, layer_cache);
        };
        auto key = [&](int64_t j) { return record(j) + kv * dk; };
        auto value = [&](int64_t j) {
          return latent ? key(j) : record(j) + kv_heads * dk + kv * dv;
        };
        AttendRow(shape, q + (t * heads + h) * dk,
                  FirstVisible(shape, positions[t]), positions[t], key, value,
                  sinks ? sinks + h : nullptr, out + (t * heads + h) * dv);
      }
    }
  }
}

template <typename T>
void AttendPaged(const AttendShape& shape, const PagedLayout& layout,
                 const T* q, const T* k, const T* v, const int32_t* positions,
                 const int32_t* cu_seqlens, const int32_t* slot,
                 const int32_t* block_table, T* layer_cache, T* out,
                 const T* sinks) {
  WritePaged(shape, layout, k, v, positions, cu_seqlens, slot, block_table,
             layer_cache);
  AttendCached<T>(shape, layout, v == nullptr, q, positions, cu_seqlens, slot,
                  block_table, layer_cache, out, sinks);
}

#define MOE_INSTANTIATE(T)                                                     \
  template void Attend(const AttendShape&, const T*, const T*, const T*,       \
                       const int32_t*, T*, const T*);                          \
  template void WritePaged(const AttendShape&, const PagedLayout&, const T*,   \
                           const T*, const int32_t*, const int32_t*,           \
                           const int32_t*, const int32_t*, T*);                \
  template void AttendCached(                                                  \
      const AttendShape&, const PagedLayout&, bool, const T*, const int32_t*,  \
      const int32_t*, const int32_t*, const int32_t*, const T*, T*, const T*); \
  template void AttendPaged(const AttendShape&, const PagedLayout&, const T*,  \
                            const T*, const T*, const int32_t*,                \
                            const int32_t*, const int32_t*, const int32_t*,    \
                            T*, T*, const T*);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE

}  // namespace moe::reference
