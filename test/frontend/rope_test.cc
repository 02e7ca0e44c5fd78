// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rotary constants against values computed apart, in Python.

#include "lib/frontend/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "lib/core/json.h"

namespace mlir::moe::frontend {
namespace {

absl::StatusOr<RopeTable> Read(const std::string& text, int64_t dims) {
  const ::moe::Json config = ::moe::Json::parse(text);
  ::moe::JsonFields fields(config, "config.json", ::moe::kConfigCodes);
  return readRope(fields, {.dims = dims,
                           .defaultTheta = 1e4,
                           .maxPositions = 64,
                           .modelType = "test"});
}

struct Case {
  const char* name;
  const char* config;
  double scale;
  std::vector<double> inv_freq;
};

TEST(Rope, Constants) {
  const Case cases[] = {
      {"nothing given", "{}", 1, {1, 0.1, 0.01, 0.001}},
      {"linear",
       R"({"rope_parameters": {"rope_theta": 1e4, "rope_type": "linear",
           "factor": 4.0}})",
       1,
       {0.25, 0.025, 0.0025, 0.00025}},
      {"old spelling",
       R"({"rope_theta": 1e4, "rope_scaling": {"type": "linear",
           "factor": 4}})",
       1,
       {0.25, 0.025, 0.0025, 0.00025}},
      {"dynamic",
       R"({"rope_scaling": {"type": "dynamic", "factor": 4}})",
       1,
       {1, 0.1, 0.01, 0.001}},
      {"yarn",
       R"({"rope_parameters": {"rope_theta": 1e4, "rope_type": "yarn",
           "factor": 4.0, "original_max_position_embeddings": 512}})",
       1.138629436111989,
       {1.0, 0.161582602, 0.0232079442, 0.0025, 0.000538608673,
        0.000116039721}},
      {"yarn, both mscales",
       R"({"rope_theta": 1e4, "rope_scaling": {"type": "yarn",
           "factor": 40, "original_max_position_embeddings": 4096,
           "mscale": 1.0, "mscale_all_dim": 0.707, "beta_fast": 32,
           "beta_slow": 1}})",
       1.0857263992561355,
       {1.0, 0.316227766, 0.1, 0.0239147248, 0.005125, 0.000849862121, 2.5e-05,
        7.90569415e-06}},
      {"yarn, not truncated",
       R"({"rope_parameters": {"rope_theta": 150000.0, "rope_type": "yarn",
           "factor": 32.0, "original_max_position_embeddings": 4096,
           "truncate": false}})",
       1.3465735902799727,
       {1.0, 0.225418, 0.0508132748, 0.00679495949, 0.000456483919,
        1.81883367e-05, 4.09997848e-06, 9.2420895e-07}},
      {"yarn, attention_factor",
       R"({"rope_parameters": {"rope_theta": 1e4, "rope_type": "yarn",
           "factor": 4.0, "original_max_position_embeddings": 16,
           "attention_factor": 1.5, "beta_fast": 8, "beta_slow": 0.5}})",
       1.5,
       {1.0, 0.025, 0.0025, 0.00025}},
      {"llama3",
       R"({"rope_parameters": {"rope_theta": 1e4, "rope_type": "llama3",
           "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 256}})",
       1,
       {1.0, 0.316227766, 0.1, 0.00661310632, 0.00125, 0.000395284708, 0.000125,
        3.95284708e-05}},
      // sqrt(1 + ln 4 / ln 16), as 64 positions are four times 16.
      {"longrope, within its original length",
       R"({"original_max_position_embeddings": 16,
           "rope_scaling": {"type": "longrope", "short_factor": [1, 2, 4, 8],
           "long_factor": [1, 3, 9, 27]}})",
       1.2247448713915889,
       {1, 0.05, 0.0025, 0.000125}},
      {"longrope, scales of its own",
       R"({"rope_parameters": {"rope_type": "longrope", "factor": 3.0,
           "short_factor": [1, 2, 4, 8], "long_factor": [1, 3, 9, 27],
           "short_mscale": 1.25, "long_mscale": 1.5,
           "original_max_position_embeddings": 64}})",
       1.25,
       {1, 0.05, 0.0025, 0.000125}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    auto rope = Read(c.config, 2 * c.inv_freq.size());
    ASSERT_TRUE(rope.ok()) << rope.status().message();
    EXPECT_DOUBLE_EQ(rope->scale, c.scale);
    ASSERT_EQ(rope->invFreq.size(), c.inv_freq.size());
    for (size_t i = 0; i < c.inv_freq.size(); ++i)
      EXPECT_NEAR(rope->invFreq[i] / c.inv_freq[i], 1, 1e-7) << i;
  }
}

TEST(Rope, SoftmaxScaleOfKeysForAllDims) {
  const auto scale = [](const std::string& keys) {
    auto rope = Read("{\"rope_parameters\": {" + keys + "}}", 8);
    EXPECT_TRUE(rope.ok()) << rope.status().message();
    return rope.ok() ? rope->softmaxMscale : 0;
  };
  const double want = 0.1 * 0.707 * std::log(40.0) + 1;
  EXPECT_DOUBLE_EQ(
      scale(R"("rope_type": "yarn", "factor": 40, "mscale_all_dim": 0.707)"),
      want);
  EXPECT_DOUBLE_EQ(
      scale(R"("rope_type": "linear", "factor": 40, "mscale_all_dim": 0.707)"),
      want);
  EXPECT_EQ(scale(R"("rope_type": "yarn", "factor": 40)"), 1);
  EXPECT_EQ(scale(R"("rope_type": "yarn", "factor": 40, "mscale_all_dim": 0)"),
            1);
  EXPECT_EQ(
      scale(R"("rope_type": "yarn", "factor": 0.5, "mscale_all_dim": 1.0)"), 1);
  EXPECT_EQ(scale(R"("rope_type": "default", "mscale_all_dim": 1.0)"), 1);
}

TEST(Rope, SaysWhichKeysHaveNoUse) {
  auto rope = Read(
      R"({"rope_scaling": {"type": "linear", "factor": 2, "beta_fast": 32}})",
      8);
  ASSERT_TRUE(rope.ok());
  ASSERT_EQ(rope->notes.size(), 1u);
  EXPECT_EQ(rope->notes[0], "key 'beta_fast' has no use in type 'linear'");
}

}  // namespace
}  // namespace mlir::moe::frontend
