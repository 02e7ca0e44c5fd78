// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace moe {
namespace {

constexpr char kBad[] = "\xEF\xBF\xBD";

TEST(Utf8Stream, HoldsBackUntilComplete) {
  Utf8Stream stream;
  std::string out;
  stream.Push("a\xE2\x82", &out);
  EXPECT_EQ(out, "a");
  stream.Push("\xAC", &out);
  EXPECT_EQ(out, "a\xE2\x82\xAC");
  stream.Push("\xF0\x9F", &out);
  stream.Finish(&out);
  EXPECT_EQ(out, std::string("a\xE2\x82\xAC") + kBad);
}

TEST(Utf8Stream, ReplacesWhatCannotBe) {
  EXPECT_EQ(ToValidUtf8("\x80"), kBad);
  EXPECT_EQ(ToValidUtf8("\xC0\xAF"), std::string(kBad) + kBad);  // overlong
  EXPECT_EQ(ToValidUtf8("\xE0\x80"), std::string(kBad) + kBad);
  EXPECT_EQ(ToValidUtf8("\xED\xA0\x80x"),  // a surrogate
            std::string(kBad) + kBad + kBad + "x");
  EXPECT_EQ(ToValidUtf8("\xE2\x82x"), std::string(kBad) + "x");
  EXPECT_EQ(ToValidUtf8("\xF5"), kBad);
  EXPECT_EQ(ToValidUtf8("\xC3\xC3\xA9"), std::string(kBad) + "\xC3\xA9");
}

TEST(Utf8Stream, CutsDoNotMatter) {
  std::string bytes;
  for (int i = 0; i < 4096; ++i)
    bytes.push_back(static_cast<char>((i * 37 + i / 7 * 101) & 0xFF));
  bytes += "\xE2\x82\xAC\xF0\x9F\x98\x80";
  const std::string whole = ToValidUtf8(bytes);
  for (size_t step : {1u, 2u, 3u, 5u}) {
    Utf8Stream stream;
    std::string out;
    for (size_t at = 0; at < bytes.size(); at += step)
      stream.Push(std::string_view(bytes).substr(at, step), &out);
    stream.Finish(&out);
    EXPECT_EQ(out, whole);
  }
}

TEST(WithoutControls, KeepsTextAndLines) {
  EXPECT_EQ(WithoutControls("a\tb\n\xC3\xA9"), "a\tb\n\xC3\xA9");
  EXPECT_EQ(WithoutControls("\x1B[2J"), std::string(kBad) + "[2J");
  EXPECT_EQ(WithoutControls("\xC2\x9B"), kBad);
}

}  // namespace
}  // namespace moe
