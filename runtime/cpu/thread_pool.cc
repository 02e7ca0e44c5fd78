// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/cpu/thread_pool.h"

#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <system_error>

#include "runtime/cpu/fp_mode.h"

namespace moe {
namespace {

// Some microseconds of plain polling; after that every poll lets another thread
// of this processor go first. In all longer than the gap between two loops of a
// step.
constexpr int kSpins = 1000;
constexpr int kSpinsBeforeYield = 100;

// Returns the first value of |word| that differs from |old|.
uint32_t AwaitChange(const std::atomic<uint32_t>& word, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    const uint32_t value = word.load(std::memory_order_acquire);
    if (value != old) return value;
    if (i < kSpinsBeforeYield)
      _mm_pause();
    else
      sched_yield();
  }
  word.wait(old, std::memory_order_acquire);
  return word.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : claims_(static_cast<size_t>(std::max(threads, 1))) {
  workers_.reserve(claims_.size() - 1);
  while (workers_.size() + 1 < claims_.size()) {
    const auto index = static_cast<uint32_t>(workers_.size() + 1);
    try {
      workers_.emplace_back([this, index] { WorkerMain(index); });
    } catch (const std::system_error&) {
      break;
    }
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunShare(int64_t index) const {
  const int64_t parts = size();
  const int64_t grains = job_.n / job_.grain + (job_.n % job_.grain != 0);
  // Splitting quotient and remainder keeps the products below n.
  const int64_t each = grains / parts, extra = grains % parts;
  const int64_t first = each * index + std::min(index, extra);
  const int64_t last = first + each + (index < extra ? 1 : 0);
  if (first == last) return;
  const int64_t end = last == grains ? job_.n : last * job_.grain;
  ScopedMxcsr mode(job_.mxcsr);
  job_.fn(job_.closure, first * job_.grain, end);
}

void ThreadPool::TryShare(uint32_t index, uint32_t epoch) {
  // Every share is taken once in every loop, so it was last in the one before.
  uint32_t before = epoch - 1;
  if (!claims_[index].epoch.compare_exchange_strong(before, epoch,
                                                    std::memory_order_acq_rel))
    return;
  RunShare(index);
  if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1)
    unfinished_.notify_one();
}

void ThreadPool::WorkerMain(uint32_t index) {
  uint32_t seen = 0;
  while (true) {
    seen = AwaitChange(epoch_, seen);
    if (stop_.load(std::memory_order_relaxed)) return;
    TryShare(index, seen);
  }
}

void ThreadPool::ParallelFor(RangeFn fn, void* closure, int64_t n,
                             int64_t grain) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (workers_.empty() || n <= grain ||
      taken_.exchange(true, std::memory_order_acquire)) {
    fn(closure, 0, n);
    return;
  }
  job_ = {fn, closure, n, grain, _mm_getcsr()};
  const auto shares = static_cast<uint32_t>(size());
  unfinished_.store(shares, std::memory_order_relaxed);
  const uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  epoch_.store(epoch, std::memory_order_release);
  epoch_.notify_all();
  for (uint32_t index = 0; index < shares; ++index) TryShare(index, epoch);
  for (uint32_t left = unfinished_.load(std::memory_order_acquire); left != 0;)
    left = AwaitChange(unfinished_, left);
  taken_.store(false, std::memory_order_release);
}

}  // namespace moe
