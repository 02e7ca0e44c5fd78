// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/hash.h"
#include "lib/core/module_file.h"
#include "test/core/bad_input_cases.h"
#include "test/core/test_files.h"

namespace moe {
namespace {

// A module of |rows| (name, offset, size, bytes to hash) with a header hash that
// fits, followed by |rest|.
struct Row {
  std::string name;
  uint64_t offset;
  uint64_t size;
  std::string hashed;
};
std::string RawModule(const std::vector<Row>& rows, const std::string& rest) {
  std::string out = std::string(kModuleMagic) + U32(1) +
                    U32(static_cast<uint32_t>(rows.size())) +
                    U64(24 + rows.size() * 64 + 16 + rest.size());
  auto append = [&](const Hash128& hash) {
    out.append(reinterpret_cast<const char*>(hash.bytes.data()), 16);
  };
  for (const Row& row : rows) {
    std::string name = row.name;
    name.resize(32, '\0');
    out += name + U64(row.offset) + U64(row.size);
    append(HashText(row.hashed));
  }
  append(HashText(out));
  return out + rest;
}

}  // namespace

void AddBadModules(std::vector<BadInput>& cases) {
  auto raw = [&](std::string name, std::string bytes, std::string code,
                 int exit = 3) {
    cases.push_back({"module " + std::move(name),
                     Reader::kModule,
                     {{"f", std::move(bytes)}},
                     std::move(code),
                     exit});
  };
  auto table = [&](std::string name, const std::vector<Row>& rows,
                   const std::string& rest, std::string code) {
    raw("table " + std::move(name), RawModule(rows, rest), std::move(code));
  };
  // One section, "manifest", as it should be: header 104 bytes, section at 128.
  auto manifest = [&](std::string name, const std::string& text,
                      std::string code) {
    raw("manifest " + std::move(name),
        RawModule({{"manifest", 128, text.size(), text}},
                  std::string(24, '\0') + text),
        std::move(code));
  };
  auto edit = [&](std::string name, size_t at, const std::string& bytes,
                  std::string code) {
    const std::string text = R"({"format":1,"abi":1})";
    std::string module = RawModule({{"manifest", 128, text.size(), text}},
                                   std::string(24, '\0') + text);
    raw("edited " + std::move(name), module.replace(at, bytes.size(), bytes),
        std::move(code));
  };
  const std::string text = R"({"format":1,"abi":1})";
  const std::string gap(24, '\0');
  const uint64_t size = text.size();

  cases.push_back({"module absent", Reader::kModule, {}, "F101"});
  raw("empty", "", "F103");
  raw("of another kind", "ML\xefR bytecode", "M101");
  raw("ELF",
      "\x7f"
      "ELF\x02\x01\x01" +
          std::string(100, '\0'),
      "M101");
  raw("line ends changed", "MOEMOD\n" + std::string(100, '\0'), "M101");
  raw("magic only", "MOEMOD\r\n", "M103");
  raw("magic cut short", "MOEMO", "M103");
  raw("39 bytes", std::string("MOEMOD\r\n") + std::string(31, '\0'), "M103");
  raw("no sections", RawModule({}, ""), "M105");
  edit("version 2", 8, U32(2), "M102");
  edit("version 0", 8, U32(0), "M102");
  edit("size", 16, U64(1), "M103");
  edit("size of 2^64 - 1", 16, U64(~uint64_t{0}), "M103");
  edit("count", 12, U32(2), "M105");
  edit("count of 257", 12, U32(257), "M105");
  edit("count of 2^32 - 1", 12, U32(~uint32_t{0}), "M105");
  edit("name", 24, "n", "M104");
  edit("header hash", 90, "zz", "M104");
  edit("gap", 110, "x", "M107");
  edit("manifest byte", 130, "g", "M106");

  table("name empty", {{"", 128, size, text}}, gap + text, "M105");
  table("name upper case", {{"Manifest", 128, size, text}}, gap + text, "M105");
  table("name escapes", {{"\x1b[31m", 128, size, text}}, gap + text, "M105");
  table("name with a path", {{"../manifest", 128, size, text}}, gap + text,
        "M105");
  table("name of 32 bytes", {{std::string(32, 'n'), 128, size, text}},
        gap + text, "M105");
  table("bytes after the name",
        {{std::string("manifest\0x", 10), 128, size, text}}, gap + text,
        "M105");
  table("name twice",
        {{"manifest", 192, size, text}, {"manifest", 256, size, text}},
        std::string(24, '\0') + text + std::string(44, '\0') + text, "M105");
  table("offset inside the header", {{"manifest", 64, size, text}}, gap + text,
        "M105");
  table("offset of zero", {{"manifest", 0, size, text}}, gap + text, "M105");
  table("offset not aligned", {{"manifest", 104, size, text}}, text, "M105");
  table("offset too far", {{"manifest", 192, size, text}}, gap + text, "M105");
  table("offset of 2^64 - 64", {{"manifest", ~uint64_t{0} - 63, size, text}},
        gap + text, "M105");
  table("size too large", {{"manifest", 128, size + 1, text}}, gap + text,
        "M105");
  table("size of 2^64 - 1", {{"manifest", 128, ~uint64_t{0}, text}}, gap + text,
        "M105");
  table("size too small",
        {{"manifest", 128, size - 1, text.substr(0, size - 1)}}, gap + text,
        "M105");
  table("bytes at the end", {{"manifest", 128, size, text}}, gap + text + "x",
        "M105");
  table("sections share bytes",
        {{"manifest", 192, size, text}, {"copy", 192, size, text}},
        std::string(24, '\0') + text, "M105");
  table("hash of other bytes", {{"manifest", 128, size, "x"}}, gap + text,
        "M106");
  table("gap not zero", {{"manifest", 128, size, text}},
        std::string(23, '\0') + "x" + text, "M107");
  table("no manifest", {{"code", 128, size, text}}, gap + text, "M108");

  manifest("empty", "", "J101");
  manifest("not JSON", "{", "J101");
  manifest("zero byte", std::string("{}\0", 3), "J101");
  manifest("array", "[]", "M109");
  manifest("without format", R"({"abi":1})", "M109");
  manifest("without abi", R"({"format":1})", "M109");
  manifest("format text", R"({"format":"1","abi":1})", "M109");
  manifest("format negative", R"({"format":-1,"abi":1})", "M109");
  manifest("producer number", R"({"format":1,"abi":1,"producer":1})", "M109");
  manifest("key twice", R"({"format":1,"abi":1,"abi":1})", "J102");
  manifest("deep", R"({"format":1,"abi":1,"a":)" + std::string(80, '['),
           "J103");
  manifest("another format", R"({"format":2,"abi":1})", "M110");
  manifest("another abi", R"({"format":1,"abi":0})", "M110");
}

}  // namespace moe
