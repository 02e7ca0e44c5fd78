// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "test/core/test_files.h"

namespace moe {
namespace {

using ::testing::ElementsAre;

std::string TextOf(const Tensor& tensor) {
  return {reinterpret_cast<const char*>(tensor.data), tensor.bytes};
}

TEST(Safetensors, RoundTripsEveryDType) {
  TempDir dir;
  SafetensorsWriter writer;
  std::vector<std::string> data;
  for (int i = 0; i < kDTypeCount; ++i)
    data.push_back(
        std::string(static_cast<size_t>(6 * DTypeSize(static_cast<DType>(i))),
                    static_cast<char>('a' + i)));
  for (int i = 0; i < kDTypeCount; ++i) {
    const DType dtype = static_cast<DType>(i);
    writer.Add(std::string(DTypeName(dtype)), dtype, {2, 3},
               BytesOf(data[static_cast<size_t>(i)]));
  }
  writer.SetMetadata("format", "pt");
  writer.SetMetadata("quote", "a\"b\n");
  ASSERT_TRUE(writer.Write(dir / "a.safetensors").ok());

  auto opened = SafetensorsFile::Open(dir / "a.safetensors");
  ASSERT_TRUE(opened.ok()) << opened.status();
  const SafetensorsFile file = *std::move(opened);  // moving keeps pointers
  EXPECT_EQ(file.tensors().size(), static_cast<size_t>(kDTypeCount));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.metadata().at("quote"), "a\"b\n");
  for (int i = 0; i < kDTypeCount; ++i) {
    const DType dtype = static_cast<DType>(i);
    const Tensor* tensor = file.Find(DTypeName(dtype));
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->dtype, dtype);
    EXPECT_THAT(tensor->shape, ElementsAre(2, 3));
    EXPECT_EQ(TextOf(*tensor), data[static_cast<size_t>(i)]);
    EXPECT_EQ(tensor->view().size(), tensor->bytes);
    EXPECT_TRUE(tensor->IsAligned(static_cast<size_t>(DTypeSize(dtype))));
  }
  EXPECT_TRUE(file.tensors().front().IsAligned(64));
  EXPECT_EQ(file.Find("none"), nullptr);
  EXPECT_EQ(file.Find(""), nullptr);
}

TEST(Safetensors, HeaderOnlyMapsNothing) {
  TempDir dir;
  SafetensorsWriter writer;
  const std::vector<float> data(6, 1.5f);
  writer.Add("w", DType::kF32, {2, 3}, AsBytes(data));
  ASSERT_TRUE(writer.Write(dir / "a.safetensors").ok());
  const auto whole = SafetensorsFile::Open(dir / "a.safetensors");
  const auto header =
      SafetensorsFile::Open(dir / "a.safetensors", {.header_only = true});
  ASSERT_TRUE(whole.ok());
  ASSERT_TRUE(header.ok());
  const Tensor* tensor = header->Find("w");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->data, nullptr);
  EXPECT_TRUE(tensor->view().empty());
  EXPECT_EQ(tensor->bytes, 24u);
  EXPECT_EQ(tensor->offset, whole->Find("w")->offset);
  EXPECT_EQ(header->header_hash(), whole->header_hash());
  EXPECT_EQ(header->identity(), whole->identity());
}

TEST(Safetensors, ReadsScalarsEmptyTensorsAndPadding) {
  const std::string header = "{" + Entry("s", "F32", "", "0,4") + "," +
                             Entry("e", "F32", "0,7", "4,4") + "," +
                             Entry("odd", "U8", "3", "4,7") + "," +
                             Entry("last", "F16", "1", "7,9") + "," +
                             Entry("end", "F64", "0", "9,9") + "}     ";
  const std::string bytes = RawSafetensors(header, "123456789");
  const auto file = SafetensorsFile::Parse(BytesOf(bytes), "m");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(TextOf(*file->Find("s")), "1234");
  EXPECT_TRUE(file->Find("s")->shape.empty());
  EXPECT_EQ(file->Find("e")->bytes, 0u);
  EXPECT_EQ(TextOf(*file->Find("last")), "89");
}

TEST(Safetensors, EmptyFileOfTensors) {
  TempDir dir;
  ASSERT_TRUE(SafetensorsWriter().Write(dir / "a.safetensors").ok());
  const auto file = SafetensorsFile::Open(dir / "a.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->tensors().empty());
}

TEST(Safetensors, HeaderHashSeesHeadersOnly) {
  const std::string header = "{" + Entry("a", "U8", "2", "0,2") + "}";
  const std::string other = "{" + Entry("b", "U8", "2", "0,2") + "}";
  auto hash = [](const std::string& bytes) {
    return SafetensorsFile::Parse(BytesOf(bytes), "m")->header_hash();
  };
  EXPECT_EQ(hash(RawSafetensors(header, "xy")),
            hash(RawSafetensors(header, "zz")));
  EXPECT_NE(hash(RawSafetensors(header, "xy")),
            hash(RawSafetensors(other, "xy")));
}

TEST(Safetensors, LazyTensorsAreMadeInWrite) {
  TempDir dir;
  SafetensorsWriter writer;
  int calls = 0;
  writer.AddLazy("w", DType::kI32, {4}, [&](std::span<std::byte> out) {
    ++calls;
    std::memset(out.data(), 7, out.size());
    return absl::OkStatus();
  });
  EXPECT_EQ(calls, 0);
  ASSERT_TRUE(writer.Write(dir / "a.safetensors").ok());
  EXPECT_EQ(calls, 1);
  const auto file = SafetensorsFile::Open(dir / "a.safetensors");
  EXPECT_EQ(TextOf(*file->Find("w")), std::string(16, 7));

  SafetensorsWriter failing;
  failing.AddLazy("w", DType::kI32, {4},
                  [](std::span<std::byte>) { return Error(Code::R105, "no"); });
  EXPECT_EQ(NameOf(failing.Write(dir / "a.safetensors")), "MOE-R105");
  EXPECT_TRUE(SafetensorsFile::Open(dir / "a.safetensors").ok());
  EXPECT_EQ(dir.Count(), 1u);
}

TEST(Safetensors, WriterRefusesWhatItsReaderWould) {
  TempDir dir;
  const std::vector<float> data(6, 1.5f);
  auto code = [&](auto add) {
    SafetensorsWriter writer;
    add(writer);
    return NameOf(writer.Write(dir / "a.safetensors"));
  };
  using Writer = SafetensorsWriter;
  EXPECT_EQ(
      code([&](Writer& w) { w.Add("w", DType::kF32, {7}, AsBytes(data)); }),
      "MOE-I002");
  EXPECT_EQ(
      code([&](Writer& w) { w.Add("w", DType::kF32, {-1}, AsBytes(data)); }),
      "MOE-I002");
  EXPECT_EQ(code([&](Writer& w) {
              w.Add("w", DType::kF32, {6}, AsBytes(data));
              w.Add("w", DType::kF32, {6}, AsBytes(data));
            }),
            "MOE-I002");
  for (const char* name : {"", "__metadata__", "a\nb", "\xff"})
    EXPECT_EQ(
        code([&](Writer& w) { w.Add(name, DType::kF32, {6}, AsBytes(data)); }),
        "MOE-I002")
        << name;
  EXPECT_EQ(code([&](Writer& w) {
              w.Add("w", DType::kF32, std::vector<int64_t>(17, 1),
                    AsBytes(data).first(4));
            }),
            "MOE-I002");
  EXPECT_EQ(dir.Count(), 0u);
}

TEST(Safetensors, FullDiskIsExit4AndOverwritesNothing) {
  TempDir dir;
  dir.Write("a.safetensors", "old");
  const std::vector<float> data(10000, 1.5f);
  SafetensorsWriter writer;
  writer.Add("w", DType::kF32, {100, 100}, AsBytes(data));
  const auto old_signal = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old, limit;
  ::getrlimit(RLIMIT_FSIZE, &old);
  limit = old;
  limit.rlim_cur = 8192;
  ::setrlimit(RLIMIT_FSIZE, &limit);
  const absl::Status status = writer.Write(dir / "a.safetensors");
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_signal);
  EXPECT_EQ(NameOf(status), "MOE-F201");
  EXPECT_EQ(ExitCode(status), 4);
  EXPECT_EQ(dir.Read("a.safetensors"), "old");
  EXPECT_EQ(dir.Count(), 1u);
}

TEST(Safetensors, ManyTensorsAreFast) {
  std::string header = "{";
  for (int i = 0; i < 100000; ++i)
    header += Joined(i ? "," : "", Entry(Joined("model.layers.", i, ".weight"),
                                         "U8", "1", Joined(i, ",", i + 1)));
  header += "}";
  const std::string bytes = RawSafetensors(header, std::string(100000, 'x'));
  const auto file = SafetensorsFile::Parse(BytesOf(bytes), "m");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_NE(file->Find("model.layers.99999.weight"), nullptr);
}

}  // namespace
}  // namespace moe
