// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "test/core/bad_input_cases.h"
#include "test/core/test_files.h"

namespace moe {
namespace {

void AddCheckpoints(std::vector<BadInput>& cases) {
  const std::string a =
      RawSafetensors("{" + Entry("a", "U8", "1", "0,1") + "}", "x");
  const std::string b =
      RawSafetensors("{" + Entry("b", "U8", "1", "0,1") + "}", "y");
  const std::string both =
      RawSafetensors("{" + Entry("a", "U8", "1", "0,1") + "," +
                         Entry("b", "U8", "1", "1,2") + "}",
                     "xy");
  const std::string index_name = "model.safetensors.index.json";
  auto folder = [&](std::string name, std::map<std::string, std::string> files,
                    std::string code, int exit = 3) {
    cases.push_back({"folder " + std::move(name), Reader::kCheckpoint,
                     std::move(files), std::move(code), exit});
  };
  auto index = [&](std::string name, std::string text, std::string code) {
    folder("index " + std::move(name),
           {{"a.safetensors", a}, {index_name, std::move(text)}},
           std::move(code));
  };
  auto shard = [&](std::string name, std::string_view file, std::string code) {
    index("shard " + std::move(name),
          Joined("{\"weight_map\":{\"a\":\"", file, "\"}}"), std::move(code));
  };

  folder("without weights", {{"config.json", "{}"}}, "S201");
  folder("with a pickle", {{"pytorch_model.bin", "x"}}, "S201");
  folder("with an empty file", {{"model.safetensors", ""}}, "F103");
  folder("with a link", {{"model.safetensors", "->other"}, {"other", a}},
         "F104");
  folder("with a link to nothing", {{"model.safetensors", "->no"}}, "F104");
  folder("with a link to a device", {{"model.safetensors", "->/dev/zero"}},
         "F104");
  folder("with a damaged file", {{"model.safetensors", a + "z"}}, "S111");
  folder("with a linked index", {{index_name, "->other"}, {"other", "{}"}},
         "F104");

  index("empty", "", "F103");
  index("not JSON", "{", "J101");
  index("array", "[]", "S202");
  index("text", "\"x\"", "S202");
  index("number", "3", "S202");
  index("without weight_map", "{\"metadata\":{}}", "S202");
  index("weight_map elsewhere", R"({"metadata":{"weight_map":{"a":"a"}}})",
        "S202");
  index("weight_map empty", "{\"weight_map\":{}}", "S202");
  index("weight_map null", "{\"weight_map\":null}", "S202");
  index("weight_map array", "{\"weight_map\":[]}", "S202");
  index("weight_map text", "{\"weight_map\":\"x\"}", "S202");
  index("weight_map of numbers", "{\"weight_map\":{\"a\":1}}", "S202");
  index("weight_map of objects", "{\"weight_map\":{\"a\":{}}}", "S202");
  index("weight_map of arrays", "{\"weight_map\":{\"a\":[]}}", "S202");
  index("weight_map twice",
        R"({"weight_map":{"a":"a.safetensors"},"weight_map":{}})", "J102");
  index("tensor twice",
        R"({"weight_map":{"a":"a.safetensors","a":"a.safetensors"}})", "J102");
  index("deep", Joined("{\"metadata\":", std::string(100, '[')), "J103");

  shard("with a path", "sub/a.safetensors", "S203");
  shard("above", "../a.safetensors", "S203");
  shard("absolute", "/etc/a.safetensors", "S203");
  shard("with a backslash", "sub\\\\a.safetensors", "S203");
  shard("with a zero", "a.safetensors\\u0000.safetensors", "S203");
  shard("with a line end", "a\\n.safetensors", "S203");
  shard("hidden", ".a.safetensors", "S203");
  shard("dots", "..", "S203");
  shard("of no name", "", "S203");
  shard("of another kind", "a.bin", "S203");
  shard("with a long name", std::string(300, 'a') + ".safetensors", "S203");
  shard("absent", "z.safetensors", "S204");

  std::string many = "{\"weight_map\":{";
  for (int i = 0; i <= 10000; ++i)
    many += Joined(i ? "," : "", "\"t", i, "\":\"", i, ".safetensors\"");
  index("of 10001 shards", many + "}}", "S205");

  folder("with a linked shard",
         {{"a.safetensors", "->real"},
          {"real", a},
          {index_name, R"({"weight_map":{"a":"a.safetensors"}})"}},
         "F104");
  folder("with an empty shard",
         {{"a.safetensors", ""},
          {index_name, R"({"weight_map":{"a":"a.safetensors"}})"}},
         "F103");
  folder("with a tensor missing",
         {{"a.safetensors", a},
          {index_name,
           R"({"weight_map":{"a":"a.safetensors","b":"a.safetensors"}})"}},
         "S206");
  folder("with shards exchanged",
         {{"a.safetensors", a},
          {"b.safetensors", b},
          {index_name,
           R"({"weight_map":{"b":"a.safetensors","a":"b.safetensors"}})"}},
         "S206");
  folder("with a tensor in two shards",
         {{"a.safetensors", a},
          {"b.safetensors", both},
          {index_name,
           R"({"weight_map":{"a":"a.safetensors","b":"b.safetensors"}})"}},
         "S207");
  folder("with a tensor too many",
         {{"b.safetensors", both},
          {index_name, R"({"weight_map":{"b":"b.safetensors"}})"}},
         "S208");
}

void AddConfigs(std::vector<BadInput>& cases) {
  auto config = [&](std::string name, std::string text, std::string code) {
    cases.push_back({"config " + std::move(name),
                     Reader::kConfig,
                     {{"config.json", std::move(text)}},
                     std::move(code)});
  };
  cases.push_back({"config absent", Reader::kConfig, {{"x", "y"}}, "C101"});
  cases.push_back({"config link",
                   Reader::kConfig,
                   {{"config.json", "->x"}, {"x", "{}"}},
                   "F104"});
  config("empty", "", "F103");
  config("array", "[]", "C102");
  config("null", "null", "C102");
  config("number", "1", "C102");
  config("not JSON", "model_type = x", "J101");
  config("with a comment", "{} // x", "J101");
  config("with NaN", "{\"a\":NaN}", "J101");
  config("with a zero byte", std::string("{\"a\":1}\0", 8), "J101");
  config("in UTF-16", std::string("\xff\xfe{\0}\0", 6), "J101");
  config("cut short", "{\"a\":[1,2", "J101");
  config("with a key twice", R"({"a":1,"b":{"c":1},"a":2})", "J102");
  config("with a nested key twice", R"({"b":{"c":1,"c":2}})", "J102");
  config("too deep", Joined("{\"a\":", std::string(5000, '[')), "J103");
  config("with a huge integer", "{\"a\":123456789012345678901}", "J104");
  config("with a huge number", "{\"a\":1e400}", "J104");
  config("too large", "{\"a\":\"" + std::string(5 << 20, 'x') + "\"}", "J105");
}

}  // namespace

void AddBadFolders(std::vector<BadInput>& cases) {
  AddCheckpoints(cases);
  AddConfigs(cases);
}

}  // namespace moe
