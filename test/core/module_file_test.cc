// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/module_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "test/core/test_files.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

std::string SmallModule() {
  ModuleWriter writer;
  writer.SetManifest(Json{{"format", 1}, {"abi", 1}, {"name", "tiny"}});
  const std::string code =
                        "\x7f"
                        "ELF, not really",
                    more(130, 'm');
  writer.AddSection("cpu.x86-64-v3", BytesOf(code));
  writer.AddSection("empty", {});
  writer.AddSection("ptx.sm_90a", BytesOf(more));
  return *writer.Serialize();
}

std::string CodeFor(const std::string& bytes) {
  return NameOf(ModuleFile::Parse(BytesOf(bytes), "m.moe").status());
}

TEST(ModuleFile, RoundTrips) {
  TempDir dir;
  ModuleWriter writer;
  writer.SetManifest(Json{{"format", 1}, {"abi", 1}, {"name", "tiny"}});
  const std::string code(1000, 'c');
  writer.AddSection("cpu.x86-64-v3", BytesOf(code));
  ASSERT_TRUE(writer.Write(dir / "a.moe").ok());
  auto opened = ModuleFile::Open(dir / "a.moe");
  ASSERT_TRUE(opened.ok()) << opened.status();
  const ModuleFile module = *std::move(opened);
  ASSERT_EQ(module.sections().size(), 2u);
  EXPECT_EQ(module.sections()[0].name, "manifest");
  const ModuleSection* section = module.Find("cpu.x86-64-v3");
  ASSERT_NE(section, nullptr);
  EXPECT_EQ(section->bytes.size(), 1000u);
  EXPECT_EQ(section->offset % 64, 0u);
  EXPECT_EQ(section->hash, HashText(code));
  EXPECT_EQ(module.Find("none"), nullptr);
  EXPECT_EQ(module.manifest()["name"], "tiny");
  EXPECT_EQ(module.size(), dir.Read("a.moe").size());
  EXPECT_EQ(*writer.Serialize(), dir.Read("a.moe"));
}

TEST(ModuleFile, LayoutIsTheOneWrittenDown) {
  const std::string bytes = SmallModule();
  EXPECT_EQ(bytes.substr(0, 8), "MOEMOD\r\n");
  EXPECT_EQ(bytes.substr(8, 4), U32(1));
  EXPECT_EQ(bytes.substr(12, 4), U32(4));
  EXPECT_EQ(bytes.substr(16, 8), U64(bytes.size()));
  EXPECT_EQ(bytes.substr(24, 9), std::string("manifest\0", 9));
  // 24 + 4 * 64 + 16 = 296, so the first section starts at 320.
  EXPECT_EQ(bytes.substr(24 + 32, 8), U64(320));
  EXPECT_EQ(bytes.substr(320, 1), "{");
}

TEST(ModuleFile, EveryChangedBitIsNoticed) {
  const std::string good = SmallModule();
  ASSERT_EQ(CodeFor(good), "ok");
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    ASSERT_NE(CodeFor(bad), "ok") << "bit " << bit;
  }
}

TEST(ModuleFile, EveryOtherByteIsNoticed) {
  const std::string good = SmallModule();
  for (size_t at = 0; at < good.size(); ++at)
    for (int change : {0x55, 0xaa, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ change);
      ASSERT_NE(CodeFor(bad), "ok") << "byte " << at;
    }
}

TEST(ModuleFile, EveryOtherLengthIsNoticed) {
  const std::string good = SmallModule();
  for (size_t size = 0; size < good.size(); ++size)
    ASSERT_NE(CodeFor(good.substr(0, size)), "ok") << size;
  EXPECT_EQ(CodeFor(good + std::string(1, '\0')), "MOE-M103");
  EXPECT_EQ(CodeFor(good + good), "MOE-M103");
}

TEST(ModuleFile, AnotherVersionNamesBoth) {
  std::string bytes = SmallModule();
  bytes.replace(8, 4, U32(7));
  const absl::Status status =
      ModuleFile::Parse(BytesOf(bytes), "m.moe").status();
  EXPECT_EQ(FormatError("moe-run", status),
            "moe-run: error[MOE-M102]: m.moe: is a module of version 7; this "
            "program reads version 1. Compile it again: moe-compile MODEL.mlir "
            "-o m.moe");
  EXPECT_EQ(ExitCode(status), 3);
}

TEST(ModuleFile, AnotherAbiNamesBothAndTheProducer) {
  ModuleWriter writer;
  writer.SetManifest(
      Json{{"format", 1}, {"abi", 9}, {"producer", "moe-compile 4.2.0"}});
  const std::string bytes = *writer.Serialize();
  const absl::Status status =
      ModuleFile::Parse(BytesOf(bytes), "m.moe").status();
  EXPECT_EQ(NameOf(status), "MOE-M110");
  const std::string line = FormatError("moe-run", status);
  EXPECT_THAT(line, HasSubstr("made by 'moe-compile 4.2.0' with format 1 and "
                              "ABI 9; this program runs format 1 and ABI 1. "
                              "Compile it again"));
}

TEST(ModuleWriter, RefusesWhatItsReaderWould) {
  auto code = [](auto add) {
    ModuleWriter writer;
    writer.SetManifest(Json{{"format", 1}, {"abi", 1}});
    add(writer);
    return NameOf(writer.Serialize().status());
  };
  for (const char* name : {"", "UPPER", "a b", "a/b", "manifest",
                           "0123456789012345678901234567890"
                           "1"})
    EXPECT_EQ(code([&](ModuleWriter& w) { w.AddSection(name, {}); }),
              "MOE-I002")
        << name;
  EXPECT_EQ(code([](ModuleWriter& w) {
              w.AddSection("a", {});
              w.AddSection("a", {});
            }),
            "MOE-I002");
  EXPECT_EQ(code([](ModuleWriter& w) {
              for (size_t i = 0; i < kModuleMaxSections; ++i)
                w.AddSection(Joined("s", i), {});
            }),
            "MOE-I002");
  EXPECT_EQ(NameOf(ModuleWriter().Serialize().status()), "MOE-I002");
  EXPECT_EQ(code([](ModuleWriter& w) {
              w.AddSection("0123456789012345678901234567890", {});
            }),
            "ok");
}

TEST(Hash, PiecesAndHex) {
  Hasher hasher;
  hasher.Update("ab");
  hasher.Update("c");
  EXPECT_EQ(hasher.Finish(), HashText("abc"));
  hasher.Update(uint64_t{0});
  EXPECT_EQ(hasher.Finish(), HashText(std::string("abc") + U64(0)));
  // XXH3-128 of nothing, from the reference implementation.
  EXPECT_EQ(HashText("").Hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(Hash128::FromHex(HashText("x").Hex()), HashText("x"));
  EXPECT_EQ(Hash128::FromHex("99"), std::nullopt);
  EXPECT_EQ(Hash128::FromHex(std::string(32, 'G')), std::nullopt);
}

}  // namespace
}  // namespace moe
