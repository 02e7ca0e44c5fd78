// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Positions up to 8,191 with every kind of rotary scaling, against the plain
// forward pass.
#include <gtest/gtest.h>

#include <algorithm>

#include "lib/core/safetensors.h"
#include "lib/reference/tolerances.h"
#include "runtime/entry_call.h"
#include "runtime/scorer.h"
#include "runtime/stepper.h"
#include "test/e2e/compiled.h"
#include "test/e2e/plain_forward.h"

namespace moe {
namespace {

using compiled::PlainModel;
using reference::CompareRelative;
using reference::Comparison;
using reference::kLogitsF32;

constexpr int64_t kPositions = 8192;

std::vector<int32_t> Upwards(size_t count) {
  std::vector<int32_t> positions(count);
  for (size_t i = 0; i < count; ++i) positions[i] = static_cast<int32_t>(i);
  return positions;
}

std::vector<int32_t> SomeIds(size_t count, int64_t vocab, uint64_t seed) {
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    id = static_cast<int32_t>((seed >> 33) % static_cast<uint64_t>(vocab));
  }
  return ids;
}

// The plain forward pass is right: it agrees with what transformers said.
TEST(PlainForward, AgreesWithTransformers) {
  double worst = 0;
  for (const char* family : {"mixtral-", "deepseek_v2-"})
    for (const char* number : {"1", "2", "3", "4", "5"}) {
      const std::string folder = compiled::Folder(std::string(family) + number);
      const PlainModel model(folder);
      const auto expect = SafetensorsFile::Open(folder + "/expect.safetensors");
      const auto rows = ReadJsonFile(folder + "/ids.json");
      ASSERT_TRUE(expect.ok() && rows.ok());
      for (size_t r = 0; r < rows->size(); ++r) {
        const auto ids = (*rows)[r].get<std::vector<int32_t>>();
        const std::vector<double> got =
            model.Logits(ids, Upwards(ids.size()), 0);
        const Tensor* want = expect->Find("logits." + std::to_string(r));
        ASSERT_NE(want, nullptr);
        ASSERT_EQ(want->bytes, got.size() * sizeof(float));
        ASSERT_TRUE(want->IsAligned(sizeof(float)));
        const Comparison c = CompareRelative(
            got.data(), reinterpret_cast<const float*>(want->data),
            static_cast<int64_t>(got.size()), kLogitsF32);
        EXPECT_TRUE(c.ok()) << folder << ", row " << r << ": " << c.Text();
        worst = std::max(worst, c.max_err / c.largest);
      }
      // An expert may never be chosen.
      for (const std::string& name : model.Unread())
        EXPECT_NE(name.find(".experts."), std::string::npos) << folder << name;
    }
  std::printf("max_rel=%.2e tol=%.0e\n", worst, kLogitsF32);
}

struct Long {
  const char* name;
  const char* label;
  Json patch;
};

Json Yarn(double factor, int64_t original, double mscale, double all_dim) {
  return {{"rope_type", "yarn"}, {"rope_theta", 10000.0},
          {"factor", factor},    {"original_max_position_embeddings", original},
          {"beta_fast", 32},     {"beta_slow", 1},
          {"mscale", mscale},    {"mscale_all_dim", all_dim}};
}

// Of a fixture of every kind, one that runs 8,192 positions.
std::vector<Long> LongModels() {
  const Json yarn = {{"rope_type", "yarn"},
                     {"rope_theta", 10000.0},
                     {"factor", 4.0},
                     {"original_max_position_embeddings", 2048}};
  const Json llama = {
      {"rope_type", "llama3"},   {"rope_theta", 500000.0},
      {"factor", 8.0},           {"low_freq_factor", 1.0},
      {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 1024}};
  const Json plain = {{"rope_type", "default"}, {"rope_theta", 10000.0}};
  const char* key = "rope_parameters";
  return {{"deepseek_v2-2", "yarn", {{key, Yarn(4, 2048, 0.707, 1.0)}}},
          {"deepseek_v2-5", "yarn", {{key, Yarn(40, 205, 1.0, 0.707)}}},
          {"mixtral-1", "default", {{key, plain}, {"sliding_window", 5000}}},
          {"mixtral-2", "yarn", {{key, yarn}}},
          {"mixtral-5", "llama3", {{key, llama}}}};
}

std::string LongFolder(const Long& model) {
  Json patch = model.patch;
  patch["max_position_embeddings"] = kPositions;
  return compiled::ChangedFolder(model.name, patch);
}

TEST(Positions, ShortRowsFarOut) {
  for (const Long& model : LongModels()) {
    const std::string folder = LongFolder(model);
    const PlainModel plain(folder);
    const auto engine = compiled::Load(folder, "f32");
    const int64_t vocab = engine->manifest().model->vocab_size;
    // Steps between positions of every size.
    const std::vector<int32_t> positions = {
        0, 1, 63, 64, 1023, 2047, 2048, 4095, 4096, 6000, 8185, 8190, 8191};
    const auto count = static_cast<int64_t>(positions.size());
    const std::vector<int32_t> ids = SomeIds(positions.size(), vocab, 5);
    const TensorView inputs[] = {
        {"ids", DType::kI32, {count}, ids.data()},
        {"positions", DType::kI32, {count}, positions.data()}};
    auto call = EntryCall::Prepare(*engine, "score", inputs);
    ASSERT_TRUE(call.ok()) << call.status();
    ASSERT_TRUE(call->Run().ok());
    const TensorView& logits = call->outputs().front();
    ASSERT_EQ(logits.name, "logits");
    const std::vector<double> want = plain.Logits(ids, positions, 0);
    const Comparison c =
        CompareRelative(static_cast<const float*>(logits.data), want.data(),
                        count * vocab, kLogitsF32);
    EXPECT_TRUE(c.ok()) << model.name << ": " << c.Text();
    std::printf("%-13s %-7s max_rel=%.2e tol=%.0e\n", model.name, model.label,
                c.max_err / c.largest, kLogitsF32);
    // Positions matter: the same row at its start gives something else.
    const std::vector<double> start = plain.Logits(ids, Upwards(ids.size()), 0);
    EXPECT_FALSE(CompareRelative(static_cast<const float*>(logits.data),
                                 start.data(), count * vocab, kLogitsF32)
                     .ok());
  }
}

// A row of 8,192 tokens: scored, prefilled at once, and prefilled in pieces
// with the last tokens decoded one by one.
TEST(Positions, WholeRow) {
  for (size_t which : {1u, 2u}) {
    const Long model = LongModels()[which];
    const std::string folder = LongFolder(model);
    const PlainModel plain(folder);
    const auto engine = compiled::Load(folder, "f32", {.threads = 2});
    const int64_t vocab = engine->manifest().model->vocab_size;
    const std::vector<int32_t> ids = SomeIds(kPositions, vocab, 11);
    constexpr size_t kLast = 24, kDecoded = 8;
    const std::vector<double> want =
        plain.Logits(ids, Upwards(kPositions), kPositions - kLast);
    double largest = 0;
    for (double value : want) largest = std::max(largest, std::abs(value));
    // The error of the last |count| tokens, of the largest logit.
    const auto error = [&](std::span<const float> got, size_t token) {
      const Comparison c = CompareRelative(
          got.data(), want.data() + token * static_cast<size_t>(vocab),
          static_cast<int64_t>(got.size()), kLogitsF32);
      return c.max_err / largest;
    };
    auto scorer =
        Scorer::Create(*engine, {.max_tokens = kPositions, .max_rows = 1});
    ASSERT_TRUE(scorer.ok()) << scorer.status();
    const std::span<const int32_t> row = ids;
    ASSERT_TRUE(scorer->Run({&row, 1}).ok());
    const double scored =
        error(scorer->RowLogits(0).last(kLast * static_cast<size_t>(vocab)), 0);

    auto created =
        Stepper::Create(*engine, {.kv = {.slots = 2,
                                         .tokens_per_slot = kPositions,
                                         .page_length = 64,
                                         .page_order_seed = 9},
                                  .max_tokens = kPositions});
    ASSERT_TRUE(created.ok()) << created.status();
    Stepper& stepper = **created;
    const auto step = [&](int32_t slot, size_t begin, size_t end) {
      const Chunk chunk{slot, row.subspan(begin, end - begin)};
      EXPECT_TRUE(stepper.Step({&chunk, 1}).ok());
    };
    const int32_t whole = stepper.Join().value(),
                  pieces = stepper.Join().value();
    step(whole, 0, kPositions);
    const double prefilled = error(stepper.Logits(0), kLast - 1);
    double decoded = 0;
    const size_t split = kPositions - kDecoded;
    for (size_t at = 0; at < split; at += 1000)
      step(pieces, at, std::min(at + 1000, split));
    for (size_t at = split; at < kPositions; ++at) {
      step(pieces, at, at + 1);
      decoded =
          std::max(decoded, error(stepper.Logits(0), at + kLast - kPositions));
    }
    std::printf(
        "%-13s 8192 tokens: score %.2e, prefill %.2e, decode %.2e, "
        "tol=%.0e\n",
        model.name, scored, prefilled, decoded, kLogitsF32);
    EXPECT_LE(scored, kLogitsF32);
    EXPECT_LE(prefilled, kLogitsF32);
    EXPECT_LE(decoded, kLogitsF32);
    // There is no position behind the last.
    const Chunk more{pieces, row.first(1)};
    EXPECT_FALSE(stepper.Step({&more, 1}).ok());
  }
}

}  // namespace
}  // namespace moe
