// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where the weights of a module live: which slots of the parameter table point
// into checkpoint files and which into one block of memory of our own, and the
// work of filling that block, cut into units that write disjoint bytes.

#ifndef MOE_RUNTIME_WEIGHT_LAYOUT_H_
#define MOE_RUNTIME_WEIGHT_LAYOUT_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cpu/thread_pool.h"
#include "runtime/manifest.h"

namespace moe {

// Fills the columns [begin, end) of one group of one slot. Cuts fall on whole
// panels of 32 columns.
struct FillUnit {
  const ParamSpec* param = nullptr;
  int64_t layer = 0;  // of the model
  int64_t group = 0;
  int64_t begin = 0, end = 0;
  int64_t offset = 0;  // of the group in the block
};

struct WeightLayout {
  static constexpr int64_t kMapped = -1;

  std::vector<int64_t> slot_offset;  // in the block, or kMapped; by slot
  int64_t block_bytes = 0;
  int64_t mapped_bytes = 0;
  std::vector<FillUnit> units;
};

// |mapped| tells for each slot of the table whether it points into a file. R101
// if sizes overflow. The layout borrows |manifest|.
absl::StatusOr<WeightLayout> LayOutWeights(const Manifest& manifest,
                                           const std::vector<bool>& mapped);

// For every slot whether it can point into a file that holds every tensor at a
// multiple of its element size.
std::vector<bool> MappableSlots(const Manifest& manifest);

// Calls fill(unit) for every unit, from all threads of |pool|, until one returns
// something other than 0. Null if all went well, else the unit that failed.
template <typename Fill>
const FillUnit* FillAll(const WeightLayout& layout, ThreadPool& pool,
                        Fill&& fill) {
  std::atomic<size_t> next{0};
  std::atomic<const FillUnit*> failed{nullptr};
  pool.ParallelFor(pool.size(), 1, [&](int64_t, int64_t) {
    while (failed.load(std::memory_order_relaxed) == nullptr) {
      const size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= layout.units.size()) return;
      if (fill(layout.units[i]) != 0) failed.store(&layout.units[i]);
    }
  });
  return failed.load();
}

}  // namespace moe

#endif  // MOE_RUNTIME_WEIGHT_LAYOUT_H_
