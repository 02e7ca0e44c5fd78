// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "lib/core/status_macros.h"

namespace moe {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Every "MOE-", capital letter, three digits of |text|.
std::vector<std::string> CodesIn(const std::string& text) {
  auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  std::vector<std::string> out;
  for (size_t at = text.find("MOE-"); at != text.npos && at + 8 <= text.size();
       at = text.find("MOE-", at + 1))
    if (text[at + 4] >= 'A' && text[at + 4] <= 'Z' && digit(at + 5) &&
        digit(at + 6) && digit(at + 7))
      out.push_back(text.substr(at, 8));
  return out;
}

TEST(ErrorCodes, EveryCodeIsDocumentedAndUnique) {
  const std::set<int> exits = {1, 2, 3, 4, 5, 6, 7, 70, 75, 130};
  std::set<std::string> names;
  std::map<std::string, std::string> titles;
  for (const CodeInfo& info : AllCodes()) {
    SCOPED_TRACE(info.name);
    EXPECT_TRUE(names.insert(info.name).second);
    EXPECT_EQ(CodesIn(info.name), std::vector<std::string>{info.name});
    EXPECT_TRUE(exits.count(info.exit)) << info.exit;
    const std::string title = info.title, page = info.page;
    EXPECT_TRUE(titles.emplace(title, info.name).second) << titles[title];
    EXPECT_GE(title.size(), 6u);
    EXPECT_LE(title.size(), 60u);
    EXPECT_THAT(title, Not(EndsWith(".")));
    EXPECT_GE(page.size(), 40u);
    EXPECT_TRUE(page.back() == '.' || page.back() == '`') << page;
    EXPECT_TRUE(page.find('\n') == page.npos);
    EXPECT_EQ(FindCode(info.name), &info);
    EXPECT_EQ(&InfoOf(info.code), &info);
  }
  EXPECT_GE(names.size(), 100u);
}

// A code that a text or a test names must exist.
TEST(ErrorCodes, EveryCodeNamedInTheSourcesExists) {
  namespace fs = std::filesystem;
  int seen = 0;
  for (const char* root :
       {"lib", "runtime", "tools", "passes", "dialect", "test", "README.md"}) {
    if (!fs::exists(root)) continue;
    std::vector<fs::path> files;
    if (fs::is_regular_file(root))
      files.push_back(root);
    else
      for (const auto& entry : fs::recursive_directory_iterator(root))
        if (entry.is_regular_file() && entry.file_size() < 400000)
          files.push_back(entry.path());
    for (const fs::path& file : files) {
      std::ifstream in(file, std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      for (const std::string& code : CodesIn(text)) {
        ++seen;
        EXPECT_TRUE(FindCode(code) || code == "MOE-Z999")
            << code << " in " << file;
      }
    }
  }
  EXPECT_GT(seen, 0) << "run from the root of the repository";
}

TEST(Errors, FindCodeTakesShortAndLowerCaseNames) {
  ASSERT_NE(FindCode("S104"), nullptr);
  EXPECT_EQ(FindCode("s104"), FindCode("MOE-S104"));
  EXPECT_EQ(FindCode("moe-S104"), FindCode("MOE-S104"));
  EXPECT_EQ(FindCode("MOE-Z999"), nullptr);
  EXPECT_EQ(FindCode(""), nullptr);
}

TEST(Errors, ExplainPageIsWrapped) {
  const std::string page = ExplainPage(*FindCode("S104"));
  EXPECT_THAT(page, StartsWith("MOE-S104: tensor ends after the file (exit "
                               "code 3)\n\n"));
  EXPECT_THAT(page, EndsWith(".\n"));
  for (size_t at = 0; at < page.size();) {
    const size_t end = page.find('\n', at);
    EXPECT_LE(end - at, 78u);
    at = end + 1;
  }
}

TEST(Errors, CarriesCodeAndExit) {
  const absl::Status status =
      Error(Code::S104, "m.safetensors", ": tensor '", std::string("a.b"),
            "' ends at byte ", 900, " but the file has ", uint64_t{512}, '.');
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(CodeOf(status), Code::S104);
  EXPECT_TRUE(HasCode(status, Code::S104));
  EXPECT_FALSE(HasCode(status, Code::S105));
  EXPECT_EQ(ExitCode(status), kExitBadInput);
  EXPECT_EQ(FormatError("moe-run", status),
            "moe-run: error[MOE-S104]: m.safetensors: tensor 'a.b' ends at "
            "byte 900 but the file has 512.");
  EXPECT_EQ(ExitCode(absl::OkStatus()), 0);
  EXPECT_FALSE(HasCode(absl::OkStatus(), Code::S104));
}

TEST(Errors, StatusesWithoutCodeGetOne) {
  EXPECT_EQ(CodeOf(absl::InternalError("x")), Code::I002);
  EXPECT_EQ(ExitCode(absl::InternalError("x")), kExitBug);
  EXPECT_EQ(ExitCode(absl::ResourceExhaustedError("x")), kExitResources);
  EXPECT_EQ(ExitCode(absl::NotFoundError("x")), kExitFailed);
}

TEST(Errors, ContextKeepsTheCode) {
  const absl::Status status = WithContext(Error(Code::M106, "bad"), "out.moe");
  EXPECT_EQ(CodeOf(status), Code::M106);
  EXPECT_EQ(status.message(), "out.moe: bad");
  EXPECT_TRUE(WithContext(absl::OkStatus(), "x").ok());
}

TEST(Errors, JoinsEveryKindOfPart) {
  EXPECT_EQ(Joined("a", 'b', std::string("c"), std::string_view("d"),
                   absl::string_view("e"), 1, -2L, 1.5, true),
            "abcde1-21.5true");
}

TEST(Errors, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(Escaped("a\nb\tc\r\x1b[31m\x7f"), "a\\nb\\tc\\r\\x1b[31m\\x7f");
  EXPECT_EQ(Escaped("\xff\xc0\x80"), "\\xff\\xc0\\x80");
  EXPECT_EQ(Escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a lone surrogate
  EXPECT_EQ(Escaped("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"),
            "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
  EXPECT_EQ(Escaped("a\xe2\x80\xae"), "a\\u{202e}");  // right-to-left override
  EXPECT_EQ(Escaped("\xc2\x9b"), "\\u{009b}");        // a one-byte CSI
  EXPECT_EQ(Escaped("cut\xe2\x80"), "cut\\xe2\\x80");
  EXPECT_TRUE(IsUtf8("gr\xc3\xbc\xc3\x9f"));
  EXPECT_FALSE(IsUtf8("\xf4\x90\x80\x80"));
}

TEST(Errors, QuotedShortensInTheMiddle) {
  EXPECT_EQ(Quoted("a.b"), "'a.b'");
  EXPECT_EQ(Quoted(""), "''");
  const std::string quoted = Quoted(std::string(500, 'a') + "z", 21);
  EXPECT_EQ(quoted, "'aaaaaaaaaa...aaaaaaaz'");
  for (size_t n : {1u, 30u, 79u, 80u, 81u, 160u, 161u, 5000u}) {
    std::string text;
    while (text.size() < n) text += "\xc3\xbc";
    EXPECT_LE(Quoted(text).size(), 82u);
    EXPECT_TRUE(IsUtf8(Quoted(text))) << n;
    EXPECT_LE(Quoted(std::string(n, '\n')).size(), 82u);
  }
}

TEST(Errors, ShownPathKeepsTheEnd) {
  EXPECT_EQ(ShownPath("a/b"), "a/b");
  const std::string shown = ShownPath(std::string(300, 'd') + "/m.safetensors");
  EXPECT_THAT(shown, StartsWith("..."));
  EXPECT_THAT(shown, EndsWith("d/m.safetensors"));
  EXPECT_LE(shown.size(), 100u);
}

TEST(Errors, OneLineOfAtMost300Bytes) {
  std::string text = "first\nsecond\x1b";
  while (text.size() < 1000) text += "\xe2\x82\xac";
  const std::string line = FormatError("moe-run", Error(Code::F106, text));
  EXPECT_LE(line.size(), 300u);
  EXPECT_GE(line.size(), 296u);
  EXPECT_THAT(line, EndsWith("..."));
  EXPECT_EQ(line.find('\n'), line.npos);
  EXPECT_TRUE(IsUtf8(line));
}

TEST(Errors, JsonFormHasEverything) {
  const std::string line =
      FormatErrorJson("moe-run", Error(Code::S104, "a\"b\n\xff"));
  EXPECT_EQ(line.find('\n'), line.npos);
  const auto parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["tool"], "moe-run");
  EXPECT_EQ(parsed["severity"], "error");
  EXPECT_EQ(parsed["code"], "MOE-S104");
  EXPECT_EQ(parsed["exit"], 3);
  EXPECT_EQ(parsed["title"], "tensor ends after the file");
  EXPECT_THAT(parsed["message"].get<std::string>(), HasSubstr("a\"b\n"));
}

absl::StatusOr<int> Half(int value) {
  if (value % 2) return Error(Code::U103, value, " is odd");
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  ASSIGN_OR_RETURN(const int half, Half(value));
  ASSIGN_OR_RETURN(int quarter, Half(half));
  RETURN_IF_ERROR(absl::OkStatus());
  return quarter;
}

TEST(Errors, MacrosPassErrorsOn) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_TRUE(HasCode(Quarter(6).status(), Code::U103));
}

}  // namespace
}  // namespace moe
