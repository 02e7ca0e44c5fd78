// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "test/core/test_files.h"

namespace moe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string OneByte(std::string_view name, char value) {
  return RawSafetensors("{" + Entry(name, "U8", "1", "0,1") + "}",
                        std::string(1, value));
}

void WriteTwoShards(const TempDir& dir) {
  dir.Write("b-00001.safetensors", OneByte("w.one", '1'));
  dir.Write("a-00002.safetensors", OneByte("w.two", '2'));
  dir.Write("model.safetensors.index.json",
            R"({"metadata":{"total_size":2,"x":[{"weight_map":1}]},
                "weight_map":{"w.one":"b-00001.safetensors",
                              "w.two":"a-00002.safetensors"}})");
}

TEST(Checkpoint, OpensASingleFile) {
  TempDir dir;
  dir.Write("model.safetensors", OneByte("w", 'x'));
  const auto opened = Checkpoint::Open(dir.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Tensor* tensor = opened->Find("w");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(static_cast<char>(tensor->data[0]), 'x');
  EXPECT_EQ(opened->total_bytes(), 1u);
  EXPECT_EQ(opened->FileOf(*tensor).path(), dir / "model.safetensors");
  EXPECT_TRUE(opened->unused_files().empty());
  EXPECT_TRUE(Checkpoint::Open(dir.path() + "/").ok());
}

TEST(Checkpoint, OpensShards) {
  TempDir dir;
  WriteTwoShards(dir);
  auto opened = Checkpoint::Open(dir.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Tensor* before = opened->Find("w.one");
  const Checkpoint checkpoint = *std::move(opened);  // moving keeps pointers
  ASSERT_EQ(checkpoint.Find("w.one"), before);
  EXPECT_EQ(static_cast<char>(before->data[0]), '1');
  EXPECT_EQ(checkpoint.FileOf(*before).path(), dir / "b-00001.safetensors");
  EXPECT_EQ(checkpoint.FileOf(*checkpoint.Find("w.two")).path(),
            dir / "a-00002.safetensors");
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.tensors()[0]->name, "w.one");
  EXPECT_EQ(checkpoint.files()[0].path(), dir / "a-00002.safetensors");
  EXPECT_EQ(checkpoint.Find("w.three"), nullptr);
}

TEST(Checkpoint, HeaderOnlyGivesTheSameHash) {
  TempDir dir;
  WriteTwoShards(dir);
  const auto header = Checkpoint::Open(dir.path(), {.header_only = true});
  const auto whole = Checkpoint::Open(dir.path());
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->Find("w.one")->data, nullptr);
  EXPECT_EQ(header->header_hash(), whole->header_hash());
  dir.Write("b-00001.safetensors", OneByte("w.one", '9'));
  EXPECT_EQ(Checkpoint::Open(dir.path())->header_hash(), whole->header_hash());
}

TEST(Checkpoint, SingleFileWinsOverAnIndex) {
  TempDir dir;
  WriteTwoShards(dir);
  dir.Write("model.safetensors", OneByte("w", 'x'));
  const auto opened = Checkpoint::Open(dir.path());
  ASSERT_TRUE(opened.ok());
  EXPECT_NE(opened->Find("w"), nullptr);
  EXPECT_EQ(opened->Find("w.one"), nullptr);
  EXPECT_THAT(opened->unused_files(),
              ElementsAre("model.safetensors.index.json"));
}

TEST(Checkpoint, FollowsLinksOnlyIfAsked) {
  TempDir dir;
  WriteTwoShards(dir);
  std::filesystem::rename(dir / "a-00002.safetensors", dir / "blob");
  std::filesystem::create_symlink("blob", dir / "a-00002.safetensors");
  EXPECT_EQ(NameOf(Checkpoint::Open(dir.path()).status()), "MOE-F104");
  EXPECT_TRUE(Checkpoint::Open(dir.path(), {.follow_links = true}).ok());
}

TEST(Checkpoint, MissingTensorSuggestsTheNearest) {
  TempDir dir;
  WriteTwoShards(dir);
  const auto checkpoint = Checkpoint::Open(dir.path());
  EXPECT_TRUE(checkpoint->Get("w.one").ok());
  const absl::Status status = checkpoint->Get("w.ones").status();
  EXPECT_EQ(NameOf(status), "MOE-W101");
  EXPECT_THAT(FormatError("t", status), HasSubstr("The nearest is 'w.one'."));
  EXPECT_EQ(NameOf(checkpoint->Get(std::string(9999, 'x')).status()),
            "MOE-W101");
}

TEST(ReadConfig, ReadsAnObject) {
  TempDir dir;
  dir.Write("config.json", R"({"model_type":"mixtral"})");
  const auto config = ReadConfig(dir.path());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(DumpJson(*config), R"({"model_type":"mixtral"})");
}

}  // namespace
}  // namespace moe
