// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each folder that cannot be imported gives its code, its exit code and one
// line; and no configuration, however broken, gives anything else.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <set>
#include <string>

#include "lib/core/errors.h"
#include "test/frontend/bad_config_cases.h"

namespace mlir::moe {
namespace {

void Check(const std::vector<BadFolder>& cases) {
  // MOE_PRINT_LINES=1 prints the lines, to write a table from.
  const bool print = std::getenv("MOE_PRINT_LINES") != nullptr;
  std::set<std::string> names;
  for (const BadFolder& bad : cases) {
    SCOPED_TRACE(bad.name);
    EXPECT_TRUE(names.insert(bad.name).second) << "two cases of one name";
    Folder folder = Folder::Fixture(bad.base);
    bad.change(folder);
    std::string line;
    const auto start = std::chrono::steady_clock::now();
    Import result = folder.Run(&line);
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    EXPECT_FALSE(result.module);
    if (print)
      std::printf("%s|%d|%s\n", bad.name.c_str(),
                  ::moe::ExitCode(result.status), line.c_str());
    EXPECT_EQ(line, "moe-import: error" + bad.line);
    EXPECT_EQ(::moe::ExitCode(result.status), bad.exit);
    EXPECT_LE(line.size(), 300u);
    EXPECT_EQ(::moe::Escaped(line), line);
    EXPECT_LT(took.count(), 20);
  }
}

TEST(BadFolder, Configs) {
  EXPECT_GE(BadConfigs().size(), 40u);
  Check(BadConfigs());
}

TEST(BadFolder, Tensors) {
  EXPECT_GE(BadTensors().size(), 15u);
  Check(BadTensors());
}

// Values of wrong kinds and sizes in place of each key's value: an import that
// fails says so with a code of its own, never with an internal error.
TEST(BadFolder, RandomConfigsNeverBreak) {
  const char* const values[] = {"0",
                                "-1",
                                "1",
                                "2",
                                "3",
                                "7",
                                "65536",
                                "1e308",
                                "0.5",
                                "null",
                                "true",
                                "1000000000",
                                "\"silu\"",
                                "\"\"",
                                "[]",
                                "{}",
                                "[1]",
                                "false",
                                "16777216",
                                "-0.0",
                                "1e-300",
                                "{\"rope_type\":\"yarn\",\"factor\":1e300}",
                                "{\"rope_type\":\"llama3\",\"factor\":2}",
                                "\"yarn\""};
  std::mt19937 random(7);
  for (const char* base : {"mixtral-1", "mixtral-4", "mixtral-5",
                           "deepseek_v2-1", "deepseek_v2-2"}) {
    const Folder folder = Folder::Fixture(base);
    ::moe::TempDir dir;
    folder.Write(dir);
    std::vector<std::string> keys;
    for (const auto& [key, value] : folder.config.items()) keys.push_back(key);
    for (int round = 0; round < 150; ++round) {
      ::moe::Json config = folder.config;
      for (int change = random() % 3; change >= 0; --change) {
        ::moe::Json* target = &config;
        std::string key = keys[random() % keys.size()];
        if (key == "rope_parameters" && random() % 4) {
          target = &config[key];
          const char* const inner[] = {
              "rope_theta", "rope_type",
              "factor",     "original_max_position_embeddings",
              "mscale",     "beta_fast"};
          key = inner[random() % 6];
        }
        if (!target->is_object()) continue;
        if (random() % 8 == 0)
          target->erase(key);
        else
          (*target)[key] = ::moe::Json::parse(
              values[random() % (sizeof values / sizeof *values)]);
      }
      dir.Write("config.json", ::moe::DumpJson(config));
      Import result = ImportFrom(dir.path());
      if (result.status.ok()) continue;
      const std::string line = ::moe::FormatError("moe-import", result.status);
      const int exit = ::moe::ExitCode(result.status);
      EXPECT_TRUE(exit == 3 || exit == 5) << line << "\n"
                                          << ::moe::DumpJson(config);
    }
  }
}

}  // namespace
}  // namespace mlir::moe
