// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Command lines, nesting, reproducers, progress.
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/core/errors.h"
#include "lib/driver/crash.h"
#include "lib/driver/flags.h"
#include "lib/driver/nesting.h"
#include "lib/driver/progress.h"

namespace mlir::moe {
namespace {

using ::moe::Code;
using ::moe::HasCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::vector<std::string>> Parsed(
    std::vector<const char*> arguments, std::string& value, bool& toggle) {
  arguments.insert(arguments.begin(), "tool");
  auto set = [&](llvm::StringRef given) {
    value += given.str() + ";";
    return given == "bad" ? ::moe::Error(Code::U103, "bad value")
                          : absl::OkStatus();
  };
  const std::vector<Flag> flags = {{"output", set},
                                   {"o", set},
                                   {"toggle",
                                    [&](llvm::StringRef) {
                                      toggle = true;
                                      return absl::OkStatus();
                                    },
                                    false}};
  return parseFlags(static_cast<int>(arguments.size()), arguments.data(),
                    flags);
}

TEST(Flags, TakesEveryForm) {
  std::string value;
  bool toggle = false;
  auto rest = Parsed({"a", "--output", "1", "--output=2", "-o", "3", "--toggle",
                      "-", "--", "--output"},
                     value, toggle);
  ASSERT_TRUE(rest.ok()) << rest.status().ToString();
  EXPECT_THAT(*rest, ElementsAre("a", "-", "--output"));
  EXPECT_EQ(value, "1;2;3;");
  EXPECT_TRUE(toggle);
}

TEST(Flags, NamesWhatIsWrong) {
  std::string value;
  bool toggle = false;
  auto refusal = [&](std::vector<const char*> arguments) {
    return Parsed(std::move(arguments), value, toggle).status();
  };
  const absl::Status typo = refusal({"--outptu=3"});
  EXPECT_TRUE(HasCode(typo, Code::U101));
  EXPECT_EQ(std::string(typo.message()),
            "unknown flag '--outptu'. Did you mean --output?");
  EXPECT_THAT(std::string(refusal({"--zzz"}).message()),
              HasSubstr("--help lists all"));
  EXPECT_TRUE(HasCode(refusal({"-output", "1"}), Code::U101));
  EXPECT_TRUE(HasCode(refusal({"--o", "1"}), Code::U101));
  EXPECT_TRUE(HasCode(refusal({"--output"}), Code::U102));
  EXPECT_TRUE(HasCode(refusal({"--toggle=1"}), Code::U103));
  EXPECT_TRUE(HasCode(refusal({"--output", "bad"}), Code::U103));
}

TEST(Flags, DescribeThemselves) {
  std::string output, form;
  bool fast = false;
  CommonFlags asked;
  std::vector<Flag> flags = {
      textFlag("output", output, "FILE", "where it goes", 'o'),
      choiceFlag("form", form, {"a", "b"}, std::string(90, 'x') + " y"),
      toggleFlag("fast", fast, "hurry"),
      {"hidden", [](llvm::StringRef) { return absl::OkStatus(); }}};
  const ToolText tool{"tool", "IN", "About.\n", "IN", "what", "End.\n"};
  EXPECT_EQ(helpText(tool, flags),
            "usage: tool IN\n\nAbout.\n\n"
            "  IN                     what\n"
            "  -o, --output FILE      where it goes\n"
            "  --form a|b             " +
                std::string(90, 'x') +
                "\n                         y\n"
                "  --fast                 hurry\n\nEnd.\n");
  EXPECT_EQ(::moe::DumpJson(helpJson(tool, flags)),
            R"({"tool":"tool","arguments":[{"names":["IN"],"help":"what"}],)"
            R"("flags":[{"names":["-o","--output"],"help":"where it goes",)"
            R"("value":"FILE"},{"names":["--form"],"help":")" +
                std::string(90, 'x') +
                R"( y","value":"a|b","allowed":"{a,b}"},)"
                R"({"names":["--fast"],"help":"hurry"}],"commands":[]})");
  const char* words[] = {"tool", "-o", "f", "--form=b", "--fast"};
  EXPECT_TRUE(parseFlags(5, words, flags).ok());
  EXPECT_EQ(output + form, "fb");
  EXPECT_TRUE(fast);
  const char* wrong[] = {"tool", "--form", "c"};
  EXPECT_TRUE(HasCode(parseFlags(3, wrong, flags).status(), Code::U103));
}

TEST(Nesting, CountsBracketsOutsideStringsAndComments) {
  const std::string deep(256, '('), deeper(257, '(');
  EXPECT_TRUE(checkNesting(deep, "a.mlir").ok());
  const absl::Status status = checkNesting("\n\n" + deeper, "a.mlir");
  EXPECT_TRUE(HasCode(status, Code::K104));
  EXPECT_THAT(std::string(status.message()), HasSubstr("a.mlir:3: "));
  EXPECT_TRUE(checkNesting("// " + deeper + "\n" + deep, "").ok());
  EXPECT_TRUE(checkNesting("\"" + deeper + "\\\"" + deeper + "\"", "").ok());
  EXPECT_FALSE(checkNesting("\"\n" + deeper, "").ok());
  std::string flat, mixed;
  for (int i = 0; i < 1000; ++i) flat += "<({[]})> -> >= <= ";
  EXPECT_TRUE(checkNesting(flat, "").ok());
  for (int i = 0; i < 300; ++i) mixed += "(<";
  EXPECT_FALSE(checkNesting(mixed, "").ok());
  // What no `>` closes ends with the bracket around it.
  std::string less;
  for (int i = 0; i < 1000; ++i) less += "(a < b) ";
  EXPECT_TRUE(checkNesting(less, "").ok());
}

TEST(Nesting, RefusesChainsOfMinusAndBytecode) {
  EXPECT_TRUE(HasCode(checkNesting(std::string(300, '-'), ""), Code::K104));
  std::string spaced;
  for (int i = 0; i < 300; ++i) spaced += "- ";
  EXPECT_TRUE(HasCode(checkNesting(spaced, ""), Code::K104));
  EXPECT_TRUE(HasCode(checkNesting("ML\xefR\x01", ""), Code::K101));
  EXPECT_TRUE(checkNesting("", "").ok());
}

TEST(Nesting, FollowsAliases) {
  const auto chain = [](int count, const std::string& step) {
    std::string text = "#a0 = [1]\n";
    for (int i = 0; i < count; ++i) {
      const std::string last = "#a" + std::to_string(i);
      text += "#a" + std::to_string(i + 1) + " = ";
      for (char c : step) text += c == '@' ? last : std::string(1, c);
      text += "\n";
    }
    return text + "module attributes {a = #a" + std::to_string(count) + "}\n";
  };
  EXPECT_TRUE(checkNesting(chain(255, "[@]"), "").ok());
  EXPECT_THAT(std::string(checkNesting(chain(256, "[@]"), "").message()),
              HasSubstr(":257: nested deeper than 256 levels"));
  EXPECT_TRUE(checkNesting(chain(10, "[@, @]"), "").ok());
  EXPECT_THAT(std::string(checkNesting(chain(40, "[@, @]"), "").message()),
              HasSubstr("aliases expand to more than 64 MiB"));
  // Values on several lines, uses of an alias by many, and a new meaning.
  EXPECT_TRUE(checkNesting(chain(200, "[\n  @\n]"), "").ok());
  std::string many = "#m = affine_map<(d0) -> (d0)>\n";
  for (int i = 0; i < 100000; ++i) many += "op {a = #m, b = !moe.plan<#m>}\n";
  EXPECT_TRUE(checkNesting(many, "").ok());
  std::string own = "#m = [1]\n";
  for (int i = 0; i < 300; ++i) own += "#m = [1]\n";
  EXPECT_TRUE(checkNesting(own, "").ok());
}

TEST(Nesting, CountsOperatorsOfOneExpression) {
  const auto sum = [](int count) {
    std::string text = "affine_map<(d0) -> (d0";
    for (int i = 0; i < count; ++i) text += i % 2 ? " + 1" : " mod 2";
    return text + ")>";
  };
  EXPECT_TRUE(checkNesting(sum(4096), "").ok());
  EXPECT_THAT(std::string(checkNesting(sum(4097), "").message()),
              HasSubstr("an expression of more than 4096 operators"));
  // Lists and constants are no expressions.
  std::string list = "dense<[0", lines;
  for (int i = 0; i < 10000; ++i) list += ", -1.0e-5";
  for (int i = 0; i < 10000; ++i) lines += "%c = arith.constant -1 : i32\n";
  EXPECT_TRUE(checkNesting(list + "]>", "").ok());
  EXPECT_TRUE(checkNesting("{" + lines + "}", "").ok());
}

TEST(Crash, TrailerEscapesThePipeline) {
  EXPECT_THAT(reproducerTrailer("builtin.module(x{a=\"b\"})"),
              HasSubstr(R"-(pipeline: "builtin.module(x{a=\22b\22})")-"));
}

TEST(CrashDeathTest, WritesTheReproducerAndNamesTheStep) {
  const std::string folder = ::testing::TempDir();
  EXPECT_EXIT(
      {
        if (chdir(folder.c_str()) != 0) _exit(1);
        installCrashHandlers("tool");
        setReproducer("the program", "tool --again", " -v");
        setCrashStep("pass 'x'");
        raise(SIGSEGV);
      },
      ::testing::ExitedWithCode(70),
      "tool: error\\[MOE-I001\\]: bug in pass 'x'. Reproducer: "
      "repro-[0-9a-f]+.mlir. Run: tool --again repro-[0-9a-f]+.mlir -v\n");
}

TEST(CrashDeathTest, OutOfMemoryIsNoBug) {
  EXPECT_EXIT(
      {
        installCrashHandlers("tool");
        setCrashStep("the parser");
        _exit(::operator new(size_t{1} << 62) == nullptr);
      },
      ::testing::ExitedWithCode(4),
      "tool: error\\[MOE-R101\\]: not enough memory for the parser");
}

TEST(Progress, NamesLongStepsAndTimesAllWhenVerbose) {
  std::vector<std::string> lines;
  {
    Progress progress([&](const std::string& line) { lines.push_back(line); },
                      /*verbose=*/true);
    {
      Progress::Step quick(progress, "quick");
    }
    Progress::Step slow(progress, "slow");
    std::this_thread::sleep_for(std::chrono::milliseconds(1600));
  }
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], HasSubstr("quick: 0.0"));
  EXPECT_EQ(lines[1], "slow ...");
  EXPECT_THAT(lines[2], HasSubstr("slow: 1."));
}

}  // namespace
}  // namespace mlir::moe
