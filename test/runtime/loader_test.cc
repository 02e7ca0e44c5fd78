// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "lib/core/errors.h"
#include "lib/core/safetensors.h"
#include "runtime/cpu/elf_check.h"
#include "runtime/cpu/elf_module.h"
#include "runtime/cpu/isa.h"
#include "runtime/module.h"
#include "test/runtime/toy_model.h"

namespace moe {
namespace {

using ::testing::HasSubstr;
using toy::Object;

std::string Fault(const std::string& object) {
  const std::string bytes = Object(object);
  return FindElfFault(AsBytes(bytes));
}

TEST(ElfCheck, AcceptsCompleteObjects) {
  EXPECT_EQ(Fault("toy"), "");
  EXPECT_EQ(Fault("toy_gnu_hash"), "");
}

TEST(ElfCheck, RefusesEachForbiddenThing) {
  EXPECT_EQ(Fault("toy_undefined"), "leaves symbol 'expf' undefined");
  EXPECT_THAT(Fault("toy_needed"), HasSubstr("needs library 'libm.so"));
  EXPECT_EQ(Fault("toy_tls"), "has thread-local storage");
  EXPECT_THAT(Fault("toy_init"), HasSubstr("runs code when it is loaded"));
  EXPECT_EQ(Fault("toy_ifunc"), "has an indirect function");
  EXPECT_EQ(Fault("toy_stack"), "wants an executable stack");
  EXPECT_THAT(Fault("toy_runpath"), HasSubstr("names a search path"));
  EXPECT_EQ(Fault("toy_text"), "has text relocations");
}

TEST(ElfCheck, RefusesOtherFiles) {
  EXPECT_EQ(FindElfFault({}), "is too short for an ELF object");
  std::string bytes = Object("toy");
  for (size_t length : {63u, 64u, 200u, 1000u}) {
    const std::string cut = bytes.substr(0, length);
    EXPECT_NE(FindElfFault(AsBytes(cut)), "") << length;
  }
  bytes[0] = 'M';
  EXPECT_EQ(FindElfFault(AsBytes(bytes)), "is not an ELF object");
  bytes = Object("toy");
  bytes[16] = 2;  // an executable
  EXPECT_EQ(FindElfFault(AsBytes(bytes)), "is not a shared object");
  bytes = Object("toy");
  bytes[18] = 40;  // another machine
  EXPECT_EQ(FindElfFault(AsBytes(bytes)), "is not an x86-64 object");
}

TEST(ElfCheck, SurvivesDamage) {
  const std::string good = Object("toy");
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = good;
    for (int changes = 1 + static_cast<int>(random() % 4); changes > 0;
         --changes)
      bytes[random() % (i % 2 == 0 ? bytes.size() : 2048)] =
          static_cast<char>(random() % 3 == 0 ? 0xFF : random());
    if (i % 5 == 0) bytes.resize(random() % bytes.size());
    refused += !FindElfFault(AsBytes(bytes)).empty();
  }
  EXPECT_GT(refused, 1000);
}

TEST(ElfModule, LoadsFromMemoryAndThroughFile) {
  const std::string bytes = Object("toy");
  for (bool through_file : {false, true}) {
    auto code =
        ElfModule::Load(AsBytes(bytes), "m", {.through_file = through_file});
    ASSERT_TRUE(code.ok()) << code.status();
    EXPECT_EQ(code->entries().size(), 6u);
    EXPECT_NE(code->Find("score"), nullptr);
    EXPECT_EQ(code->Find("scor"), nullptr);
  }
}

TEST(ElfModule, LoadsManyAtOnceAndAgain) {
  const std::string bytes = Object("toy");
  for (int round = 0; round < 20; ++round) {
    auto first = ElfModule::Load(AsBytes(bytes), "m");
    auto second = ElfModule::Load(AsBytes(bytes), "m");
    ASSERT_TRUE(first.ok() && second.ok());
    // Two objects, not one that was found by its name.
    EXPECT_NE(first->Find("score"), second->Find("score"));
    ElfModule moved = std::move(*first);
    EXPECT_NE(moved.Find("score"), nullptr);
  }
}

TEST(ElfModule, RefusesWhatDoesNotSpeakTheAbi) {
  std::string bytes = Object("toy_version");
  auto code = ElfModule::Load(AsBytes(bytes), "m");
  EXPECT_TRUE(HasCode(code.status(), Code::M110)) << code.status();
  bytes = Object("toy_export");
  code = ElfModule::Load(AsBytes(bytes), "m");
  EXPECT_TRUE(HasCode(code.status(), Code::M112)) << code.status();
  bytes = Object("toy_tls");
  code = ElfModule::Load(AsBytes(bytes), "m.moe: section cpu.x86-64-v3");
  EXPECT_EQ(FormatError("moe-run", code.status()),
            "moe-run: error[MOE-M112]: m.moe: section cpu.x86-64-v3: the "
            "native object has thread-local storage. Compile the model again.");
}

TEST(Module, PicksALevel) {
  toy::TempDir dir;
  toy::WriteModule(dir / "m.moe", toy::ToyManifest());
  auto module = Module::Open(dir / "m.moe");
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_EQ(module->isa(),
            MachineRuns(IsaLevel::kV4) ? IsaLevel::kV4 : IsaLevel::kV3);
  module = Module::Open(dir / "m.moe", {.isa = IsaLevel::kV3});
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_EQ(module->isa(), IsaLevel::kV3);
  module = Module::Open(dir / "m.moe", {.isa = IsaLevel::kAmx});
  EXPECT_TRUE(HasCode(module.status(), Code::M111)) << module.status();
}

TEST(Module, RefusesMissingCode) {
  toy::TempDir dir;
  toy::WriteModule(dir / "m.moe", toy::ToyManifest(), "toy_entry");
  auto module = Module::Open(dir / "m.moe");
  EXPECT_TRUE(HasCode(module.status(), Code::M113)) << module.status();
  Json manifest = toy::ToyManifest();
  manifest["entries"][0]["name"] = "scores";
  toy::WriteModule(dir / "n.moe", manifest);
  module = Module::Open(dir / "n.moe");
  EXPECT_TRUE(HasCode(module.status(), Code::M113)) << module.status();
}

TEST(Module, NoticesEveryChangedByte) {
  toy::TempDir dir;
  toy::WriteModule(dir / "m.moe", toy::ToyManifest());
  std::ifstream in(dir / "m.moe", std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  std::mt19937 random(2);
  for (int i = 0; i < 200; ++i) {
    std::string bytes = good;
    bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    std::ofstream(dir / "bad.moe", std::ios::binary) << bytes;
    const auto module = Module::Open(dir / "bad.moe");
    ASSERT_FALSE(module.ok());
    EXPECT_EQ(ExitCode(module.status()), kExitBadInput) << module.status();
  }
}

TEST(Isa, NamesRoundTrip) {
  for (IsaLevel level : kIsaLevels) {
    EXPECT_EQ(IsaFromName(IsaName(level)), level);
    EXPECT_EQ(IsaSection(level), "cpu." + std::string(IsaName(level)));
  }
  EXPECT_EQ(IsaFromName("x86-64-v2"), std::nullopt);
}

}  // namespace
}  // namespace moe
