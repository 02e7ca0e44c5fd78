// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "test/core/test_files.h"

namespace moe {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// Files may not grow beyond |bytes| while this lives: a full disk for anyone.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_signal_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_signal_);
  }

 private:
  rlimit old_;
  void (*old_signal_)(int);
};

TEST(AtomicFile, AppearsOnlyAtCommit) {
  TempDir dir;
  dir.Write("a", "old");
  {
    auto file = AtomicFile::Create(dir / "a");
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(file->Write("new ").ok());
    AtomicFile moved = *std::move(file);
    ASSERT_TRUE(moved.Write("bytes").ok());
    EXPECT_EQ(moved.written(), 9u);
    EXPECT_EQ(dir.Read("a"), "old");
    ASSERT_TRUE(moved.Commit().ok());
    EXPECT_EQ(dir.Read("a"), "new bytes");
    EXPECT_EQ(NameOf(moved.Commit()), "MOE-I002");
    EXPECT_EQ(NameOf(moved.Write("x")), "MOE-I002");
  }
  EXPECT_EQ(dir.Read("a"), "new bytes");
  EXPECT_EQ(dir.Count(), 1u);
}

TEST(AtomicFile, LeavesNothingBehindWithoutCommit) {
  TempDir dir;
  dir.Write("a", "old");
  {
    auto file = AtomicFile::Create(dir / "a", 1 << 20);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Write("new").ok());
    EXPECT_EQ(dir.Count(), 2u);
  }
  EXPECT_EQ(dir.Count(), 1u);
  EXPECT_EQ(dir.Read("a"), "old");
}

TEST(AtomicFile, ReservedBytesAreNotPartOfTheFile) {
  TempDir dir;
  auto file = AtomicFile::Create(dir / "a", 1 << 20);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->Write("short").ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(dir.Read("a"), "short");
}

TEST(AtomicFile, FullDiskKeepsTheOldFile) {
  TempDir dir;
  dir.Write("a", "old");
  {
    FileSizeLimit limit(4096);
    const absl::Status status =
        WriteFileAtomically(dir / "a", std::string(10000, 'x'));
    EXPECT_EQ(NameOf(status), "MOE-F201");
    EXPECT_EQ(ExitCode(status), kExitResources);
    EXPECT_THAT(FormatError("t", status), HasSubstr("needs 10000 bytes"));
    EXPECT_THAT(FormatError("t", status), HasSubstr("Nothing was overwritten"));
  }
  EXPECT_EQ(dir.Read("a"), "old");
  EXPECT_EQ(dir.Count(), 1u);
}

TEST(AtomicFile, DevicesAreWrittenDirectly) {
  EXPECT_TRUE(WriteFileAtomically("/dev/null", "x").ok());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  const absl::Status full = WriteFileAtomically("/dev/full", "x");
  EXPECT_EQ(NameOf(full), "MOE-F201");
  EXPECT_EQ(ExitCode(full), 4);
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST(AtomicFile, KeepsLinksAndPermissions) {
  TempDir dir;
  fs::create_directory(dir / "sub");
  dir.Write("sub/real", "old");
  ::chmod((dir / "sub/real").c_str(), 0640);
  fs::create_symlink("sub/real", dir / "link");
  ASSERT_TRUE(WriteFileAtomically(dir / "link", "new").ok());
  EXPECT_TRUE(fs::is_symlink(dir / "link"));
  EXPECT_EQ(dir.Read("sub/real"), "new");
  struct stat info;
  ASSERT_EQ(::stat((dir / "sub/real").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  fs::create_symlink("nowhere", dir / "dangling");
  EXPECT_EQ(NameOf(WriteFileAtomically(dir / "dangling", "x")), "MOE-F203");
}

TEST(AtomicFile, NamesWhatIsWrong) {
  TempDir dir;
  EXPECT_EQ(NameOf(WriteFileAtomically(dir / "no/a", "x")), "MOE-F204");
  EXPECT_EQ(NameOf(WriteFileAtomically(dir.path(), "x")), "MOE-F203");
  EXPECT_EQ(NameOf(WriteFileAtomically("", "x")), "MOE-F203");
  EXPECT_EQ(NameOf(WriteFileAtomically(dir / "a/", "x")), "MOE-F203");
  EXPECT_EQ(NameOf(WriteFileAtomically(std::string("a\0b", 3), "x")),
            "MOE-F203");
  EXPECT_EQ(NameOf(WriteFileAtomically("/proc/moe-none", "x")), "MOE-F204");
  EXPECT_EQ(dir.Count(), 0u);
  // A name of the greatest length still has room for its temporary file.
  EXPECT_TRUE(WriteFileAtomically(dir / std::string(255, 'n'), "x").ok());
}

}  // namespace
}  // namespace moe
