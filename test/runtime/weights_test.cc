// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "lib/core/errors.h"
#include "test/runtime/toy_model.h"

namespace moe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WeightsTest : public ::testing::Test {
 protected:
  WeightsTest() {
    toy::WriteModule(dir_ / "toy.moe", toy::ToyManifest());
    auto module = Module::Open(dir_ / "toy.moe");
    EXPECT_TRUE(module.ok()) << module.status();
    module_ = std::make_unique<Module>(*std::move(module));
  }

  std::string LoadError(const toy::CheckpointFaults& faults) {
    toy::WriteCheckpoint(dir_ / "bad", faults);
    ThreadPool pool(1);
    const auto weights = Weights::Load(*module_, dir_ / "bad", &pool);
    EXPECT_FALSE(weights.ok());
    EXPECT_EQ(ExitCode(weights.status()), kExitBadInput);
    return FormatError("moe-run", weights.status());
  }

  toy::TempDir dir_;
  std::unique_ptr<Module> module_;
};

float Packed(const Weights& weights, int64_t layer, int64_t expert, int64_t n,
             int64_t k) {
  const auto* data =
      static_cast<const float*>(weights.table()[static_cast<size_t>(layer)]);
  return data[expert * 64 * toy::kK + (n / 32 * toy::kK + k) * 32 + n % 32];
}

TEST_F(WeightsTest, BindsAndPacks) {
  toy::WriteCheckpoint(dir_ / "w", {.extra = true});
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    const auto weights = Weights::Load(*module_, dir_ / "w", &pool);
    ASSERT_TRUE(weights.ok()) << weights.status();
    const auto* embed = static_cast<const float*>(weights->table()[0]);
    for (int64_t id = 0; id < toy::kVocab; ++id)
      for (int64_t k = 0; k < toy::kK; ++k)
        ASSERT_EQ(embed[id * toy::kK + k], toy::Embed(id, k));
    for (int64_t layer = 1; layer <= toy::kLayers; ++layer)
      for (int64_t e = 0; e < toy::kExperts; ++e)
        for (int64_t n = 0; n < 64; ++n)
          for (int64_t k = 0; k < toy::kK; ++k)
            ASSERT_EQ(Packed(*weights, layer, e, n, k),
                      n < toy::kN ? toy::ExpertValue(layer, e, n, k) : 0);
    const WeightReport& report = weights->report();
    EXPECT_EQ(report.tensors_read, 1 + 2 * (4 + 1));
    EXPECT_THAT(report.unused_tensors, ElementsAre("rotary.inv_freq"));
    EXPECT_EQ(report.mapped_bytes, toy::kVocab * toy::kK * 4);
    EXPECT_EQ(report.packed_bytes, 2 * 4 * 64 * toy::kK * 4);
  }
}

TEST_F(WeightsTest, NamesWhatIsWrong) {
  EXPECT_THAT(
      LoadError({.leave_out = "layers.2.experts.1.gate"}),
      AllOf(HasSubstr("MOE-W101"), HasSubstr("layers.2.experts.1.gate")));
  EXPECT_THAT(
      LoadError({.other_shape = "layers.1.up"}),
      AllOf(HasSubstr("MOE-W102"), HasSubstr("tensor 'layers.1.up' has shape "
                                             "[5, 8, 16], the module expects "
                                             "[4, 8, 16]")));
  EXPECT_THAT(
      LoadError({.other_dtype = "embed"}),
      AllOf(HasSubstr("MOE-W103"),
            HasSubstr("tensor 'embed' is bf16, the module expects f32")));
  ThreadPool pool(1);
  const auto weights = Weights::Load(*module_, dir_ / "nowhere", &pool);
  ASSERT_FALSE(weights.ok());
  EXPECT_EQ(ExitCode(weights.status()), kExitBadInput);
}

TEST_F(WeightsTest, RandomDependsOnTheSeedAlone) {
  ThreadPool one(1), many(4);
  const auto a = Weights::Random(*module_, 7, &one);
  const auto b = Weights::Random(*module_, 7, &many);
  const auto c = Weights::Random(*module_, 8, &one);
  ASSERT_TRUE(a.ok() && b.ok() && c.ok());
  const size_t bytes = 2 * 4 * 64 * toy::kK * 4;
  EXPECT_EQ(memcmp(a->table()[1], b->table()[1], bytes), 0);
  EXPECT_EQ(memcmp(a->table()[0], b->table()[0], toy::kVocab * toy::kK * 4), 0);
  EXPECT_NE(memcmp(a->table()[1], c->table()[1], bytes), 0);
  double squares = 0;
  for (int64_t layer = 1; layer <= 2; ++layer)
    for (int64_t e = 0; e < toy::kExperts; ++e)
      for (int64_t n = 0; n < 64; ++n)
        for (int64_t k = 0; k < toy::kK; ++k) {
          const double value = Packed(*a, layer, e, n, k);
          ASSERT_TRUE(n < toy::kN || value == 0);
          squares += value * value;
        }
  EXPECT_NEAR(std::sqrt(squares / (2 * 4 * 40 * 8)), 0.02, 0.001);
}

// A parameter that is raw but comes in pieces is copied together.
TEST_F(WeightsTest, GathersRawPieces) {
  Json manifest = toy::ToyManifest();
  Json& experts = manifest["params"][1];
  experts["format"] = "raw";
  experts["pack"] = "";
  experts["group_bytes"] = toy::kN * toy::kK * 4;
  experts["bytes"] = 4 * toy::kN * toy::kK * 4;
  toy::WriteModule(dir_ / "raw.moe", manifest);
  auto module = Module::Open(dir_ / "raw.moe");
  ASSERT_TRUE(module.ok()) << module.status();
  toy::WriteCheckpoint(dir_ / "w");
  ThreadPool pool(2);
  const auto weights = Weights::Load(*module, dir_ / "w", &pool);
  ASSERT_TRUE(weights.ok()) << weights.status();
  for (int64_t e = 0; e < toy::kExperts; ++e)
    for (int64_t n = 0; n < toy::kN; ++n)
      for (int64_t k = 0; k < toy::kK; ++k)
        ASSERT_EQ(static_cast<const float*>(
                      weights->table()[2])[(e * toy::kN + n) * toy::kK + k],
                  toy::ExpertValue(2, e, n, k));
}

}  // namespace
}  // namespace moe
