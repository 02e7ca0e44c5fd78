// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The program moe-run, from outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>

#include "lib/core/json.h"
#include "lib/core/safetensors.h"
#include "test/runtime/toy_model.h"

namespace moe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int exit = -1;
  std::string out, err;
};

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Cli : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new toy::TempDir;
    toy::WriteModule(*dir_ / "toy.moe", toy::ToyManifest());
    toy::WriteCheckpoint(*dir_ / "w", {.extra = true});
    Write("ids.json", "[[1, 2, 3, 4], [250], [9, 8, 7]]");
  }
  static void TearDownTestSuite() { delete dir_; }

  static void Write(const std::string& name, const std::string& text) {
    std::ofstream(*dir_ / name, std::ios::binary) << text;
  }

  // Runs moe-run in the folder of the test, with shell words.
  static Outcome Run(const std::string& words) {
    const std::string command = "cd " + dir_->path() + " && " MOE_RUN " " +
                                words + " >out.txt 2>err.txt </dev/null";
    const int status = system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            ReadAll(*dir_ / "out.txt"), ReadAll(*dir_ / "err.txt")};
  }

  static Json RunJson(const std::string& words) {
    const Outcome outcome = Run(words);
    EXPECT_EQ(outcome.exit, 0) << words << "\n" << outcome.err;
    auto json = ParseJson(outcome.out, "stdout");
    EXPECT_TRUE(json.ok()) << outcome.out;
    return json.ok() ? *json : Json();
  }

  // One line on stderr with this code, nothing on stdout.
  static void ExpectError(const std::string& words, int exit,
                          const std::string& code,
                          const std::string& text = "") {
    const Outcome outcome = Run(words);
    EXPECT_EQ(outcome.exit, exit) << words << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << words;
    EXPECT_THAT(
        outcome.err,
        AllOf(HasSubstr("moe-run: error[MOE-" + code + "]"), HasSubstr(text)))
        << words;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1)
        << words << "\n"
        << outcome.err;
    EXPECT_LE(outcome.err.size(), 301u) << words;
  }

  static toy::TempDir* dir_;
};

toy::TempDir* Cli::dir_ = nullptr;

TEST_F(Cli, Generate) {
  std::vector<int32_t> ids = {82, 79, 77};
  for (int i = 0; i < 12; ++i) ids.push_back(toy::Greedy(ids));
  const std::vector<int32_t> expected(ids.begin() + 3, ids.end());
  for (const char* more :
       {"", " --threads 2 --page-length 3", " --isa x86-64-v3",
        " --kv-tokens 15", " --temperature 0 --seed 4"}) {
    const Json out = RunJson(
        std::string("generate toy.moe --weights w --prompt ROM -n 12 -o json") +
        more);
    EXPECT_EQ(out["ids"].get<std::vector<int32_t>>(), expected);
    EXPECT_EQ(out["stop"], "length");
    EXPECT_EQ(out["prompt_tokens"], 3);
    EXPECT_GT(out["ttft_ms"].get<double>(), 0);
    EXPECT_GT(out["tokens_per_s"].get<double>(), 0);
    EXPECT_GT(out["peak_bytes"].get<int64_t>(), 1 << 20);
    EXPECT_TRUE(out["text"].is_string());
    EXPECT_EQ(out.size(), 7u);
  }
  const Json same =
      RunJson("generate toy.moe --weights w --ids 82,79,77 -n 12 -o json");
  EXPECT_EQ(same["ids"].get<std::vector<int32_t>>(), expected);
}

TEST_F(Cli, GenerateStreamsTextAndTellsWhatWasRead) {
  const Json json =
      RunJson("generate toy.moe --weights w --prompt ROM -n 30 -o json");
  const Outcome text = Run("generate toy.moe --weights w --prompt ROM -n 30");
  EXPECT_EQ(text.exit, 0);
  EXPECT_EQ(text.out, json["text"].get<std::string>() + "\n");
  EXPECT_THAT(text.err, AllOf(HasSubstr("read 11 tensors from w"),
                              HasSubstr("not used: 'rotary.inv_freq'")));
  EXPECT_THAT(text.err, Not(HasSubstr("\x1B")));
}

TEST_F(Cli, GenerateWithRandomWeights) {
  const std::string words =
      "generate toy.moe --random-weights 5 --ids 1 -n 5 -o json "
      "--temperature 1 --top-k 40 --top-p 0.9 --seed 3";
  EXPECT_EQ(RunJson(words)["ids"], RunJson(words + " --threads 1")["ids"]);
}

TEST_F(Cli, Score) {
  const Outcome outcome =
      Run("score toy.moe --weights w --ids ids.json -o json "
          "--logits l.safetensors --routing r.safetensors");
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  const std::vector<std::vector<int32_t>> rows = {
      {1, 2, 3, 4}, {250}, {9, 8, 7}};
  auto logits = SafetensorsFile::Open(*dir_ / "l.safetensors");
  auto routing = SafetensorsFile::Open(*dir_ / "r.safetensors");
  ASSERT_TRUE(logits.ok() && routing.ok());
  EXPECT_EQ(routing->tensors().size(), 2u * 2 * 3);
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    const Json json = *ParseJson(line, "line");
    EXPECT_EQ(json["tokens"], rows[r].size());
    ASSERT_EQ(json["nll"].size(), rows[r].size() - 1);
    const Tensor* tensor = logits->Find("logits." + std::to_string(r));
    ASSERT_NE(tensor, nullptr);
    const auto length = static_cast<int64_t>(rows[r].size());
    EXPECT_EQ(tensor->shape, (std::vector<int64_t>{length, 256}));
    for (size_t t = 0; t < rows[r].size(); ++t) {
      const auto expected = toy::Logits(std::span(rows[r]).first(t + 1));
      double sum = 0;
      for (size_t v = 0; v < 256; ++v) {
        ASSERT_EQ(LoadFloat(DType::kF32, tensor->data + (t * 256 + v) * 4),
                  expected[v]);
        sum += std::exp(double{expected[v]});
      }
      if (t + 1 < rows[r].size()) {
        EXPECT_NEAR(
            json["nll"][t].get<double>(),
            std::log(sum) - expected[static_cast<size_t>(rows[r][t + 1])],
            1e-9);
      }
    }
    const Tensor* idx = routing->Find("layer.2." + std::to_string(r) + ".idx");
    ASSERT_NE(idx, nullptr);
    EXPECT_EQ(idx->dtype, DType::kI32);
    EXPECT_EQ(idx->shape, (std::vector<int64_t>{length, 2}));
    EXPECT_NE(routing->Find("layer.1." + std::to_string(r) + ".weight"),
              nullptr);
  }
  // The same numbers from one pack.
  const Outcome packed =
      Run("score toy.moe --weights w --ids ids.json -o json");
  EXPECT_EQ(packed.out, outcome.out);
  EXPECT_THAT(Run("score toy.moe --weights w --ids ids.json").out,
              HasSubstr("all: 5 targets, nll "));
}

TEST_F(Cli, Call) {
  const std::vector<float> x(12, 2.0f), bias = {1, 2, 3, 4};
  SafetensorsWriter writer;
  writer.Add("x", DType::kF32, {3, 4}, AsBytes(x));
  writer.Add("bias", DType::kF32, {4}, AsBytes(bias));
  ASSERT_TRUE(writer.Write(*dir_ / "in.safetensors").ok());
  const Json json = RunJson(
      "call toy.moe affine --weights w --inputs in.safetensors --outputs "
      "out.safetensors --repeat 5 -o json");
  EXPECT_EQ(json["repeat"], 5);
  EXPECT_GT(json["seconds"].get<double>(), 0);
  auto file = SafetensorsFile::Open(*dir_ / "out.safetensors");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(LoadFloat(DType::kF32, file->Find("y")->data + 20), 3.0f);
}

TEST_F(Cli, Bench) {
  const Outcome outcome =
      Run("bench toy.moe --random-weights 1 -p 16 -n 4 -b 1,2 --seconds 0.05 "
          "--threads 1 -o json");
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  std::vector<std::string> tests;
  for (std::string line; std::getline(lines, line);) {
    const Json json = *ParseJson(line, "line");
    tests.push_back(json["test"]);
    for (const char* key :
         {"tokens_per_s", "p10", "p90", "limit_tokens_per_s", "peak_bytes"})
      EXPECT_GT(json[key].get<double>(), 0) << key;
    EXPECT_EQ(json["threads"], 1);
    EXPECT_TRUE(json["limit_by"] == "memory" || json["limit_by"] == "compute");
  }
  EXPECT_EQ(tests, (std::vector<std::string>{"pp16", "tg4", "pp16", "tg4"}));
  EXPECT_THAT(
      Run("bench --random-weights 1 -n 4 --runs 5 -o md -p 0 toy.moe").out,
      HasSubstr("| tg4 | 1 |"));
}

TEST_F(Cli, InspectAndPlan) {
  const Json json = RunJson("inspect toy.moe -o json");
  EXPECT_EQ(json["manifest"]["name"], "toy");
  EXPECT_EQ(json["sections"].size(), 3u);
  const Outcome text = Run("inspect toy.moe --params");
  EXPECT_THAT(text.out,
              AllOf(HasSubstr("in   ids i32 [tokens]"),
                    HasSubstr("cu_seqlens i32 [sequences+1]"),
                    HasSubstr("experts x2 groups 4 [40, 8] f32 as f32.n32")));
  const Json plan =
      RunJson("plan toy.moe --batch 4 --tokens 100 --max-memory 1GiB -o json");
  EXPECT_EQ(plan["kv_bytes"], 4 * 100 * 8);
  EXPECT_EQ(plan["weights_bytes"], 2 * 4 * 64 * 8 * 4);
  EXPECT_EQ(plan["fits"], true);
  EXPECT_EQ(plan["limit_bytes"], 1 << 30);
  const Outcome much = Run("plan toy.moe --batch 1000 --tokens 1000000000");
  EXPECT_EQ(much.exit, 4);
  EXPECT_THAT(much.err, HasSubstr("MOE-R102"));
}

TEST_F(Cli, HelpAndVersion) {
  EXPECT_THAT(Run("--version").out, HasSubstr("moe-run 0.1.0"));
  EXPECT_THAT(Run("explain s104").out, HasSubstr("MOE-S104"));
  for (const char* command : {"", "generate ", "score ", "call ", "bench ",
                              "plan ", "inspect ", "explain "}) {
    const Outcome help = Run(std::string(command) + "--help");
    EXPECT_EQ(help.exit, 0);
    EXPECT_LE(std::count(help.out.begin(), help.out.end(), '\n'), 60);
    std::istringstream lines(help.out);
    for (std::string line; std::getline(lines, line);)
      EXPECT_LE(line.size(), 80u) << command << line;
    EXPECT_THAT(help.out, HasSubstr("Example"));
  }
}

// Commands and flags are an interface: a change here is one that users see.
TEST_F(Cli, HelpJsonIsFrozen) {
  const std::string golden = ReadAll(MOE_GOLDEN);
  EXPECT_EQ(RunJson("--help-json").dump(1) + "\n", golden);
}

TEST_F(Cli, UsageErrors) {
  ExpectError("", 2, "U102");
  ExpectError("generat", 2, "U105", "Did you mean generate?");
  ExpectError("--verson", 2, "U101", "Did you mean --version?");
  ExpectError("score toy.moe --weigths w", 2, "U101",
              "Did you mean --weights?");
  ExpectError("score toy.moe more --ids ids.json", 2, "U107", "'more'");
  ExpectError("score", 2, "U102", "MODULE");
  ExpectError("score toy.moe", 2, "U102", "--ids");
  ExpectError("score toy.moe --ids", 2, "U102", "--ids");
  ExpectError("score toy.moe --ids ids.json -o xml", 2, "U103", "xml");
  ExpectError("score toy.moe --ids ids.json --threads 0", 2, "U103");
  ExpectError("score toy.moe --ids ids.json", 2, "U102", "--weights");
  ExpectError("score toy.moe --ids ids.json --weights w --random-weights 1", 2,
              "U104");
  ExpectError("score toy.moe --ids ids.json --isa v9", 2, "U103", "'v9'");
  ExpectError("score toy.moe --ids ids.json --max-memory lots", 2, "U103");
  ExpectError("generate toy.moe --weights w", 2, "U102", "--prompt");
  ExpectError("generate toy.moe --weights w --prompt ''", 2, "U103");
  ExpectError("generate toy.moe --weights w --ids 1,,2", 2, "U103");
  ExpectError("generate toy.moe --weights w --ids 1 -n 0", 2, "U103");
  ExpectError("generate toy.moe --weights w --ids 1 --top-p 2", 2, "U103");
  ExpectError("call toy.moe nothing --weights w", 2, "U108",
              "'score', 'prefill'");
  ExpectError("explain X999", 2, "U106");
}

TEST_F(Cli, OtherErrors) {
  ExpectError("score no.moe --weights w --ids ids.json", 3, "F101");
  ExpectError("inspect ids.json", 3, "M101");
  ExpectError("score toy.moe --weights nowhere --ids ids.json", 3, "S209");
  Write("bad.json", "[[1, 2], []]");
  ExpectError("score toy.moe --weights w --ids bad.json", 3, "R201", "row 1");
  Write("bad.json", "[[1, 999]]");
  ExpectError("score toy.moe --weights w --ids bad.json", 3, "R202", "999");
  Write("bad.json", "[[1, \"2\"]]");
  ExpectError("score toy.moe --weights w --ids bad.json", 3, "R201");
  Write("bad.json", "[[1, 18446744073709551615]]");
  ExpectError("score toy.moe --weights w --ids bad.json", 3, "R202");
  Write("bad.json", "[[1, 2");
  ExpectError("score toy.moe --weights w --ids bad.json", 3, "J101");
  ExpectError("generate toy.moe --weights w --ids 1,256 -n 2", 3, "R202");
  ExpectError("generate toy.moe --weights w --ids 1 -n 512", 3, "R203");
  ExpectError("generate toy.moe --weights w --ids 1,2 -n 3 --kv-tokens 4", 3,
              "R203", "cache");
  ExpectError("generate toy.moe --weights w --ids 1 --max-memory 1K", 4,
              "R102");
  ExpectError("generate toy.moe --weights w --ids 1 --device cuda:0", 5,
              "D102");
  ExpectError("generate toy.moe --weights w --ids 1 --isa amx", 5, "M111");
  const Outcome json =
      Run("--diagnostics=json score no.moe --weights w --ids ids.json");
  EXPECT_EQ((*ParseJson(json.err, "stderr"))["code"], "MOE-F101");
}

TEST_F(Cli, OutputThatNobodyReads) {
  const Outcome outcome = Run(
      "generate toy.moe --weights w --ids 1 -n 200 | true; exit ${PIPESTATUS}");
  EXPECT_NE(outcome.exit, -1);
  const Outcome full = Run("inspect toy.moe >/dev/full; exit $?;");
  EXPECT_EQ(full.exit, 4);
}

}  // namespace
}  // namespace moe
