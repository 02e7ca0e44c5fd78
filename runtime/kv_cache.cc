// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/kv_cache.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/philox.h"
#include "lib/core/status_macros.h"
#include "runtime/memory_stats.h"

namespace moe {
namespace {

constexpr int64_t kMaxPages = std::numeric_limits<int32_t>::max();

void Shuffle(std::vector<int32_t>& pages, uint64_t seed) {
  const Philox philox(seed);
  for (size_t i = pages.size(); i > 1; --i) {
    const PhiloxBlock block = philox({static_cast<uint32_t>(i), 0, 0, 0});
    std::swap(pages[i - 1], pages[block[0] % i]);
  }
}

}  // namespace

absl::StatusOr<int64_t> KvBytes(const KvSpec& spec, const KvOptions& options) {
  int64_t tokens, bytes, table;
  if (__builtin_mul_overflow(options.slots, options.PagesPerSlot(), &table) ||
      table > kMaxPages || options.Pages() > kMaxPages ||
      __builtin_mul_overflow(options.Pages(), options.PageLength(), &tokens) ||
      __builtin_mul_overflow(tokens, spec.TokenBytes(), &bytes))
    return Error(Code::R101, "a cache for ", options.slots, " sequences of ",
                 options.tokens_per_slot, " tokens exceeds any memory");
  return bytes;
}

absl::StatusOr<KvCache> KvCache::Create(const KvSpec& spec,
                                        const KvOptions& options) {
  if (options.slots < 1 || options.tokens_per_slot < 1 ||
      options.page_length < 0 || options.pages < 0)
    return Error(Code::U103, "a cache needs at least one sequence and one ",
                 "token");
  KvCache cache;
  cache.options_ = options;
  ASSIGN_OR_RETURN(const int64_t bytes, KvBytes(spec, options));
  ASSIGN_OR_RETURN(cache.memory_,
                   AnonymousMemory::Allocate(bytes, "key-value cache"));
  const auto slots = static_cast<size_t>(options.slots);
  cache.block_table_.resize(slots *
                            static_cast<size_t>(options.PagesPerSlot()));
  cache.slot_pages_.assign(slots, -1);
  cache.free_pages_.resize(static_cast<size_t>(options.Pages()));
  // Handed out from the back: page 0 first.
  std::iota(cache.free_pages_.rbegin(), cache.free_pages_.rend(), 0);
  if (options.page_order_seed != 0)
    Shuffle(cache.free_pages_, options.page_order_seed);
  return cache;
}

absl::StatusOr<int32_t> KvCache::Join() {
  const auto it = std::find(slot_pages_.begin(), slot_pages_.end(), -1);
  if (it == slot_pages_.end())
    return Error(Code::R103, "all ", slots(), " sequences of the session are ",
                 "in use");
  *it = 0;
  return static_cast<int32_t>(it - slot_pages_.begin());
}

absl::Status KvCache::CheckFits(int64_t tokens) const {
  if (tokens <= tokens_per_slot()) return absl::OkStatus();
  return Error(Code::R203, "the sequence needs a cache of ", tokens,
               " tokens, and the cache has ", tokens_per_slot(),
               ". Use a larger one (--kv-tokens) or fewer tokens.");
}

int64_t KvCache::PagesToGrow(int32_t slot, int64_t tokens) const {
  const int64_t need = (tokens + page_length() - 1) / page_length();
  return std::max<int64_t>(need - slot_pages_[static_cast<size_t>(slot)], 0);
}

absl::Status KvCache::CheckFree(int64_t pages) const {
  if (pages <= free_pages()) return absl::OkStatus();
  return Error(Code::R103, "the cache has ", free_pages(), " free pages of ",
               page_length(), " tokens, and ", pages, " are needed");
}

absl::Status KvCache::Grow(int32_t slot, int64_t tokens) {
  RETURN_IF_ERROR(CheckFits(tokens));
  int64_t pages = PagesToGrow(slot, tokens);
  RETURN_IF_ERROR(CheckFree(pages));
  int64_t& have = slot_pages_[static_cast<size_t>(slot)];
  int32_t* row = block_table_.data() + slot * pages_per_slot();
  for (; pages > 0; --pages) {
    row[have++] = free_pages_.back();
    free_pages_.pop_back();
  }
  return absl::OkStatus();
}

void KvCache::Leave(int32_t slot) {
  int64_t& have = slot_pages_[static_cast<size_t>(slot)];
  const int32_t* row = block_table_.data() + slot * pages_per_slot();
  // The page that was taken last is given out first.
  for (; have > 0; --have) free_pages_.push_back(row[have - 1]);
  have = -1;
}

}  // namespace moe
