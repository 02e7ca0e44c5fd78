// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/generator.h"

#include <gtest/gtest.h>

#include "lib/core/errors.h"
#include "test/runtime/toy_model.h"

namespace moe {
namespace {

std::unique_ptr<Stepper> MakeStepper(const Engine& engine, KvOptions kv,
                                     int64_t max_tokens = 64) {
  auto stepper = Stepper::Create(engine, {.kv = kv, .max_tokens = max_tokens});
  EXPECT_TRUE(stepper.ok()) << stepper.status();
  return *std::move(stepper);
}

std::vector<int32_t> ExpectedGreedy(std::vector<int32_t> ids, size_t count) {
  const size_t prompt = ids.size();
  while (ids.size() < prompt + count) ids.push_back(toy::Greedy(ids));
  return {ids.begin() + static_cast<ptrdiff_t>(prompt), ids.end()};
}

TEST(Generate, GreedyInAnyPagesAndChunks) {
  toy::TempDir dir;
  const auto engine = toy::LoadToy(dir, 2);
  const std::vector<int32_t> prompt = {82, 79, 77, 69, 79, 58, 10};
  const std::vector<int32_t> expected = ExpectedGreedy(prompt, 40);
  for (int64_t page_length : {0, 1, 3, 64})
    for (int64_t max_tokens : {1, 2, 7, 64}) {
      const auto stepper = MakeStepper(*engine,
                                       {.tokens_per_slot = 64,
                                        .page_length = page_length,
                                        .page_order_seed = 3},
                                       max_tokens);
      const auto out = Generate(*stepper, prompt, {.max_new_tokens = 40});
      ASSERT_TRUE(out.ok()) << out.status();
      EXPECT_EQ(out->ids, expected);
      EXPECT_EQ(out->stop, StopReason::kLength);
    }
}

TEST(Generate, SampledTextDependsOnTheSeed) {
  toy::TempDir dir;
  const auto engine = toy::LoadToy(dir);
  const auto stepper = MakeStepper(*engine, {.tokens_per_slot = 64});
  const std::vector<int32_t> prompt = {1, 2, 3};
  const GenerateRequest options = {
      .max_new_tokens = 30,
      .sampling = {.temperature = 1, .top_p = 0.9, .top_k = 50, .seed = 4}};
  const auto a = Generate(*stepper, prompt, options);
  const auto b = Generate(*stepper, prompt, options);
  GenerateRequest other = options;
  other.sampling.seed = 5;
  const auto c = Generate(*stepper, prompt, other);
  ASSERT_TRUE(a.ok() && b.ok() && c.ok());
  EXPECT_EQ(a->ids, b->ids);
  EXPECT_NE(a->ids, c->ids);
}

TEST(Generate, StopsAtEosAndByCallback) {
  toy::TempDir dir;
  const std::vector<int32_t> prompt = {7, 7};
  const std::vector<int32_t> expected = ExpectedGreedy(prompt, 10);
  Json manifest = toy::ToyManifest();
  manifest["model"]["eos_token_ids"] = {expected[3]};
  toy::WriteModule(dir / "eos.moe", manifest);
  toy::WriteCheckpoint(dir / "w");
  auto engine = Engine::Open(dir / "eos.moe");
  ASSERT_TRUE(engine.ok() && (*engine)->LoadWeights(dir / "w").ok());
  const auto stepper = MakeStepper(**engine, {.tokens_per_slot = 64});
  std::vector<int32_t> seen;
  const auto collect = [&](int32_t id) {
    seen.push_back(id);
    return seen.size() < 6;
  };
  auto out = Generate(*stepper, prompt, {.max_new_tokens = 10}, collect);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->stop, StopReason::kEos);
  EXPECT_EQ(out->ids.back(), expected[3]);
  EXPECT_EQ(out->ids, seen);
  seen.clear();
  out = Generate(*stepper, prompt, {.max_new_tokens = 10, .stop_at_eos = false},
                 collect);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->stop, StopReason::kCallback);
  EXPECT_EQ(out->ids.size(), 6u);
}

TEST(Generate, RefusesBeforeRunning) {
  toy::TempDir dir;
  const auto engine = toy::LoadToy(dir);
  const auto stepper = MakeStepper(*engine, {.tokens_per_slot = 600});
  const auto code = [&](std::vector<int32_t> prompt, GenerateRequest options) {
    int calls = 0;
    const auto out = Generate(*stepper, prompt, options, [&](int32_t) {
      ++calls;
      return true;
    });
    EXPECT_FALSE(out.ok());
    EXPECT_EQ(calls, 0);
    return InfoOf(CodeOf(out.status())).name;
  };
  EXPECT_STREQ(code({}, {}), "MOE-R201");
  EXPECT_STREQ(code({1, 256}, {}), "MOE-R202");
  EXPECT_STREQ(code({1}, {.max_new_tokens = 0}), "MOE-U103");
  EXPECT_STREQ(code({1}, {.max_new_tokens = 512}), "MOE-R203");  // positions
  EXPECT_STREQ(code({1}, {.sampling = {.temperature = -1}}), "MOE-U103");
  EXPECT_STREQ(code({1}, {.sampling = {.top_p = 0}}), "MOE-U103");
  EXPECT_STREQ(code({1}, {.sampling = {.top_k = -1}}), "MOE-U103");
  const auto small = MakeStepper(*engine, {.tokens_per_slot = 8});
  const std::vector<int32_t> prompt = {1, 2, 3};
  EXPECT_TRUE(HasCode(Generate(*small, prompt, {.max_new_tokens = 6}).status(),
                      Code::R203));
  const auto fits = Generate(*small, prompt, {.max_new_tokens = 5});
  ASSERT_TRUE(fits.ok()) << fits.status();
  EXPECT_EQ(fits->ids.size(), 5u);
  // Nothing stays behind.
  EXPECT_EQ(small->cache().free_pages(), 1);
}

}  // namespace
}  // namespace moe
