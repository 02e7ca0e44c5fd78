// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A step of a compiled model allocates nothing.
#include <gtest/gtest.h>

#include <memory>

#include "runtime/sampler.h"
#include "runtime/scorer.h"
#include "runtime/stepper.h"
#include "test/e2e/compiled.h"
#include "test/runtime/allocation_count.h"

namespace moe {
namespace {

class StepAllocations : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Trained, StepAllocations,
                         ::testing::Values("tiny-mixtral", "tiny-deepseek-v2"));

TEST_P(StepAllocations, NoneIn100Steps) {
  for (const char* compute : {"f32", "bf16"})
    for (int threads : {1, 2}) {
      const auto engine = compiled::Load(compiled::Folder(GetParam()), compute,
                                         {.threads = threads});
      auto stepper = Stepper::Create(
          *engine,
          {.kv = {.slots = 3, .tokens_per_slot = 512, .page_length = 16},
           .max_tokens = 64});
      ASSERT_TRUE(stepper.ok()) << stepper.status();
      Sampler sampler((*stepper)->vocab_size());
      const SamplingOptions sampling = {.temperature = 1, .seed = 1};
      int32_t slots[3];
      for (int32_t& slot : slots) slot = (*stepper)->Join().value();
      const std::vector<int32_t> prompt(20, 65);
      int32_t next[3] = {66, 67, 68};

      bool good = true;
      const int64_t before = test::AllocationCount();
      for (int step = 0; step < 110; ++step) {
        Chunk chunks[3];
        for (size_t i = 0; i < 3; ++i) {
          // Ten steps are prompts or parts of them, a hundred decode.
          chunks[i] = {slots[i], {&next[i], 1}};
          if (step % 11 == 0) chunks[i].ids = prompt;
        }
        good &= (*stepper)->Step(chunks).ok();
        for (size_t i = 0; i < 3; ++i) {
          const auto id = sampler.Sample((*stepper)->Logits(i), sampling, step);
          good &= id.has_value();
          next[i] = id.value_or(0);
        }
      }
      const int64_t in_steps = test::AllocationCount() - before;
      EXPECT_EQ(in_steps, 0) << compute << ", " << threads << " threads";
      EXPECT_TRUE(good);

      auto scorer = Scorer::Create(*engine, {.max_tokens = 64, .max_rows = 3});
      ASSERT_TRUE(scorer.ok()) << scorer.status();
      const std::span<const int32_t> rows[] = {prompt, prompt, {next, 3}};
      const int64_t before_score = test::AllocationCount();
      for (int i = 0; i < 100; ++i) good &= scorer->Run(rows).ok();
      const int64_t in_scores = test::AllocationCount() - before_score;
      EXPECT_EQ(in_scores, 0) << compute << ", " << threads << " threads";
      EXPECT_TRUE(good);
      std::printf(
          "%s: %d threads, allocations in 110 steps: %lld, in 100 "
          "scores: %lld\n",
          compute, threads, static_cast<long long>(in_steps),
          static_cast<long long>(in_scores));
    }
}

// The counter sees new, malloc and mappings.
TEST(StepAllocationsTest, CounterCounts) {
  const int64_t before = test::AllocationCount();
  auto one = std::make_unique<std::vector<int>>(100);
  void* two = std::malloc(100);
  ASSERT_NE(two, nullptr);
  auto three = AnonymousMemory::Allocate(1 << 20, "test");
  ASSERT_TRUE(three.ok());
  std::free(two);
  EXPECT_GE(test::AllocationCount() - before, 4);
}

}  // namespace
}  // namespace moe
