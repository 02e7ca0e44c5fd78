// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each made bad file gives its code, its exit code and one readable line, soon.

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <set>
#include <string>

#include "lib/core/checkpoint.h"
#include "lib/core/errors.h"
#include "lib/core/module_file.h"
#include "lib/core/safetensors.h"
#include "test/core/bad_input_cases.h"
#include "test/core/test_files.h"

namespace moe {
namespace {

void MakeFiles(const TempDir& dir, const BadInput& input) {
  for (const auto& [name, bytes] : input.files) {
    if (bytes.starts_with("->"))
      std::filesystem::create_symlink(bytes.substr(2), dir / name);
    else
      dir.Write(name, bytes);
  }
}

absl::Status Open(const BadInput& input, const TempDir& dir, bool header_only) {
  switch (input.reader) {
    case Reader::kSafetensors:
      return SafetensorsFile::Open(dir / "f", {.header_only = header_only})
          .status();
    case Reader::kCheckpoint:
      return Checkpoint::Open(dir.path(), {.header_only = header_only})
          .status();
    case Reader::kConfig:
      return ReadConfig(dir.path()).status();
    case Reader::kModule:
      return ModuleFile::Open(dir / "f").status();
  }
  return absl::OkStatus();
}

void ExpectOneReadableLine(const std::string& line) {
  EXPECT_LE(line.size(), 300u) << line;
  EXPECT_TRUE(IsUtf8(line)) << line;
  EXPECT_EQ(Escaped(line), line);  // no control character is left
  EXPECT_TRUE(line.ends_with('.') || line.ends_with('?') ||
              line.ends_with("OUT.moe") || line.ends_with("COPY") ||
              line.ends_with("/f"))
      << line;
}

TEST(BadInput, EachGivesItsCode) {
  const std::vector<BadInput> inputs = BadInputs();
  EXPECT_GE(inputs.size(), 150u);
  std::set<std::string> names;
  for (const BadInput& input : inputs) {
    SCOPED_TRACE(input.name);
    EXPECT_TRUE(names.insert(input.name).second);
    TempDir dir;
    MakeFiles(dir, input);
    const auto start = std::chrono::steady_clock::now();
    const absl::Status whole = Open(input, dir, /*header_only=*/false);
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 1.0);
    EXPECT_EQ(NameOf(whole), "MOE-" + input.code) << whole;
    EXPECT_EQ(ExitCode(whole), input.exit);
    if (whole.ok()) continue;
    ExpectOneReadableLine(FormatError("moe-run", whole));
    // Reading the header alone finds the same faults in the same words.
    EXPECT_EQ(Open(input, dir, /*header_only=*/true), whole);
  }
}

TEST(BadInput, FolderThatIsNone) {
  TempDir dir;
  dir.Write("file", "x");
  EXPECT_EQ(NameOf(Checkpoint::Open(dir / "none").status()), "MOE-S209");
  EXPECT_EQ(NameOf(Checkpoint::Open(dir / "file").status()), "MOE-S209");
  EXPECT_EQ(NameOf(Checkpoint::Open("").status()), "MOE-S209");
  EXPECT_EQ(NameOf(Checkpoint::Open(std::string(".\0.", 3)).status()),
            "MOE-S209");
  EXPECT_EQ(NameOf(ReadConfig(dir / "none").status()), "MOE-C101");
}

}  // namespace
}  // namespace moe
