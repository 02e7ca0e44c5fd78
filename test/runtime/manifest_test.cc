// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "lib/core/errors.h"
#include "runtime/include/moe/abi.h"
#include "test/runtime/toy_model.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

TEST(Manifest, ReadsEverything) {
  const auto manifest = ReadManifest(toy::ToyManifest(), "m");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->name, "toy");
  EXPECT_EQ(manifest->model->vocab_size, 256);
  EXPECT_EQ(manifest->model->kv->TokenBytes(), 8);
  EXPECT_EQ(manifest->entries.size(), 5u);
  const EntrySpec* score = manifest->FindEntry("score");
  ASSERT_NE(score, nullptr);
  const BufferSpec& cu = score->buffers[2];
  EXPECT_EQ(cu.shape[0].dim, MOE_DIM_SEQUENCES);
  EXPECT_EQ(cu.shape[0].add, 1);
  EXPECT_EQ(score->FindBuffer("logits"), 4);
  EXPECT_EQ(score->FindBuffer("nothing"), -1);
  ASSERT_EQ(manifest->params.size(), 2u);
  EXPECT_TRUE(manifest->params[0].MapsDirectly());
  EXPECT_FALSE(manifest->params[1].MapsDirectly());
  EXPECT_TRUE(manifest->params[1].PerExpert(4));
  EXPECT_EQ(manifest->params[1].sources[0].TensorName(2, 3),
            "layers.2.experts.3.gate");
  EXPECT_EQ(manifest->param_slots, 3);
  EXPECT_EQ(manifest->config["model_type"], "toy");
}

TEST(Manifest, LooseFunctionsNeedNoModel) {
  const Json json = {{"entries", Json::array()}};
  const auto manifest = ReadManifest(json, "m");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_FALSE(manifest->model);
  EXPECT_THAT(std::string(manifest->GetEntry("f").status().message()),
              HasSubstr("has no entry 'f': it has none"));
}

TEST(Manifest, PackedSizes) {
  EXPECT_EQ(GroupBytes(ParamFormat::kF32N32, DType::kF32, 40, 8), 64 * 8 * 4);
  EXPECT_EQ(GroupBytes(ParamFormat::kBF16N32, DType::kBF16, 32, 7), 32 * 7 * 2);
  EXPECT_EQ(GroupBytes(ParamFormat::kBF16Amx, DType::kBF16, 33, 33),
            2 * 2 * 2 * 16 * 32 * 2);
  EXPECT_EQ(GroupBytes(ParamFormat::kRaw, DType::kBF16, 3, 5), 30);
  EXPECT_EQ(GroupBytes(ParamFormat::kF32N32, DType::kF32, int64_t{1} << 40,
                       int64_t{1} << 40),
            std::nullopt);
}

struct Case {
  const char* what;
  std::function<void(Json&)> change;
  Code code = Code::M109;
};

TEST(Manifest, RefusesWhatDoesNotFit) {
  const std::vector<Case> cases = {
      {"no entries", [](Json& m) { m.erase("entries"); }},
      {"entries not a list", [](Json& m) { m["entries"] = 3; }},
      {"entry twice", [](Json& m) { m["entries"].push_back(m["entries"][0]); }},
      {"buffer twice",
       [](Json& m) {
         auto& b = m["entries"][0]["buffers"];
         b.push_back(b[0]);
       }},
      {"unknown role",
       [](Json& m) { m["entries"][0]["buffers"][0]["role"] = "inout"; }},
      {"unknown dtype",
       [](Json& m) { m["entries"][0]["buffers"][0]["dtype"] = "i33"; }},
      {"no shape",
       [](Json& m) { m["entries"][0]["buffers"][0].erase("shape"); }},
      {"negative extent",
       [](Json& m) { m["entries"][0]["buffers"][4]["shape"][1] = -1; }},
      {"extent not a size",
       [](Json& m) { m["entries"][0]["buffers"][4]["shape"][1] = 1.5; }},
      {"sum not a number",
       [](Json& m) {
         m["entries"][0]["buffers"][2]["shape"][0] = "sequences+x";
       }},
      {"output of unknown size",
       [](Json& m) { m["entries"][0]["buffers"][4]["shape"][0] = "rows"; }},
      {"other dims", [](Json& m) { m["dims"][0] = "rows"; }, Code::M110},
      {"no vocabulary", [](Json& m) { m["model"].erase("vocab_size"); }},
      {"negative layers", [](Json& m) { m["model"]["layers"] = -1; }},
      {"kv without width", [](Json& m) { m["model"]["kv"].erase("width"); }},
      {"unknown format", [](Json& m) { m["params"][1]["format"] = "f32.n64"; },
       Code::M110},
      {"packed without entry", [](Json& m) { m["params"][1]["pack"] = ""; }},
      {"raw with entry", [](Json& m) { m["params"][0]["pack"] = "p"; }},
      {"wrong bytes", [](Json& m) { m["params"][1]["bytes"] = 64; }},
      {"wrong group bytes",
       [](Json& m) { m["params"][1]["group_bytes"] = 64; }},
      {"rank 3", [](Json& m) { m["params"][0]["shape"] = {2, 3, 4}; }},
      {"empty shape", [](Json& m) { m["params"][0]["shape"] = {0, 3}; }},
      {"size overflow",
       [](Json& m) {
         m["params"][0]["shape"] = {2147483647, 2147483647};
         m["params"][0]["groups"] = 16777216;
       }},
      {"no source", [](Json& m) { m["params"][0]["sources"] = Json::array(); }},
      {"source beyond the parameter",
       [](Json& m) { m["params"][1]["sources"][0]["n0"] = 20; }},
      {"source beyond its tensor",
       [](Json& m) { m["params"][1]["sources"][0]["offset"] = 1; }},
      {"stride beyond its tensor",
       [](Json& m) { m["params"][1]["sources"][1]["stride_g"] = 999; }},
      {"negative stride",
       [](Json& m) { m["params"][1]["sources"][1]["stride_k"] = -1; }},
      {"shared slot", [](Json& m) { m["params"][1]["index"] = 0; }},
      {"slot out of range",
       [](Json& m) { m["params"][1]["index"] = int64_t{1} << 40; }},
  };
  for (const Case& c : cases) {
    Json json = toy::ToyManifest();
    c.change(json);
    const auto manifest = ReadManifest(json, "m.moe: manifest");
    ASSERT_FALSE(manifest.ok()) << c.what;
    EXPECT_TRUE(HasCode(manifest.status(), c.code))
        << c.what << ": " << manifest.status();
    EXPECT_THAT(std::string(manifest.status().message()),
                HasSubstr("m.moe: manifest"))
        << c.what;
  }
}

}  // namespace
}  // namespace moe
