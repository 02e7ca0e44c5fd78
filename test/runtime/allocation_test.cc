// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "runtime/sampler.h"
#include "runtime/scorer.h"
#include "runtime/stepper.h"
#include "test/runtime/allocation_count.h"
#include "test/runtime/toy_model.h"

namespace moe {
namespace {

// Returns when every thread of the pool has run: a sanitizer allocates where
// threads begin.
void StartThreads(ThreadPool& pool) {
  std::mutex mutex;
  std::set<std::thread::id> seen;
  for (int tries = 0;
       static_cast<int>(seen.size()) < pool.size() && tries < 10000; ++tries)
    pool.ParallelFor(pool.size(), 1, [&](int64_t, int64_t) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
  ASSERT_EQ(static_cast<int>(seen.size()), pool.size());
}

TEST(Allocations, NoneInAStep) {
  toy::TempDir dir;
  for (int threads : {1, 3}) {
    const auto engine = toy::LoadToy(dir, threads);
    auto stepper = Stepper::Create(
        *engine, {.kv = {.slots = 3, .tokens_per_slot = 256, .page_length = 2},
                  .max_tokens = 16});
    ASSERT_TRUE(stepper.ok()) << stepper.status();
    Sampler sampler(256);
    const SamplingOptions options = {
        .temperature = 1, .top_p = 0.9, .top_k = 40, .seed = 1};
    const std::vector<int32_t> ids = {1, 2, 3};
    int32_t slots[3];
    for (int32_t& slot : slots) slot = (*stepper)->Join().value();

    StartThreads(engine->pool());
    const int64_t before = test::AllocationCount();
    bool good = true;
    for (int step = 0; step < 100; ++step) {
      const size_t added = step % 10 == 0 ? 3 : 1;
      Chunk chunks[3];
      for (size_t i = 0; i < 3; ++i)
        chunks[i] = {slots[i], std::span(ids).first(added)};
      good &= (*stepper)->Step(chunks).ok();
      good &= sampler.Sample((*stepper)->Logits(1), options, step).has_value();
      if (step % 30 == 29) {
        (*stepper)->Leave(slots[step % 3]);
        slots[step % 3] = (*stepper)->Join().value();
      }
    }
    EXPECT_EQ(test::AllocationCount() - before, 0);
    EXPECT_TRUE(good);
  }
}

TEST(Allocations, NoneInScore) {
  toy::TempDir dir;
  const auto engine = toy::LoadToy(dir, 2);
  auto scorer = Scorer::Create(*engine, {.max_tokens = 8, .max_rows = 2});
  ASSERT_TRUE(scorer.ok()) << scorer.status();
  const std::vector<int32_t> ids = {1, 2, 3};
  const std::span<const int32_t> rows[] = {ids, ids};
  StartThreads(engine->pool());
  const int64_t before = test::AllocationCount();
  bool good = true;
  for (int i = 0; i < 100; ++i) good &= scorer->Run(rows).ok();
  EXPECT_EQ(test::AllocationCount() - before, 0);
  EXPECT_TRUE(good);
}

}  // namespace
}  // namespace moe
