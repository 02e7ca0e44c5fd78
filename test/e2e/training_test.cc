// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Training through the runtime's classes and the installed interface.
#include <gtest/gtest.h>
#include <moe/model.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "runtime/bound_entry.h"
#include "runtime/memory_stats.h"
#include "runtime/train/checkpoints.h"
#include "runtime/train/train_loop.h"
#include "test/e2e/compiled.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

constexpr char kFixture[] = "test/oracle/fixtures/deepseek_v2-1";

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::vector<int32_t>> Batch(int step) {
  std::vector<std::vector<int32_t>> rows(3);
  for (size_t r = 0; r < rows.size(); ++r)
    for (size_t i = 0; i < 20 + r; ++i)
      rows[r].push_back(static_cast<int32_t>((7 * i * i + r + 3 * step) % 32));
  return rows;
}

TEST(Training, EvaluationHasMemoryWhereItIsUsed) {
  const auto engine = compiled::OpenToTrain(kFixture);
  const TrainSizes without{64, 2}, with{64, 2, /*evaluates=*/true};
  const auto fewer = TrainStep::PlanBytes(engine->module(), without);
  const auto more = TrainStep::PlanBytes(engine->module(), with);
  const auto eval =
      PlanEntry(engine->module(), "eval_step", {64, 2, 64, 0, 0, 0, 64});
  ASSERT_TRUE(fewer.ok() && more.ok() && eval.ok());
  EXPECT_GT(eval->workspace, 0);
  EXPECT_EQ(*more - *fewer, eval->workspace + eval->outputs);
}

TEST(Training, LoadsOfAllLayersAreCounted) {
  const auto engine = compiled::OpenToTrain(kFixture);
  ASSERT_TRUE(engine->LoadWeights(kFixture).ok());
  const ModelSpec& model = *engine->manifest().model;
  TrainOptions options;
  options.batch = 2;  // three rows: two backward passes, whose counts add up
  options.accumulate = 2;
  auto loop = TrainLoop::Create(*engine, options, {64, 2});
  ASSERT_TRUE(loop.ok()) << loop.status();
  const auto batch = Batch(0);
  std::vector<TrainRow> rows;
  const std::vector<int32_t> none(64, -1);
  int64_t tokens = 0;
  for (const auto& row : batch) {
    rows.push_back({row, std::span(none).first(row.size())});
    tokens += static_cast<int64_t>(row.size());
  }
  ASSERT_TRUE((*loop)->Step(rows).ok());
  const auto loads = (*loop)->loads();
  ASSERT_EQ(loads.size(), model.moe_layers.size());
  for (size_t i = 0; i < loads.size(); ++i) {
    EXPECT_EQ(loads[i].layer, model.moe_layers[i]);
    ASSERT_EQ(static_cast<int64_t>(loads[i].tokens.size()), model.experts);
    int64_t sum = 0;
    for (const int64_t count : loads[i].tokens) sum += count;
    EXPECT_EQ(sum, tokens * model.top_k);
    EXPECT_EQ(HealthOf(loads[i], sum).dropped, 0);
  }
}

TEST(Training, HealthOfLoads) {
  const LayerHealth even = HealthOf({3, {5, 5, 5, 5}}, 20);
  EXPECT_EQ(even.layer, 3);
  EXPECT_EQ(even.min, 1);
  EXPECT_EQ(even.max, 1);
  EXPECT_EQ(even.cv, 0);
  EXPECT_EQ(even.dead, 0);
  EXPECT_NEAR(even.entropy, 1, 1e-15);
  EXPECT_EQ(even.dropped, 0);
  const LayerHealth skew = HealthOf({1, {6, 2, 0, 0}}, 10);
  EXPECT_EQ(skew.min, 0);
  EXPECT_EQ(skew.max, 3);
  EXPECT_NEAR(skew.cv, std::sqrt((4 + 0 + 1 + 1) / 4.0), 1e-15);
  EXPECT_EQ(skew.dead, 2);
  EXPECT_NEAR(skew.entropy,
              -(0.75 * std::log(0.75) + 0.25 * std::log(0.25)) / std::log(4),
              1e-15);
  EXPECT_NEAR(skew.dropped, 0.2, 1e-15);
  const LayerHealth nothing = HealthOf({1, {0, 0}}, 8);
  EXPECT_EQ(nothing.dead, 2);
  EXPECT_EQ(nothing.entropy, 0);
  EXPECT_EQ(nothing.dropped, 1);
}

// A weight that is no number is found before it moves anything, and is never
// saved; the checkpoint before it goes on.
TEST(Training, BadWeightsStop) {
  const auto engine = compiled::OpenToTrain(kFixture);
  ASSERT_TRUE(engine->LoadWeights(kFixture).ok());
  TrainOptions options;
  auto made = TrainLoop::Create(*engine, options, {64, 8});
  ASSERT_TRUE(made.ok()) << made.status();
  TrainLoop& loop = **made;
  const auto batch = Batch(0);
  const std::vector<TrainRow> rows = {
      {std::span(batch[0]).first(19), std::span(batch[0]).subspan(1)}};
  ASSERT_TRUE(loop.Step(rows).ok());
  const std::string run = compiled::NewFolder();
  ASSERT_TRUE(loop.Save(run).ok());
  const TrainedParam* gate = nullptr;
  for (const TrainedParam& param : loop.state().params())
    if (param.spec->name == "gate") gate = &param;
  ASSERT_NE(gate, nullptr);
  gate->weights[gate->elements - 1] = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> before(gate->m, gate->m + gate->elements);
  for (int i = 1; i <= 5; ++i) {
    const auto report = loop.Step(rows);
    if (i == 5) {
      ASSERT_FALSE(report.ok());
      EXPECT_EQ(ExitCode(report.status()), 7);
      EXPECT_NE(report.status().message().find("mlp.gate.weight"),
                std::string::npos)
          << report.status();
    } else {
      ASSERT_TRUE(report.ok()) << report.status();
      EXPECT_TRUE(report->skipped);
      EXPECT_EQ(report->bad.substr(0, 9), "weights '");
    }
  }
  EXPECT_EQ(before, std::vector<float>(gate->m, gate->m + gate->elements));
  const absl::Status saved = loop.Save(run);
  EXPECT_EQ(ExitCode(saved), 7) << saved;
  EXPECT_EQ(CheckpointSteps(run), std::vector<int64_t>{1});
  EXPECT_TRUE(CheckCheckpoint(CheckpointFolder(run, 1)).ok());
}

// The installed interface: stopped and resumed gives the bits of one run.
TEST(Training, TrainersGoOn) {
  const std::string module = compiled::TrainModule(kFixture);
  const std::string run = compiled::NewFolder(), other = compiled::NewFolder();
  const TrainerOptions options = {.learning_rate = 1e-2, .max_tokens = 128};
  std::vector<double> losses;
  {
    auto model = Model::load(module, {.threads = 1});
    ASSERT_TRUE(model) << model.error().message();
    auto trainer = model->trainer(options);
    ASSERT_TRUE(trainer) << trainer.error().message();
    for (int i = 0; i < 6; ++i) {
      const auto step = trainer->step(Batch(i));
      ASSERT_TRUE(step) << step.error().message();
      EXPECT_EQ(step->step, i + 1);
      losses.push_back(step->loss);
      if (i == 2) {
        ASSERT_TRUE(trainer->save(run));
      }
    }
    ASSERT_TRUE(trainer->save(other));
    const auto held = trainer->evaluate(Batch(0));
    ASSERT_TRUE(held) << held.error().message();
    EXPECT_LT(*held, losses[0]);
    // What it refuses changes nothing.
    EXPECT_EQ(trainer->step({{1, 99999}}).error().code(), "MOE-R202");
    EXPECT_EQ(trainer->step({{1}, {}}).error().code(), "MOE-R201");
    EXPECT_EQ(trainer->step(std::vector<std::vector<int32_t>>(65, {1, 2}))
                  .error()
                  .code(),
              "MOE-R203");
    EXPECT_EQ(trainer->steps(), 6);
    EXPECT_EQ(model->trainer({.resume_from = run}).error().code(), "MOE-U104");
  }
  auto model = Model::load(module, {.threads = 2});
  TrainerOptions resume = options;
  resume.resume_from = run;
  auto trainer = model->trainer(resume);
  ASSERT_TRUE(trainer) << trainer.error().message();
  EXPECT_EQ(trainer->steps(), 3);
  for (int i = 3; i < 6; ++i)
    EXPECT_EQ(trainer->step(Batch(i))->loss, losses[i]);
  ASSERT_TRUE(trainer->save(run));
  for (const char* name : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_TRUE(ReadAll(fs::path(run) / "step-6" / name) ==
                ReadAll(fs::path(other) / "step-6" / name))
        << name;
  auto fresh = Model::load(module, {.threads = 1});
  EXPECT_EQ(fresh->trainer({.resume_from = "no-such"}).error().code(),
            "MOE-R501");
}

}  // namespace
}  // namespace moe
