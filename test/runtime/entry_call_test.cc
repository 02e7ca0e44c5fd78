// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/entry_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "lib/core/errors.h"
#include "runtime/cpu/fp_mode.h"
#include "test/runtime/toy_model.h"

namespace moe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EntryCallTest : public ::testing::Test {
 protected:
  EntryCallTest() : engine_(toy::LoadToy(dir_, 3)) {
    x_.resize(7 * 4);
    std::iota(x_.begin(), x_.end(), 0.0f);
  }

  TensorView X() { return {"x", DType::kF32, {7, 4}, x_.data()}; }
  TensorView Bias() { return {"bias", DType::kF32, {4}, bias_.data()}; }

  std::string CodeFor(const char* entry, std::vector<TensorView> inputs) {
    const auto call = EntryCall::Prepare(*engine_, entry, inputs);
    return call.ok() ? "" : InfoOf(CodeOf(call.status())).name;
  }

  toy::TempDir dir_;
  std::unique_ptr<Engine> engine_;
  std::vector<float> x_, bias_ = {1, 2, 3, 4};
};

TEST_F(EntryCallTest, CallsByName) {
  const std::vector<TensorView> inputs = {
      X(), Bias(), {"more", DType::kF32, {1}, bias_.data()}};
  auto call = EntryCall::Prepare(*engine_, "affine", inputs);
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_THAT(call->unused(), ElementsAre("more"));
  ASSERT_TRUE(call->Run().ok());
  ASSERT_EQ(call->outputs().size(), 2u);
  const TensorView& y = call->outputs()[0];
  EXPECT_EQ(y.name, "y");
  EXPECT_EQ(y.shape, (std::vector<int64_t>{7, 4}));
  for (size_t i = 0; i < x_.size(); ++i)
    EXPECT_EQ(static_cast<const float*>(y.data)[i],
              x_[i] * 0.5f + bias_[i % 4]);
}

TEST_F(EntryCallTest, FlushesDenormalsOnEveryThreadAndRestores) {
  std::fill(x_.begin(), x_.end(), std::numeric_limits<float>::denorm_min() * 4);
  std::fill(bias_.begin(), bias_.end(), 0.0f);
  const uint32_t before = _mm_getcsr();
  const std::vector<TensorView> inputs = {X(), Bias()};
  auto call = EntryCall::Prepare(*engine_, "affine", inputs);
  ASSERT_TRUE(call.ok() && call->Run().ok());
  EXPECT_EQ(_mm_getcsr() & 0xFFC0u, before & 0xFFC0u);
  for (size_t i = 0; i < x_.size(); ++i)
    EXPECT_EQ(static_cast<const float*>(call->outputs()[0].data)[i], 0.0f);
  for (size_t t = 0; t < 7; ++t)
    EXPECT_EQ(static_cast<const int32_t*>(call->outputs()[1].data)[t] & 0xFFC0,
              static_cast<int32_t>(kGeneratedCodeMxcsr & 0xFFC0u));
}

TEST_F(EntryCallTest, ScoreFromIdsAlone) {
  const std::vector<int32_t> ids = {5, 6, 7};
  const std::vector<TensorView> inputs = {
      {"ids", DType::kI32, {3}, ids.data()}};
  auto call = EntryCall::Prepare(*engine_, "score", inputs);
  ASSERT_TRUE(call.ok()) << call.status();
  ASSERT_TRUE(call->Run().ok());
  const std::vector<float> expected = toy::Logits(ids);
  const auto* logits = static_cast<const float*>(call->outputs()[0].data);
  for (size_t v = 0; v < 256; ++v) EXPECT_EQ(logits[512 + v], expected[v]);
}

TEST_F(EntryCallTest, RefusesWhatDoesNotFit) {
  const TensorView x = X(), bias = Bias();
  EXPECT_EQ(CodeFor("nothing", {}), "MOE-U108");
  EXPECT_EQ(CodeFor("affine", {x}), "MOE-R204");
  TensorView other = bias;
  other.dtype = DType::kI32;
  EXPECT_EQ(CodeFor("affine", {x, other}), "MOE-R205");
  other = bias;
  other.shape = {2, 2};
  EXPECT_EQ(CodeFor("affine", {x, other}), "MOE-R205");
  other.shape = {3};
  EXPECT_EQ(CodeFor("affine", {x, other}), "MOE-R205");
  EXPECT_EQ(CodeFor("prefill", {}), "MOE-R204");

  const std::vector<int32_t> ids = {1, 2, 3}, bad = {1, 2, 256};
  const std::vector<int32_t> cu = {0, 2, 3}, falls = {0, 3, 2}, far = {0, 1, 9};
  const TensorView good = {"ids", DType::kI32, {3}, ids.data()};
  EXPECT_EQ(CodeFor("score", {{"ids", DType::kI32, {3}, bad.data()}}),
            "MOE-R202");
  EXPECT_EQ(
      CodeFor("score", {good, {"cu_seqlens", DType::kI32, {3}, cu.data()}}),
      "");
  for (const auto* values : {&falls, &far})
    EXPECT_EQ(CodeFor("score",
                      {good, {"cu_seqlens", DType::kI32, {3}, values->data()}}),
              "MOE-R205");
  EXPECT_EQ(CodeFor("score", {good, {"cu_seqlens", DType::kI32, {0}, nullptr}}),
            "MOE-R205");
  const std::vector<int32_t> back = {0, 1, -2}, beyond = {0, 1, 512};
  EXPECT_EQ(
      CodeFor("score", {good, {"positions", DType::kI32, {3}, back.data()}}),
      "MOE-R205");
  EXPECT_EQ(
      CodeFor("score", {good, {"positions", DType::kI32, {3}, beyond.data()}}),
      "MOE-R203");
  EXPECT_EQ(
      CodeFor("score", {good, {"positions", DType::kI32, {2}, cu.data()}}),
      "MOE-R205");
}

// A module of functions without parameters still passes a table.
TEST_F(EntryCallTest, NeedsNoWeightsWithoutParameters) {
  Json manifest = toy::ToyManifest();
  manifest.erase("model");
  manifest["params"] = Json::array();
  Json affine = manifest["entries"][3];
  affine["buffers"].push_back({{"name", "params"}, {"role", "params"}});
  manifest["entries"] = Json::array({affine});
  toy::WriteModule(dir_ / "loose.moe", manifest);
  auto engine = Engine::Open(dir_ / "loose.moe");
  ASSERT_TRUE(engine.ok()) << engine.status();
  const std::vector<TensorView> inputs = {X(), Bias()};
  auto call = EntryCall::Prepare(**engine, "affine", inputs);
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_TRUE(call->Run().ok());
}

TEST_F(EntryCallTest, TellsFailuresOfTheCode) {
  const std::vector<TensorView> inputs = {X(), Bias()};
  auto call = EntryCall::Prepare(*engine_, "broken", inputs);
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_THAT(FormatError("moe-run", call->Run()),
              HasSubstr("MOE-R104]: entry 'broken' reported error 42 (7, -8)"));
  const std::vector<TensorView> one = {{"x", DType::kF32, {1, 4}, x_.data()},
                                       Bias()};
  call = EntryCall::Prepare(*engine_, "broken", one);
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_THAT(FormatError("moe-run", call->Run()),
              HasSubstr("entry 'broken' returned error 9"));
}

}  // namespace
}  // namespace moe
