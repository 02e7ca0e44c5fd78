// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/runtime/toy_model.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/module_file.h"
#include "lib/core/safetensors.h"

namespace moe::toy {
namespace {

Json Buffer(const char* name, const char* role, const char* dtype,
            const Json& shape) {
  return {{"name", name}, {"role", role}, {"dtype", dtype}, {"shape", shape}};
}

Json ScoreBuffers() {
  return Json::array(
      {Buffer("ids", "input", "i32", {"tokens"}),
       Buffer("positions", "input", "i32", {"tokens"}),
       Buffer("cu_seqlens", "input", "i32", {"sequences+1"}),
       {{"name", "params"}, {"role", "params"}},
       Buffer("logits", "output", "f32", {"tokens", kVocab}),
       Buffer("routing.idx", "output", "i32", {kLayers, "tokens", kTopK}),
       Buffer("routing.weight", "output", "f32", {kLayers, "tokens", kTopK})});
}

Json StepBuffers() {
  return Json::array(
      {Buffer("ids", "input", "i32", {"tokens"}),
       Buffer("positions", "input", "i32", {"tokens"}),
       Buffer("cu_seqlens", "input", "i32", {"sequences+1"}),
       Buffer("slot", "input", "i32", {"sequences"}),
       Buffer("block_table", "input", "i32", {"slots", "pages_per_sequence"}),
       {{"name", "params"}, {"role", "params"}},
       {{"name", "cache"}, {"role", "cache"}},
       Buffer("logits", "output", "f32", {"sequences", kVocab})});
}

Json AffineBuffers() {
  return Json::array({Buffer("x", "input", "f32", {"tokens", 4}),
                      Buffer("bias", "input", "f32", Json::array({4})),
                      Buffer("y", "output", "f32", {"tokens", 4}),
                      Buffer("modes", "output", "i32", {"tokens"})});
}

Json Params() {
  const int64_t group = 64 * kK * 4;
  return Json::array(
      {{{"name", "embed"},
        {"index", 0},
        {"layers", 1},
        {"first_layer", 0},
        {"groups", 1},
        {"shape", {kVocab, kK}},
        {"format", "raw"},
        {"dtype", "f32"},
        {"bytes", kVocab * kK * 4},
        {"group_bytes", kVocab * kK * 4},
        {"pack", ""},
        {"sources", Json::array({{{"pattern", "embed"},
                                  {"shape", {kVocab, kK}},
                                  {"n0", 0},
                                  {"n", kVocab},
                                  {"offset", 0},
                                  {"stride_n", kK},
                                  {"stride_k", 1}}})}},
       {{"name", "experts"},
        {"index", 1},
        {"layers", kLayers},
        {"first_layer", 1},
        {"groups", kExperts},
        {"shape", {kN, kK}},
        {"format", "f32.n32"},
        {"dtype", "f32"},
        {"bytes", kExperts * group},
        {"group_bytes", group},
        {"pack", "pack.f32.f32.n32"},
        {"sources", Json::array({{{"pattern", "layers.{i}.experts.{e}.gate"},
                                  {"shape", {kGate, kK}},
                                  {"n0", 0},
                                  {"n", kGate},
                                  {"offset", 0},
                                  {"stride_n", kK},
                                  {"stride_k", 1}},
                                 {{"pattern", "layers.{i}.up"},
                                  {"shape", {kExperts, kK, kN - kGate}},
                                  {"n0", kGate},
                                  {"n", kN - kGate},
                                  {"offset", 0},
                                  {"stride_n", 1},
                                  {"stride_k", kN - kGate},
                                  {"stride_g", kK * (kN - kGate)}}})}}});
}

// Adds one tensor, with the faults that name it.
void Add(SafetensorsWriter& writer, std::vector<std::vector<float>>& keep,
         const CheckpointFaults& faults, const std::string& name,
         std::vector<int64_t> shape, std::vector<float> values) {
  if (name == faults.leave_out) return;
  if (name == faults.other_shape) {
    shape[0] += 1;
    values.resize(values.size() / static_cast<size_t>(shape[0] - 1) *
                  static_cast<size_t>(shape[0]));
  }
  const bool other = name == faults.other_dtype;
  keep.push_back(std::move(values));
  const auto bytes = AsBytes(keep.back());
  writer.Add(name, other ? DType::kBF16 : DType::kF32, shape,
             other ? bytes.first(bytes.size() / 2) : bytes);
}

float WeightOf(int32_t id) {
  return Embed(id, 0) +
         ExpertValue(1 + id % kLayers, id % kExperts, id % kN, id % kK);
}

}  // namespace

TempDir::TempDir() {
  std::string name =
      (std::filesystem::temp_directory_path() / "moe-test-XXXXXX").string();
  path_ = mkdtemp(name.data());
}

TempDir::~TempDir() { std::filesystem::remove_all(path_); }

std::string Object(const std::string& name) {
  std::ifstream file(std::string(MOE_TOY_DIR) + "/" + name + ".so",
                     std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

Json ToyManifest() {
  return {{"format", 1},
          {"abi", 1},
          {"producer", "toy"},
          {"name", "toy"},
          {"compute", "f32"},
          {"source_hash", "00"},
          {"model",
           {{"vocab_size", kVocab},
            {"layers", kLayers + 1},
            {"max_positions", 512},
            {"experts", kExperts},
            {"top_k", kTopK},
            {"moe_layers", {1, 2}},
            {"eos_token_ids", Json::array()},
            {"kv", {{"dtype", "f32"}, {"width", kWidth}, {"layers", 1}}}}},
          {"dims",
           {"tokens", "sequences", "longest", "page_length",
            "pages_per_sequence", "pages", "rank_tokens"}},
          {"entries",
           Json::array({{{"name", "score"}, {"buffers", ScoreBuffers()}},
                        {{"name", "prefill"}, {"buffers", StepBuffers()}},
                        {{"name", "decode"}, {"buffers", StepBuffers()}},
                        {{"name", "affine"}, {"buffers", AffineBuffers()}},
                        {{"name", "broken"}, {"buffers", AffineBuffers()}}})},
          {"params", Params()},
          {"config", {{"model_type", "toy"}}}};
}

void WriteModule(const std::string& path, const Json& manifest,
                 const std::string& object) {
  const std::string code = Object(object);
  ModuleWriter writer;
  writer.SetManifest(manifest);
  writer.AddSection("cpu.x86-64-v3", AsBytes(code));
  writer.AddSection("cpu.x86-64-v4", AsBytes(code));
  const absl::Status status = writer.Write(path);
  ASSERT_TRUE(status.ok()) << FormatError("test", status);
}

float Embed(int64_t id, int64_t k) {
  return static_cast<float>((id * 5 + k * 3) % 17);
}

float ExpertValue(int64_t layer, int64_t expert, int64_t n, int64_t k) {
  return static_cast<float>((layer * 7 + expert * 5 + n * 3 + k) % 13);
}

void WriteCheckpoint(const std::string& dir, const CheckpointFaults& faults) {
  std::filesystem::create_directories(dir);
  SafetensorsWriter writer;
  std::vector<std::vector<float>> keep;
  keep.reserve(64);
  std::vector<float> embed;
  for (int64_t id = 0; id < kVocab; ++id)
    for (int64_t k = 0; k < kK; ++k) embed.push_back(Embed(id, k));
  Add(writer, keep, faults, "embed", {kVocab, kK}, embed);
  for (int64_t layer = 1; layer <= kLayers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    std::vector<float> up;
    for (int64_t e = 0; e < kExperts; ++e) {
      std::vector<float> gate;
      for (int64_t n = 0; n < kGate; ++n)
        for (int64_t k = 0; k < kK; ++k)
          gate.push_back(ExpertValue(layer, e, n, k));
      Add(writer, keep, faults,
          prefix + "experts." + std::to_string(e) + ".gate", {kGate, kK}, gate);
      for (int64_t k = 0; k < kK; ++k)
        for (int64_t n = kGate; n < kN; ++n)
          up.push_back(ExpertValue(layer, e, n, k));
    }
    Add(writer, keep, faults, prefix + "up", {kExperts, kK, kN - kGate}, up);
  }
  if (faults.extra) Add(writer, keep, faults, "rotary.inv_freq", {2}, {1, 2});
  ASSERT_TRUE(writer.Write(dir + "/model.safetensors").ok());
  ASSERT_TRUE(
      WriteFileAtomically(dir + "/config.json", R"({"model_type": "toy"})")
          .ok());
}

std::vector<float> Logits(std::span<const int32_t> ids) {
  int64_t sum = 0;
  for (size_t t = 0; t < ids.size(); ++t)
    sum +=
        static_cast<int64_t>(WeightOf(ids[t])) * (static_cast<int64_t>(t) + 1);
  std::vector<float> logits;
  for (int64_t v = 0; v < kVocab; ++v)
    logits.push_back(
        static_cast<float>((sum * 31 + ids.back() * 7 + v * 13) % 101 + 101) /
        8);
  return logits;
}

int32_t Greedy(std::span<const int32_t> ids) {
  const std::vector<float> logits = Logits(ids);
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) -
                              logits.begin());
}

std::unique_ptr<Engine> LoadToy(const TempDir& dir, int threads) {
  WriteModule(dir / "toy.moe", ToyManifest());
  WriteCheckpoint(dir / "weights");
  auto engine = Engine::Open(dir / "toy.moe", {.threads = threads});
  if (!engine.ok()) {
    ADD_FAILURE() << FormatError("test", engine.status());
    return nullptr;
  }
  const absl::Status status = (*engine)->LoadWeights(dir / "weights");
  EXPECT_TRUE(status.ok()) << FormatError("test", status);
  return *std::move(engine);
}

}  // namespace moe::toy
