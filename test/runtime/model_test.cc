// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <gtest/gtest.h>
#include <moe/model.h>

#include <cmath>
#include <thread>

#include "test/runtime/toy_model.h"

extern "C" int run_c_api(const char* module, const char* weights);

namespace moe {
namespace {

class ModelTest : public ::testing::Test {
 protected:
  ModelTest() {
    toy::WriteModule(dir_ / "toy.moe", toy::ToyManifest());
    toy::WriteCheckpoint(dir_ / "w");
  }

  Model Load(LoadOptions options = {}) {
    options.weights = dir_ / "w";
    auto model = Model::load(dir_ / "toy.moe", options);
    EXPECT_TRUE(model.ok()) << model.error().message();
    return *model;
  }

  toy::TempDir dir_;
};

TEST_F(ModelTest, AsInTheExample) {
  auto model = Model::load(
      dir_ / "toy.moe", {.weights = dir_ / "w", .device = "cpu", .threads = 2});
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ(model->name(), "toy");
  EXPECT_EQ(model->vocab_size(), 256);
  EXPECT_EQ(model->entries().front(), "score");
  auto session = model->session({.max_batch = 4, .max_tokens = 64});
  ASSERT_TRUE(session);
  const std::vector<int32_t> ids = {1, 2, 3};
  auto out = session->call("score", {{"ids", ids}});
  ASSERT_TRUE(out) << out.error().message();
  const ArrayView* logits = out->find("logits");
  ASSERT_NE(logits, nullptr);
  EXPECT_EQ(logits->shape, (std::vector<int64_t>{3, 256}));
  EXPECT_EQ(logits->as<float>()[2 * 256], toy::Logits(ids)[0]);
  EXPECT_EQ(out->find("nothing"), nullptr);

  std::vector<int32_t> seen;
  std::string text;
  auto generated =
      session->generate("AB", {.max_new_tokens = 20}, [&](const Token& token) {
        seen.push_back(token.id);
        text += token.text;
        return true;
      });
  ASSERT_TRUE(generated) << generated.error().message();
  EXPECT_EQ(generated->ids, seen);
  EXPECT_EQ(generated->ids.size(), 20u);
  EXPECT_EQ(generated->text.substr(0, text.size()), text);
  std::vector<int32_t> all = {'A', 'B'};
  for (int32_t id : generated->ids) {
    EXPECT_EQ(id, toy::Greedy(all));
    all.push_back(id);
  }
}

TEST_F(ModelTest, StepsOfSeveralSequences) {
  auto session = Load().session({.max_batch = 2, .max_tokens = 32});
  ASSERT_TRUE(session);
  const int32_t a = *session->join(), b = *session->join();
  EXPECT_FALSE(session->join());
  const std::vector<int32_t> first = {4, 5}, second = {6};
  const Chunk chunks[] = {{a, first}, {b, second}};
  ASSERT_TRUE(session->step(chunks));
  EXPECT_EQ(session->logits(0)[7], toy::Logits(first)[7]);
  EXPECT_EQ(session->logits(1)[7], toy::Logits(second)[7]);
  EXPECT_TRUE(session->logits(2).empty());
  session->leave(a);
  session->leave(a);
  session->leave(-5);
  EXPECT_TRUE(session->join());
}

TEST_F(ModelTest, StridedInputs) {
  const Model model = Load();
  auto session = model.session();
  // Columns of a [4, 2] array read as [2, 4].
  const std::vector<float> x = {1, 5, 2, 6, 3, 7, 4, 8}, bias(4);
  auto out = session->call(
      "affine",
      {{"x", {x.data(), ElementType::kF32, {2, 4}, {1, 2}}}, {"bias", bias}});
  ASSERT_TRUE(out) << out.error().message();
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(out->find("y")->as<float>()[i], static_cast<float>(i + 1) / 2);
}

TEST_F(ModelTest, ErrorsAreValues) {
  auto missing = Model::load(dir_ / "no.moe");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), "MOE-F101");
  EXPECT_EQ(missing.error().exit_code(), 3);
  EXPECT_NE(missing.error().message().find("no.moe"), std::string::npos);
  EXPECT_EQ(Model::load(dir_ / "toy.moe", {.device = "cuda:0"}).error().code(),
            "MOE-D102");
  EXPECT_EQ(Model::load(dir_ / "toy.moe", {.isa = "x"}).error().code(),
            "MOE-U103");
  const Model model = Load();
  EXPECT_EQ(model.session({.max_batch = 0}).error().code(), "MOE-U103");
  auto session = model.session({.max_tokens = 8});
  EXPECT_EQ(session->call("nothing", {}).error().exit_code(), 2);
  EXPECT_EQ(session->call("score", {}).error().code(), "MOE-R204");
  const std::vector<int32_t> ids = {1};
  EXPECT_EQ(session->call("score", {{"ids", ids}, {"idz", ids}}).error().code(),
            "MOE-R205");
  EXPECT_EQ(session->generate("", {}).error().code(), "MOE-R201");
  EXPECT_EQ(session->generate("a", {.max_new_tokens = 8}).error().code(),
            "MOE-R203");
  EXPECT_TRUE(session->generate("a", {.max_new_tokens = 7}));
}

TEST_F(ModelTest, TrainersThatCannotBe) {
  const Model model = Load();
  const auto expect = [&](const TrainerOptions& options, const char* code) {
    const auto trainer = model.trainer(options);
    ASSERT_FALSE(trainer.ok());
    EXPECT_EQ(trainer.error().code(), code) << trainer.error().message();
    EXPECT_EQ(trainer.error().exit_code(), 2);
  };
  expect({}, "MOE-U108");
  expect({.learning_rate = 0}, "MOE-U103");
  expect({.learning_rate = std::nan("")}, "MOE-U103");
  expect({.min_learning_rate = 1}, "MOE-U103");
  expect({.warmup_steps = -1}, "MOE-U103");
  expect({.weight_decay = std::nan("")}, "MOE-U103");
  expect({.beta2 = 1}, "MOE-U103");
  expect({.epsilon = 0}, "MOE-U103");
  expect({.clip_norm = -1}, "MOE-U103");
  expect({.max_tokens = 0}, "MOE-U103");
  expect({.max_tokens = 8, .max_rows = 9}, "MOE-U103");
  expect({.passes = 65}, "MOE-U103");
}

TEST_F(ModelTest, FromC) {
  EXPECT_EQ(run_c_api((dir_ / "toy.moe").c_str(), (dir_ / "w").c_str()), 0);
}

TEST_F(ModelTest, SessionsOnSeveralThreads) {
  const Model model = Load({.threads = 3});
  std::vector<std::vector<int32_t>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&model, &result] {
      auto session = model.session({.max_tokens = 128});
      result = session->generate("Z", {.max_new_tokens = 100})->ids;
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, results[0]);
}

}  // namespace
}  // namespace moe
