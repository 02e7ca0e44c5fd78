// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/cpu/fp_mode.h"

namespace moe {
namespace {

std::vector<std::pair<int64_t, int64_t>> Ranges(ThreadPool& pool, int64_t n,
                                                int64_t grain) {
  std::mutex lock;
  std::vector<std::pair<int64_t, int64_t>> ranges;
  pool.ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
    std::lock_guard guard(lock);
    ranges.push_back({begin, end});
  });
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

TEST(ThreadPool, CoversEveryUnitOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int64_t n : {0, 1, 2, 7, 8, 64, 1000, 1001})
      for (int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
        pool.ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
          ASSERT_TRUE(0 <= begin && begin < end && end <= n);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        for (const auto& count : seen) ASSERT_EQ(count, 1);
      }
  }
}

TEST(ThreadPool, SplitsTheSameWayEveryTime) {
  ThreadPool pool(4);
  const auto first = Ranges(pool, 103, 10);
  // Eleven grains in four runs, the earlier ones longer.
  const std::vector<std::pair<int64_t, int64_t>> expected = {
      {0, 30}, {30, 60}, {60, 90}, {90, 103}};
  EXPECT_EQ(first, expected);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Ranges(pool, 103, 10), first);
}

TEST(ThreadPool, RunsInlineWithoutWorkers) {
  ThreadPool pool(1);
  const std::thread::id self = std::this_thread::get_id();
  pool.ParallelFor(100, 1, [&](int64_t begin, int64_t end) {
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 100);
    EXPECT_EQ(std::this_thread::get_id(), self);
  });
}

TEST(ThreadPool, NestedLoopsRunInline) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  pool.ParallelFor(30, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      pool.ParallelFor(10, 1, [&](int64_t b, int64_t e) { sum += e - b; });
  });
  EXPECT_EQ(sum, 300);
}

TEST(ThreadPool, SeveralCallersShareIt) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  std::atomic<int64_t> sum{0};
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 500; ++i)
        pool.ParallelFor(16, 1, [&](int64_t b, int64_t e) { sum += e - b; });
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 500 * 16);
}

TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(2);
  int64_t total = 0;
  for (int i = 0; i < 20000; ++i) {
    int64_t halves[2] = {0, 0};
    pool.ParallelFor(2, 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) halves[k] = i + k;
    });
    total += halves[0] + halves[1];
  }
  EXPECT_EQ(total, int64_t{20000} * 19999 + 20000);
}

TEST(ThreadPool, WorkersTakeTheCallersMode) {
  ThreadPool pool(4);
  const uint32_t before = _mm_getcsr();
  for (uint32_t mode : {before, kGeneratedCodeMxcsr}) {
    ScopedMxcsr scope(mode);
    std::vector<uint32_t> modes(64);
    pool.ParallelFor(64, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        modes[static_cast<size_t>(i)] = _mm_getcsr();
    });
    for (uint32_t seen : modes) EXPECT_EQ(seen & 0xFFC0u, mode & 0xFFC0u);
  }
  EXPECT_EQ(_mm_getcsr() & 0xFFC0u, before & 0xFFC0u);
}

}  // namespace
}  // namespace moe
