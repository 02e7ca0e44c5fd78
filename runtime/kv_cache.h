// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The key-value cache: pages of tokens, and which pages belong to which
// sequence.
//
//   ASSIGN_OR_RETURN(KvCache cache, KvCache::Create(spec, {.slots = 4,
//                                   .tokens_per_slot = 2048}));
//   ASSIGN_OR_RETURN(int32_t slot, cache.Join());
//   RETURN_IF_ERROR(cache.Grow(slot, 17));   // pages for tokens 0 to 16
//   cache.Leave(slot);                       // its pages are free again

#ifndef MOE_RUNTIME_KV_CACHE_H_
#define MOE_RUNTIME_KV_CACHE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/anonymous_memory.h"
#include "runtime/manifest.h"

namespace moe {

struct KvOptions {
  int64_t slots = 1;            // sequences at one time
  int64_t tokens_per_slot = 0;  // the longest sequence
  int64_t page_length = 0;      // tokens in a page; 0: one page per sequence
  int64_t pages = 0;            // 0: enough for every slot to be full
  // Pages are handed out in an order drawn from this seed; 0: in rising order.
  // No result depends on it.
  uint64_t page_order_seed = 0;

  // The derived numbers, for options whose sizes are positive.
  int64_t PageLength() const {
    return page_length > 0 ? page_length : tokens_per_slot;
  }
  int64_t PagesPerSlot() const {
    return tokens_per_slot / PageLength() +
           (tokens_per_slot % PageLength() != 0);
  }
  int64_t Pages() const { return pages > 0 ? pages : slots * PagesPerSlot(); }
};

// Bytes of the cache; R101 if they overflow.
absl::StatusOr<int64_t> KvBytes(const KvSpec& spec, const KvOptions& options);

// Movable; not thread-safe. Nothing but Create() allocates.
class KvCache {
 public:
  static absl::StatusOr<KvCache> Create(const KvSpec& spec,
                                        const KvOptions& options);

  // A free slot for a new, empty sequence; R103 if none is left.
  absl::StatusOr<int32_t> Join();
  // Makes room for |tokens| tokens of the sequence. R203 if that is more than a
  // slot holds, R103 if no page is free; the sequence keeps what it had.
  absl::Status Grow(int32_t slot, int64_t tokens);
  // The same questions without doing it: whether a slot holds |tokens|, how many
  // pages the sequence would take, whether that many are free.
  absl::Status CheckFits(int64_t tokens) const;
  int64_t PagesToGrow(int32_t slot, int64_t tokens) const;
  absl::Status CheckFree(int64_t pages) const;
  // Ends the sequence. |slot| must have come from Join().
  void Leave(int32_t slot);

  // [slots, pages_per_slot]: row `slot` lists its pages.
  const int32_t* block_table() const { return block_table_.data(); }
  std::byte* data() const { return memory_.data(); }
  int64_t bytes() const { return memory_.size(); }
  int64_t slots() const { return options_.slots; }
  int64_t tokens_per_slot() const { return options_.tokens_per_slot; }
  int64_t page_length() const { return options_.PageLength(); }
  int64_t pages_per_slot() const { return options_.PagesPerSlot(); }
  int64_t pages() const { return options_.Pages(); }
  int64_t free_pages() const {
    return static_cast<int64_t>(free_pages_.size());
  }

 private:
  KvOptions options_;
  AnonymousMemory memory_;
  std::vector<int32_t> block_table_;
  std::vector<int64_t> slot_pages_;  // pages a slot has; -1: slot is free
  std::vector<int32_t> free_pages_;  // taken from the back
};

}  // namespace moe

#endif  // MOE_RUNTIME_KV_CACHE_H_
