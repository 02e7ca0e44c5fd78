// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Random changes, from a fixed seed, to good files. No reader may crash, hang
// or hand out a byte outside the file; run under the address sanitizer, every
// byte of what is accepted is read. MOE_FUZZ_COUNT sets the inputs per reader.

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "lib/core/checkpoint.h"
#include "lib/core/errors.h"
#include "lib/core/json.h"
#include "lib/core/module_file.h"
#include "lib/core/safetensors.h"
#include "test/core/test_files.h"

namespace moe {
namespace {

int Count(int standard) {
  const char* text = std::getenv("MOE_FUZZ_COUNT");
  return text ? std::atoi(text) : standard;
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  size_t Below(size_t n) { return n ? random_() % n : 0; }

  std::string Mutated(std::string bytes,
                      const std::vector<std::string>& words) {
    for (size_t n = 1 + Below(4); n > 0; --n) Change(bytes, words);
    return bytes;
  }

 private:
  void Change(std::string& bytes, const std::vector<std::string>& words) {
    const size_t at = Below(bytes.size() + 1);
    switch (Below(8)) {
      case 0:
        if (at < bytes.size())
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random_());
        break;
      case 2:
        bytes.resize(at);
        break;
      case 3:
        bytes.erase(at, 1 + Below(16));
        break;
      case 4:
        bytes.insert(at, bytes.substr(Below(bytes.size()), Below(64)));
        break;
      case 5:  // a number that is on some edge, in place of eight bytes
        bytes.replace(at, 8, U64((uint64_t{1} << Below(64)) - Below(3)));
        break;
      default: {
        const std::string& word = words[Below(words.size())];
        bytes.replace(at, Below(2) * word.size(), word);
      }
    }
  }

  std::mt19937_64 random_;
};

const std::vector<std::string>& Words() {
  static const std::vector<std::string> words = {"{",
                                                 "}",
                                                 "[",
                                                 "]",
                                                 ",",
                                                 ":",
                                                 "\"",
                                                 "\\u0000",
                                                 "0",
                                                 "-1",
                                                 "1e999",
                                                 "18446744073709551615",
                                                 "F64",
                                                 "BOOL",
                                                 "C64",
                                                 "9223372036854775807",
                                                 "null",
                                                 "true",
                                                 "\"shape\":",
                                                 "\"dtype\":",
                                                 "\xff",
                                                 "../",
                                                 "[[[[[[[[",
                                                 "\"data_offsets\":[0,0]",
                                                 "{\"a\":",
                                                 "\"w\":",
                                                 "\"__metadata__\":"};
  return words;
}

// Reads every byte, so that a sanitizer sees a view that is too long.
uint64_t Sum(std::span<const std::byte> bytes) {
  uint64_t sum = 0;
  for (std::byte b : bytes) sum += static_cast<uint8_t>(b);
  return sum;
}

void ExpectReadable(const absl::Status& status) {
  const int exit = ExitCode(status);
  ASSERT_TRUE(exit == kExitBadInput || exit == kExitUnsupported)
      << FormatError("fuzz", status);
  const std::string line = FormatError("fuzz", status);
  ASSERT_LE(line.size(), 300u);
  ASSERT_EQ(Escaped(line), line);
}

TEST(Fuzz, Safetensors) {
  const std::string header = "{\"__metadata__\":{\"format\":\"pt\"}," +
                             Entry("model.w", "F32", "2,3", "0,24") + "," +
                             Entry("model.b", "BF16", "4", "24,32") + "," +
                             Entry("empty", "I8", "0", "32,32") + "}   ";
  const std::string good = RawSafetensors(header, std::string(32, 'd'));
  ASSERT_TRUE(SafetensorsFile::Parse(BytesOf(good), "f").ok());
  Mutator mutator(1);
  int accepted = 0;
  uint64_t sum = 0;
  for (int i = 0; i < Count(20000); ++i) {
    std::string bad = good;
    if (mutator.Below(2))  // change the header only and repair its length
      bad = RawSafetensors(mutator.Mutated(header, Words()),
                           std::string(32, 'd'));
    else
      bad = mutator.Mutated(good, Words());
    // A heap block of just this size: one byte further is an error.
    const std::vector<char> exact(bad.begin(), bad.end());
    const auto file = SafetensorsFile::Parse(
        std::as_bytes(std::span(exact.data(), exact.size())), "f");
    if (!file.ok()) {
      ExpectReadable(file.status());
      continue;
    }
    ++accepted;
    for (const Tensor& tensor : file->tensors()) {
      sum += Sum(tensor.view());
      ASSERT_EQ(file->Find(tensor.name), &tensor);
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(sum, 0u);
}

TEST(Fuzz, Json) {
  const std::string good =
      R"({"model_type":"mixtral","layers":[1,2,{"a":null}],"eps":1e-6,)"
      R"("name":"gr\u00fc\u00df","flag":true,"deep":{"b":{"c":[[-5]]}}})";
  ASSERT_TRUE(ParseJson(good, "f").ok());
  Mutator mutator(2);
  int accepted = 0;
  for (int i = 0; i < Count(20000); ++i) {
    const auto parsed = ParseJson(mutator.Mutated(good, Words()), "f");
    if (!parsed.ok()) {
      ExpectReadable(parsed.status());
      continue;
    }
    ++accepted;
    // What was accepted is JSON for the parser of others too.
    ASSERT_TRUE(ParseJson(DumpJson(*parsed), "f").ok());
    JsonFields fields(*parsed, "f", kConfigCodes);
    if (fields.Check().ok()) {
      (void)fields.Int("layers", 0, 1).status();
      (void)fields.Ints("layers").status();
      (void)fields.Number("eps").status();
      (void)fields.String("name").status();
      (void)fields.Unread();
    }
  }
  EXPECT_GT(accepted, 0);
}

TEST(Fuzz, CheckpointIndex) {
  TempDir dir;
  const std::string name = "model.safetensors.index.json";
  dir.Write("a.safetensors",
            RawSafetensors("{" + Entry("a", "U8", "1", "0,1") + "}", "x"));
  dir.Write("b.safetensors",
            RawSafetensors("{" + Entry("b", "U8", "1", "0,1") + "}", "y"));
  const std::string good =
      R"({"metadata":{"total_size":2},)"
      R"("weight_map":{"a":"a.safetensors","b":"b.safetensors"}})";
  dir.Write(name, good);
  ASSERT_TRUE(Checkpoint::Open(dir.path()).ok());
  Mutator mutator(3);
  for (int i = 0; i < Count(20000) / 40; ++i) {
    dir.Write(name, mutator.Mutated(good, Words()));
    const auto opened =
        Checkpoint::Open(dir.path(), {.header_only = mutator.Below(2) == 0});
    if (opened.ok()) {
      ASSERT_EQ(opened->tensors().size(), 2u);
    } else {
      ExpectReadable(opened.status());
    }
  }
}

// Makes the hashes of a damaged module fit again, so that the checks behind
// them are reached.
void Repair(std::string& bytes) {
  if (bytes.size() < 40) return;
  uint32_t count;
  std::memcpy(&count, bytes.data() + 12, 4);
  if (count > 16 || 40 + count * size_t{64} > bytes.size()) return;
  bytes.replace(16, 8, U64(bytes.size()));
  auto put = [&](size_t at, const Hash128& hash) {
    std::memcpy(bytes.data() + at, hash.bytes.data(), 16);
  };
  for (size_t row = 24; row < 24 + count * size_t{64}; row += 64) {
    uint64_t offset, size;
    std::memcpy(&offset, bytes.data() + row + 32, 8);
    std::memcpy(&size, bytes.data() + row + 40, 8);
    if (offset <= bytes.size() && size <= bytes.size() - offset)
      put(row + 48, HashText(std::string_view(bytes).substr(offset, size)));
  }
  const size_t end = 24 + count * size_t{64};
  put(end, HashText(std::string_view(bytes).substr(0, end)));
}

TEST(Fuzz, Module) {
  ModuleWriter writer;
  writer.SetManifest(
      Json{{"format", 1}, {"abi", 1}, {"entries", Json::array({1, "x"})}});
  const std::string code(100, 'c');
  writer.AddSection("cpu.x86-64-v3", BytesOf(code));
  writer.AddSection("empty", {});
  const std::string good = *writer.Serialize();
  ASSERT_TRUE(ModuleFile::Parse(BytesOf(good), "f").ok());
  Mutator mutator(4);
  uint64_t sum = 0;
  int repaired_and_accepted = 0;
  for (int i = 0; i < Count(20000); ++i) {
    std::string bad = mutator.Mutated(good, Words());
    const bool repaired = mutator.Below(4) != 0;
    if (repaired) Repair(bad);
    const std::vector<char> exact(bad.begin(), bad.end());
    const auto module = ModuleFile::Parse(
        std::as_bytes(std::span(exact.data(), exact.size())), "f");
    if (!module.ok()) {
      ExpectReadable(module.status());
      continue;
    }
    // Without repair, only the same bytes are accepted.
    ASSERT_TRUE(repaired || bad == good);
    repaired_and_accepted += repaired;
    for (const ModuleSection& section : module->sections())
      sum += Sum(section.bytes);
  }
  EXPECT_GT(repaired_and_accepted, 0);
  EXPECT_GT(sum, 0u);
}

}  // namespace
}  // namespace moe
