// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "test/core/test_files.h"

namespace moe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string CodeFor(std::string_view text) {
  return NameOf(ParseJson(text, "t.json").status());
}

std::string MessageFor(std::string_view text) {
  return FormatError("t", ParseJson(text, "t.json").status());
}

TEST(Json, KeepsValuesAndOrder) {
  const std::string text =
      R"({"b":1,"a":[true,null,-5,2.5,"x\u00e9"],"c":{"d":{}},"e":[[],[1]]})";
  const auto parsed = ParseJson(text, "t.json");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(DumpJson(*parsed),
            "{\"b\":1,\"a\":[true,null,-5,2.5,\"x\xc3\xa9\"],\"c\":{\"d\":{}},"
            "\"e\":[[],[1]]}");
  EXPECT_TRUE(ParseJson(" 3 ", "t").ok());
  EXPECT_EQ(ParseJson("18446744073709551615", "t")->get<uint64_t>(),
            18446744073709551615u);
  EXPECT_EQ(ParseJson("-9223372036854775808", "t")->get<int64_t>(),
            std::numeric_limits<int64_t>::min());
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text :
       {"",           " ",       "{",         "[1,]",
        "{\"a\":1,}", "{a:1}",   "{'a':1}",   "[1 2]",
        "nul",        "NaN",     "Infinity",  "-",
        "01",         "1.",      ".5",        "+1",
        "0x10",       "\"a",     "\"\\x\"",   "\"\\ud800\"",
        "\"a\nb\"",   "// c\n1", "/* c */ 1", "1 1",
        "{\"a\"}",    "[1}",     "\"\xff\"",  "\"\xed\xa0\x80\"",
        "]"})
    EXPECT_EQ(CodeFor(text), "MOE-J101") << text;
  EXPECT_EQ(CodeFor(std::string_view("[1\0]", 4)), "MOE-J101");
  EXPECT_EQ(CodeFor(std::string_view("1\0", 2)), "MOE-J101");
}

TEST(Json, NamesFileAndByte) {
  EXPECT_THAT(MessageFor("{\"a\": x}"), HasSubstr("t.json: not valid JSON at "
                                                  "byte 6: "));
  EXPECT_THAT(MessageFor("{\"a\":1,\"a\":2}"),
              HasSubstr("key 'a' comes twice in one object, again at byte 10"));
  EXPECT_THAT(MessageFor("[99999999999999999999]"),
              HasSubstr("integer '99999999999999999999' at byte"));
  const std::string long_bad = "\"" + std::string(5000, 'a') + "\x01\"";
  EXPECT_LE(MessageFor(long_bad).size(), 300u);
}

TEST(Json, RefusesDuplicateKeysOfOneObjectOnly) {
  EXPECT_EQ(CodeFor(R"({"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]})"), "ok");
  EXPECT_EQ(CodeFor(R"({"a":1,"b":2,"a":1})"), "MOE-J102");
  EXPECT_EQ(CodeFor(R"({"a":{"b":{"c":1,"c":1}}})"), "MOE-J102");
  EXPECT_EQ(CodeFor(R"({"a":1,"\u0061":2})"), "MOE-J102");
  EXPECT_EQ(CodeFor(R"({"a":{"x":1},"b":{"x":1,"x":2}})"), "MOE-J102");
  EXPECT_EQ(CodeFor(R"({"":1,"":1})"), "MOE-J102");
}

TEST(Json, LimitsDepth) {
  auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(CodeFor(nested(64)), "ok");
  EXPECT_EQ(CodeFor(nested(65)), "MOE-J103");
  EXPECT_EQ(CodeFor(std::string(1000000, '[')), "MOE-J103");
  std::string objects;
  for (int i = 0; i < 65; ++i) objects += "{\"a\":";
  EXPECT_EQ(CodeFor(objects), "MOE-J103");
}

TEST(Json, RefusesNumbersThatDoNotFit) {
  EXPECT_EQ(CodeFor("18446744073709551616"), "MOE-J104");
  EXPECT_EQ(CodeFor("-9223372036854775809"), "MOE-J104");
  EXPECT_EQ(CodeFor("1e309"), "MOE-J104");
  EXPECT_EQ(CodeFor("-1e309"), "MOE-J104");
  EXPECT_EQ(CodeFor("[" + std::string(1000, '9') + "]"), "MOE-J104");
  EXPECT_EQ(CodeFor("1e308"), "ok");
  EXPECT_EQ(CodeFor("1e-400"), "ok");
}

TEST(Json, LimitsSize) {
  const std::string text = "[" + std::string(100, ' ') + "]";
  EXPECT_EQ(NameOf(ParseJson(text, "t", {.max_bytes = 101}).status()),
            "MOE-J105");
  EXPECT_TRUE(ParseJson(text, "t", {.max_bytes = 102}).ok());
  TempDir dir;
  dir.Write("a.json", text);
  EXPECT_EQ(NameOf(ReadJsonFile(dir / "a.json", {.max_bytes = 101}).status()),
            "MOE-J105");
  EXPECT_TRUE(ReadJsonFile(dir / "a.json").ok());
  EXPECT_EQ(NameOf(ReadJsonFile(dir / "b.json").status()), "MOE-F101");
}

TEST(Json, ManyKeysAreNotQuadratic) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i)
    text += Joined(i ? "," : "", "\"k", i, "\":", i);
  text += "}";
  const auto parsed = ParseJson(text, "t");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->size(), 200000u);
}

TEST(JsonFields, ReadsTypes) {
  const Json object = *ParseJson(
      R"({"i":7,"n":2.5,"b":true,"s":"x","is":[1,2],"ns":[1,2.5],"ss":["a"],
          "o":{"k":1},"null":null,"big":18446744073709551615,"extra":0})",
      "t");
  JsonFields fields(object, "t.json", kConfigCodes);
  ASSERT_TRUE(fields.Check().ok());
  EXPECT_EQ(*fields.Int("i"), 7);
  EXPECT_EQ(*fields.Int("i", 7, 7), 7);
  EXPECT_EQ(*fields.IntOr("none", 3), 3);
  EXPECT_EQ(*fields.IntOr("null", 3), 3);
  EXPECT_EQ(*fields.Number("i"), 7.0);
  EXPECT_EQ(*fields.Number("n"), 2.5);
  EXPECT_EQ(*fields.NumberOr("none", 0.5), 0.5);
  EXPECT_TRUE(*fields.Bool("b"));
  EXPECT_FALSE(*fields.BoolOr("none", false));
  EXPECT_EQ(*fields.String("s"), "x");
  EXPECT_EQ(*fields.StringOr("none", "d"), "d");
  EXPECT_THAT(*fields.Ints("is"), ElementsAre(1, 2));
  EXPECT_THAT(*fields.Numbers("ns"), ElementsAre(1.0, 2.5));
  EXPECT_THAT(*fields.Strings("ss"), ElementsAre("a"));
  EXPECT_TRUE(fields.IntsOrEmpty("none")->empty());
  EXPECT_TRUE(fields.NumbersOrEmpty("none")->empty());
  EXPECT_TRUE(fields.StringsOrEmpty("none")->empty());
  EXPECT_EQ((*fields.Object("o"))->size(), 1u);
  EXPECT_EQ((*fields.Array("is"))->size(), 2u);
  EXPECT_TRUE(fields.Has("i"));
  EXPECT_FALSE(fields.Has("null"));
  EXPECT_EQ(fields.Find("none"), nullptr);
  EXPECT_THAT(fields.Unread(), ElementsAre("big", "extra"));
  fields.Ignore("extra");
  EXPECT_THAT(fields.Unread(), ElementsAre("big"));
}

TEST(JsonFields, NamesTheFault) {
  const Json object =
      *ParseJson(R"({"i":7,"f":1e3,"s":"x","is":[1,"a"],"o":{},"a":[],
                     "big":18446744073709551615})",
                 "t");
  JsonFields fields(object, "t.json", kConfigCodes);
  EXPECT_EQ(NameOf(fields.Int("none").status()), "MOE-C103");
  EXPECT_EQ(NameOf(fields.Int("s").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.Int("f").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.Int("big").status()), "MOE-C105");
  EXPECT_EQ(NameOf(fields.Int("i", 8).status()), "MOE-C105");
  EXPECT_EQ(NameOf(fields.IntOr("i", 1, 0, 6).status()), "MOE-C105");
  EXPECT_EQ(NameOf(fields.Number("s").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.Bool("i").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.BoolOr("i", true).status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.String("i").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.Ints("is").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.Ints("i").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.Numbers("o").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.Strings("is").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.Object("a").status()), "MOE-C104");
  EXPECT_EQ(NameOf(fields.Array("o").status()), "MOE-C104");
  EXPECT_EQ(FormatError("t", fields.Int("s").status()),
            "t: error[MOE-C104]: t.json: key 's': expected an integer, found "
            "text 'x'.");
  EXPECT_EQ(FormatError("t", fields.Int("i", 8, 9).status()),
            "t: error[MOE-C105]: t.json: key 'i': 7 is not between 8 and 9.");

  const Json array = Json::array();
  JsonFields none(array, "t.json", kManifestCodes);
  EXPECT_EQ(NameOf(none.Check()), "MOE-M109");
  EXPECT_EQ(NameOf(none.Int("i").status()), "MOE-M109");
  EXPECT_FALSE(none.Has("i"));
  EXPECT_TRUE(none.Unread().empty());
}

}  // namespace
}  // namespace moe
