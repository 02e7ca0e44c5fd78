// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "test/core/test_files.h"

namespace moe {
namespace {

std::string CodeFor(const std::string& path, const OpenOptions& options = {}) {
  return NameOf(MappedFile::Open(path, options).status());
}

std::string TextOf(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()),
          file.bytes().size()};
}

TEST(MappedFile, MapsAndMoves) {
  TempDir dir;
  dir.Write("a", "hello");
  auto opened = MappedFile::Open(dir / "a");
  ASSERT_TRUE(opened.ok()) << opened.status();
  const std::byte* address = opened->bytes().data();
  MappedFile moved = *std::move(opened);
  EXPECT_EQ(moved.bytes().data(), address);
  EXPECT_EQ(TextOf(moved), "hello");
  EXPECT_EQ(moved.path(), dir / "a");
  EXPECT_EQ(moved.identity().size, 5u);
  MappedFile other;
  other = std::move(moved);
  EXPECT_EQ(TextOf(other), "hello");
  EXPECT_TRUE(moved.bytes().empty());  // NOLINT: stated by the header
  // The map outlives the name.
  std::filesystem::remove(dir / "a");
  EXPECT_EQ(TextOf(other), "hello");
}

TEST(MappedFile, IdentityChangesWithTheFile) {
  TempDir dir;
  dir.Write("a", "hello");
  const FileIdentity before = MappedFile::Open(dir / "a")->identity();
  EXPECT_EQ(MappedFile::Open(dir / "a")->identity(), before);
  dir.Write("b", "hello");
  std::filesystem::rename(dir / "b", dir / "a");
  EXPECT_NE(MappedFile::Open(dir / "a")->identity(), before);
}

TEST(MappedFile, RefusesWhatIsNotARegularFile) {
  TempDir dir;
  EXPECT_EQ(CodeFor(dir / "none"), "MOE-F101");
  EXPECT_EQ(CodeFor(dir / "none/deeper"), "MOE-F101");
  EXPECT_EQ(CodeFor(""), "MOE-F101");
  EXPECT_EQ(CodeFor(std::string("/dev/null\0x", 11)), "MOE-F101");
  EXPECT_EQ(CodeFor(dir.path()), "MOE-F102");
  EXPECT_EQ(CodeFor("/dev/zero"), "MOE-F102");
  EXPECT_EQ(CodeFor("/dev/null"), "MOE-F102");
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(CodeFor(dir / "pipe"), "MOE-F102");  // and does not block
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (dir / "s").c_str(),
               sizeof address.sun_path - 1);
  ASSERT_EQ(
      ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(CodeFor(dir / "s"), "MOE-F102");
  ::close(socket);
  dir.Write("empty", "");
  EXPECT_EQ(CodeFor(dir / "empty"), "MOE-F103");
  EXPECT_EQ(CodeFor(dir / "empty", {.allow_empty = true}), "ok");
  EXPECT_EQ(CodeFor(dir / std::string(300, 'n')), "MOE-F106");
  dir.Write("file", "x");
  EXPECT_EQ(CodeFor(dir / "file/below"), "MOE-F101");
}

TEST(MappedFile, FollowsLinksOnlyIfAllowed) {
  TempDir dir;
  dir.Write("a", "x");
  std::filesystem::create_symlink("a", dir / "link");
  EXPECT_EQ(CodeFor(dir / "link"), "ok");
  EXPECT_EQ(CodeFor(dir / "link", {.follow_links = false}), "MOE-F104");
  std::filesystem::create_symlink("loop", dir / "loop");
  EXPECT_EQ(CodeFor(dir / "loop"), "MOE-F106");
}

TEST(MappedFile, NamesMissingPermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  TempDir dir;
  dir.Write("a", "x");
  ::chmod((dir / "a").c_str(), 0);
  EXPECT_EQ(CodeFor(dir / "a"), "MOE-F105");
}

TEST(OpenedFile, ReadsParts) {
  TempDir dir;
  dir.Write("a", "0123456789");
  const auto file = OpenedFile::Open(dir / "a");
  ASSERT_TRUE(file.ok());
  std::byte out[4];
  EXPECT_TRUE(file->ReadAt(3, out).ok());
  EXPECT_EQ(std::memcmp(out, "3456", 4), 0);
  EXPECT_EQ(NameOf(file->ReadAt(7, out)), "MOE-F106");
  EXPECT_EQ(NameOf(file->ReadAt(~uint64_t{0}, out)), "MOE-F106");
  EXPECT_EQ(*file->ReadText(10), "0123456789");
  EXPECT_EQ(NameOf(file->ReadText(9).status()), "MOE-J105");
}

}  // namespace
}  // namespace moe
