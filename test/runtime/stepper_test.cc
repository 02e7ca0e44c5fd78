// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/stepper.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "lib/core/errors.h"
#include "test/runtime/toy_model.h"

namespace moe {
namespace {

void ExpectLogits(const Stepper& stepper, size_t chunk,
                  std::span<const int32_t> ids) {
  const std::span<const float> seen = stepper.Logits(chunk);
  const std::vector<float> expected = toy::Logits(ids);
  ASSERT_EQ(std::vector<float>(seen.begin(), seen.end()), expected);
}

std::vector<int32_t> RandomIds(std::mt19937& random, size_t count) {
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % 256);
  return ids;
}

TEST(Stepper, OneSequence) {
  toy::TempDir dir;
  const auto engine = toy::LoadToy(dir);
  auto stepper = Stepper::Create(*engine, {.kv = {.tokens_per_slot = 64}});
  ASSERT_TRUE(stepper.ok()) << stepper.status();
  const int32_t slot = (*stepper)->Join().value();
  std::vector<int32_t> ids = {3, 1, 4, 1, 5};
  Chunk chunk{slot, ids};
  ASSERT_TRUE((*stepper)->Step({&chunk, 1}).ok());
  ExpectLogits(**stepper, 0, ids);
  for (int32_t id : {9, 2, 6}) {
    ids.push_back(id);
    chunk.ids = {&ids.back(), 1};
    ASSERT_TRUE((*stepper)->Step({&chunk, 1}).ok());
    ExpectLogits(**stepper, 0, ids);
  }
  EXPECT_EQ((*stepper)->Length(slot), 8);
}

// Sequences of all ages that come and go, in pages of several lengths given out
// in any order: each has the logits it would have alone.
TEST(Stepper, SequencesJoinAndLeave) {
  toy::TempDir dir;
  for (int threads : {1, 2}) {
    const auto engine = toy::LoadToy(dir, threads);
    for (int64_t page_length : {1, 3, 64})
      for (uint64_t seed : {0, 1, 2}) {
        auto created =
            Stepper::Create(*engine, {.kv = {.slots = 4,
                                             .tokens_per_slot = 64,
                                             .page_length = page_length,
                                             .page_order_seed = seed},
                                      .max_tokens = 40});
        ASSERT_TRUE(created.ok()) << created.status();
        Stepper& stepper = **created;
        const int64_t pages = stepper.cache().free_pages();
        std::mt19937 random(static_cast<unsigned>(seed + 10));
        std::map<int32_t, std::vector<int32_t>> running;
        for (int step = 0; step < 60; ++step) {
          if (running.size() < 4 && random() % 3 == 0)
            running[stepper.Join().value()] = {};
          std::vector<Chunk> chunks;
          std::vector<std::vector<int32_t>> added;
          for (auto& [slot, ids] : running) {
            if (random() % 4 == 0) continue;
            added.push_back(RandomIds(random, ids.empty()
                                                  ? 1 + random() % 10
                                                  : 1 + random() % 3 / 2));
            chunks.push_back({slot, {}});
          }
          for (size_t i = 0; i < chunks.size(); ++i) chunks[i].ids = added[i];
          const absl::Status status = stepper.Step(chunks);
          ASSERT_TRUE(status.ok()) << status;
          for (size_t i = 0; i < chunks.size(); ++i) {
            auto& ids = running[chunks[i].sequence];
            ids.insert(ids.end(), added[i].begin(), added[i].end());
            ExpectLogits(stepper, i, ids);
          }
          for (auto it = running.begin(); it != running.end();) {
            if (it->second.size() > 50 || random() % 20 == 0) {
              stepper.Leave(it->first);
              it = running.erase(it);
            } else {
              ++it;
            }
          }
        }
        for (const auto& [slot, ids] : running) stepper.Leave(slot);
        EXPECT_EQ(stepper.cache().free_pages(), pages);
      }
  }
}

class StepperErrors : public ::testing::Test {
 protected:
  StepperErrors() : engine_(toy::LoadToy(dir_)) {
    auto created = Stepper::Create(*engine_, {.kv = {.slots = 2,
                                                     .tokens_per_slot = 16,
                                                     .page_length = 4,
                                                     .pages = 5},
                                              .max_tokens = 16});
    EXPECT_TRUE(created.ok()) << created.status();
    stepper_ = *std::move(created);
    slot_ = stepper_->Join().value();
  }

  absl::Status Step(int32_t slot, const std::vector<int32_t>& ids) {
    const Chunk chunk{slot, ids};
    return stepper_->Step({&chunk, 1});
  }

  toy::TempDir dir_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Stepper> stepper_;
  int32_t slot_ = 0;
};

TEST_F(StepperErrors, RefusesBeforeAnythingChanges) {
  EXPECT_TRUE(HasCode(Step(slot_, {}), Code::R201));
  EXPECT_TRUE(HasCode(Step(slot_, {1, 256}), Code::R202));
  EXPECT_TRUE(HasCode(Step(slot_, {-1}), Code::R202));
  EXPECT_TRUE(HasCode(Step(slot_, std::vector<int32_t>(17)), Code::R203));
  EXPECT_TRUE(HasCode(Step(1, {1}), Code::U103));
  EXPECT_TRUE(HasCode(Step(99, {1}), Code::U103));
  const std::vector<int32_t> ids = {1};
  const Chunk twice[] = {{slot_, ids}, {slot_, ids}};
  EXPECT_TRUE(HasCode(stepper_->Step(twice), Code::U103));
  EXPECT_EQ(stepper_->Length(slot_), 0);
  EXPECT_EQ(stepper_->cache().free_pages(), 5);
}

TEST_F(StepperErrors, PagesAndSlotsRunOut) {
  ASSERT_TRUE(Step(slot_, std::vector<int32_t>(13)).ok());  // four pages
  const int32_t other = stepper_->Join().value();
  EXPECT_TRUE(HasCode(stepper_->Join().status(), Code::R103));
  EXPECT_TRUE(HasCode(Step(other, {1, 2, 3, 4, 5}), Code::R103));
  EXPECT_EQ(stepper_->Length(other), 0);
  EXPECT_TRUE(Step(other, {1, 2, 3, 4}).ok());
  stepper_->Leave(slot_);
  EXPECT_TRUE(Step(other, {5, 6, 7, 8, 9}).ok());
  EXPECT_EQ(stepper_->Length(other), 9);
}

TEST(StepperCreate, NeedsWeightsAndEntries) {
  toy::TempDir dir;
  toy::WriteModule(dir / "toy.moe", toy::ToyManifest());
  auto engine = Engine::Open(dir / "toy.moe");
  ASSERT_TRUE(engine.ok());
  auto stepper = Stepper::Create(**engine, {.kv = {.tokens_per_slot = 8}});
  EXPECT_TRUE(HasCode(stepper.status(), Code::U102)) << stepper.status();
  EXPECT_TRUE((*engine)->MakeRandomWeights(1).ok());
  stepper = Stepper::Create(**engine, {.kv = {.tokens_per_slot = 8}});
  EXPECT_TRUE(stepper.ok()) << stepper.status();
  Json manifest = toy::ToyManifest();
  manifest["entries"].erase(1);
  toy::WriteModule(dir / "score.moe", manifest);
  engine = Engine::Open(dir / "score.moe");
  ASSERT_TRUE(engine.ok());
  stepper = Stepper::Create(**engine, {.kv = {.tokens_per_slot = 8}});
  EXPECT_TRUE(HasCode(stepper.status(), Code::U108)) << stepper.status();
}

TEST(StepperCreate, RefusesHugeCaches) {
  toy::TempDir dir;
  const auto engine = toy::LoadToy(dir);
  for (int64_t tokens : {int64_t{1} << 40, int64_t{1} << 62}) {
    const auto stepper = Stepper::Create(
        *engine, {.kv = {.slots = 1 << 20, .tokens_per_slot = tokens}});
    ASSERT_FALSE(stepper.ok());
    EXPECT_EQ(ExitCode(stepper.status()), kExitResources) << stepper.status();
  }
}

}  // namespace
}  // namespace moe
