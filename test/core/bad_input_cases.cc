// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "test/core/bad_input_cases.h"

#include <string_view>

#include "test/core/test_files.h"

namespace moe {
namespace {

const char kGood[] = R"("dtype":"U8","shape":[2],"data_offsets":[0,2])";

void AddSafetensors(std::vector<BadInput>& cases) {
  auto raw = [&](std::string name, std::string bytes, std::string code,
                 int exit = 3) {
    cases.push_back({"safetensors " + std::move(name),
                     Reader::kSafetensors,
                     {{"f", std::move(bytes)}},
                     std::move(code),
                     exit});
  };
  // A header and two bytes of data.
  auto header = [&](std::string name, std::string_view text, std::string code,
                    int exit = 3) {
    raw(std::move(name), RawSafetensors(text, "xy"), std::move(code), exit);
  };
  auto tensor = [&](std::string name, std::string_view fields, std::string code,
                    int exit = 3) {
    header(std::move(name), Joined("{\"w\":{", fields, "}}"), std::move(code),
           exit);
  };
  auto entry = [&](std::string name, std::string_view dtype,
                   std::string_view shape, std::string_view offsets,
                   std::string code, int exit = 3) {
    header(std::move(name), "{" + Entry("w", dtype, shape, offsets) + "}",
           std::move(code), exit);
  };

  cases.push_back({"safetensors absent", Reader::kSafetensors, {}, "F101"});
  raw("empty", "", "F103");
  raw("one byte", "x", "S101");
  raw("seven bytes", "1234567", "S101");
  raw("length only", U64(2), "S102");
  raw("length beyond the file", U64(100) + "{}", "S102");
  raw("length of 100 MB", U64(100'000'000) + "{}", "S102");
  raw("length above 100 MB", U64(100'000'001) + "{}", "S103");
  raw("length of 2^64 - 1", U64(~uint64_t{0}) + "{}", "S103");
  raw("length of 2^63", U64(uint64_t{1} << 63) + "{}", "S103");
  raw("length that wraps around", U64(~uint64_t{0} - 7) + "{}", "S103");
  raw("a zip file", "PK\x03\x04" + std::string(60, 'z'), "S103");
  raw("a GGUF file", "GGUF\x03" + std::string(60, '\0'), "S103");
  raw("text", std::string("hello, this is no tensor at all"), "S103");
  raw("header of no bytes", U64(0), "S105");
  raw("header of no bytes, data", U64(0) + "xy", "S105");
  raw("zeros", std::string(64, '\0'), "S105");

  header("array", "[]", "S105");
  header("null", "null", "S105");
  header("number", "1", "S105");
  header("space first", " {}", "S105");
  header("byte order mark first", "\xef\xbb\xbf{}", "S105");
  header("cut short inside", "{\"w\":{\"dtype\":\"U8\"", "J101");
  header("two values", "{}{}", "J101");
  header("zero byte at the end", std::string_view("{}\0", 3), "J101");
  header("bytes that are not UTF-8", "{\"\xff\xfe\":{}}", "J101");
  header("trailing comma", "{\"w\":{},}", "S105");
  header("deep arrays", Joined("{\"w\":{\"shape\":", std::string(70, '[')),
         "S105");
  header("deep objects in a name", "{\"w\":{\"dtype\":{\"a\":{}}}}", "S105");
  header("integer of 100 digits",
         Joined("{\"w\":{\"shape\":[", std::string(100, '9'), "]}}"), "J104");
  header("infinite number", "{\"w\":{\"shape\":[1e999]}}", "J104");

  header("tensor is null", "{\"w\":null}", "S105");
  header("tensor is text", "{\"w\":\"x\"}", "S105");
  header("tensor is an array", "{\"w\":[]}", "S105");
  header("tensor is a number", "{\"w\":1}", "S105");
  tensor("without keys", "", "S105");
  tensor("without dtype", R"("shape":[2],"data_offsets":[0,2])", "S105");
  tensor("without shape", R"("dtype":"U8","data_offsets":[0,2])", "S105");
  tensor("without data_offsets", R"("dtype":"U8","shape":[2])", "S105");
  tensor("with another key", Joined(kGood, ",\"x\":1"), "S105");
  tensor("dtype twice", Joined(kGood, ",\"dtype\":\"U8\""), "J102");
  tensor("dtype number", R"("dtype":1,"shape":[2],"data_offsets":[0,2])",
         "S105");
  tensor("shape text", R"("dtype":"U8","shape":"2","data_offsets":[0,2])",
         "S105");
  tensor("shape null", R"("dtype":"U8","shape":null,"data_offsets":[0,2])",
         "S105");
  tensor("shape of text", R"("dtype":"U8","shape":["2"],"data_offsets":[0,2])",
         "S105");
  tensor("shape nested", R"("dtype":"U8","shape":[[2]],"data_offsets":[0,2])",
         "S105");
  tensor("offsets object", R"("dtype":"U8","shape":[2],"data_offsets":{})",
         "S105");
  entry("shape fraction", "U8", "2.0", "0,2", "S105");
  entry("shape true", "U8", "true", "0,2", "S105");
  entry("no offsets", "U8", "2", "", "S105");
  entry("one offset", "U8", "2", "0", "S105");
  entry("three offsets", "U8", "2", "0,1,2", "S105");
  entry("negative offset", "U8", "2", "-2,0", "S105");
  entry("fractional offset", "U8", "2", "0,2.0", "S105");
  entry("unknown dtype", "F33", "2", "0,2", "S106");
  entry("lower-case dtype", "u8", "2", "0,2", "S106");
  entry("empty dtype", "", "2", "0,2", "S106");
  entry("complex dtype", "C64", "2", "0,16", "S107", 5);
  entry("four-bit dtype", "F4", "4", "0,2", "S107", 5);
  entry("negative dimension", "U8", "-2", "0,2", "S108");
  entry("two negative dimensions", "U8", "-1,-2", "0,2", "S108");
  entry("dimension of 2^63", "U8", "9223372036854775808", "0,2", "S108");
  entry("dimension of 2^64", "U8", "18446744073709551616", "0,2", "J104");
  entry("17 dimensions", "U8", "2,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "0,2",
        "S108");
  entry("elements overflow", "U8", "4294967296,4294967296", "0,2", "S108");
  entry("elements wrap to 2", "U8", "9223372036854775807,2,2", "0,2", "S108");
  entry("bytes overflow", "F64", "2305843009213693952", "0,2", "S108");
  entry("overflow beside a zero", "U8", "0,4294967296,4294967296", "0,0",
        "S108");
  entry("range too short", "U8", "3", "0,2", "S109");
  entry("range too long", "U8", "1", "0,2", "S109");
  entry("empty shape, two bytes", "U8", "", "0,2", "S109");
  entry("dtype larger than its range", "F32", "1", "0,2", "S109");
  entry("end beyond the file", "U8", "3", "0,3", "S104");
  entry("begin beyond the file", "U8", "2", "100,102", "S104");
  entry("end of 2^64 - 1", "U8", "2", "0,18446744073709551615", "S104");
  entry("range reversed", "U8", "2", "2,0", "S115");
  entry("huge begin", "U8", "2", "18446744073709551614,2", "S115");
  entry("hole at the start", "U8", "1", "1,2", "S111");
  entry("hole at the end", "U8", "1", "0,1", "S111");
  header("no tensor but data", "{}", "S111");
  header("overlap",
         "{" + Entry("a", "U8", "2", "0,2") + "," +
             Entry("b", "U8", "1", "1,2") + "}",
         "S110");
  header("same bytes twice",
         "{" + Entry("a", "U8", "2", "0,2") + "," +
             Entry("b", "U8", "2", "0,2") + "}",
         "S110");
  header("one inside another",
         "{" + Entry("a", "U8", "2", "0,2") + "," +
             Entry("b", "U8", "0", "1,1") + "}",
         "S110");
  raw("hole between",
      RawSafetensors("{" + Entry("a", "U8", "1", "0,1") + "," +
                         Entry("b", "U8", "1", "2,3") + "}",
                     "xyz"),
      "S111");
  header("name twice",
         "{" + Entry("a", "U8", "1", "0,1") + "," +
             Entry("a", "U8", "1", "1,2") + "}",
         "S112");
  header("name twice by an escape",
         "{" + Entry("a", "U8", "1", "0,1") + "," +
             Entry("\\u0061", "U8", "1", "1,2") + "}",
         "S112");
  header("empty name", "{" + Entry("", "U8", "2", "0,2") + "}", "S114");
  header("name with a line end", "{" + Entry("a\\n", "U8", "2", "0,2") + "}",
         "S114");
  header("name with a zero", "{" + Entry("a\\u0000b", "U8", "2", "0,2") + "}",
         "S114");
  header("name of 1025 bytes",
         "{" + Entry(std::string(1025, 'n'), "U8", "2", "0,2") + "}", "S114");
  header("metadata text", "{\"__metadata__\":\"x\"}", "S113");
  header("metadata array", "{\"__metadata__\":[]}", "S113");
  header("metadata null", "{\"__metadata__\":null}", "S113");
  header("metadata number", "{\"__metadata__\":{\"a\":1}}", "S113");
  header("metadata nested", "{\"__metadata__\":{\"a\":{}}}", "S113");
  header("metadata of an array", "{\"__metadata__\":{\"a\":[]}}", "S113");
  header("metadata key twice", R"({"__metadata__":{"a":"","a":""}})", "J102");
  header("metadata twice", R"({"__metadata__":{},"__metadata__":{}})", "J102");
}

}  // namespace

std::vector<BadInput> BadInputs() {
  std::vector<BadInput> cases;
  AddSafetensors(cases);
  AddBadFolders(cases);
  AddBadModules(cases);
  return cases;
}

}  // namespace moe
