// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/link.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/backend/object.h"
#include "lib/core/errors.h"
#include "test/backend/program.h"

namespace mlir::moe {
namespace {

using ::moe::Code;
using ::moe::HasCode;
using ::testing::HasSubstr;

using Bytes = llvm::SmallVector<char>;

absl::StatusOr<Bytes> Linked(std::string_view text,
                             CpuLevel level = CpuLevel::V3) {
  Program program(text);
  auto object = emitObject(program.module(), level);
  if (!object.ok()) return object.status();
  return linkSharedObject(*object);
}

// A loaded object, unloaded at the end.
class Loaded {
 public:
  explicit Loaded(const Bytes& bytes) {
    const int file = memfd_create("code", MFD_CLOEXEC);
    EXPECT_EQ(write(file, bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) ADD_FAILURE() << dlerror();
    close(file);
  }
  ~Loaded() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  // What moe_module_v1 of program.h returns.
  template <typename F>
  F Entry() {
    auto table = reinterpret_cast<void* (*)()>(dlsym(handle_, "moe_module_v1"));
    EXPECT_NE(table, nullptr);
    return table == nullptr ? nullptr : reinterpret_cast<F>(table());
  }

 private:
  void* handle_ = nullptr;
};

TEST(Link, ObjectRunsAndExportsOneSymbol) {
  auto object = Linked(WithTable(R"(
llvm.func @moe_entry_run(%a: i32, %b: i32) -> i32 {
  %0 = llvm.add %a, %b : i32
  llvm.return %0 : i32
})"));
  ASSERT_TRUE(object.ok()) << object.status().ToString();
  Loaded loaded(*object);
  auto add = loaded.Entry<int (*)(int, int)>();
  ASSERT_NE(add, nullptr);
  EXPECT_EQ(add(40, 2), 42);
}

TEST(Link, MemoryFunctionsAreInsideTheObject) {
  auto object = Linked(WithTable(R"(
llvm.func @moe_entry_run(%kind: i32, %to: !llvm.ptr, %from: !llvm.ptr, %n: i64) {
  %zero = llvm.mlir.constant(0 : i32) : i32
  %byte = llvm.mlir.constant(7 : i8) : i8
  %copy = llvm.icmp "eq" %kind, %zero : i32
  llvm.cond_br %copy, ^copy, ^other
^copy:
  "llvm.intr.memcpy"(%to, %from, %n) <{isVolatile = false}> : (!llvm.ptr, !llvm.ptr, i64) -> ()
  llvm.return
^other:
  %one = llvm.mlir.constant(1 : i32) : i32
  %move = llvm.icmp "eq" %kind, %one : i32
  llvm.cond_br %move, ^move, ^set
^move:
  "llvm.intr.memmove"(%to, %from, %n) <{isVolatile = false}> : (!llvm.ptr, !llvm.ptr, i64) -> ()
  llvm.return
^set:
  "llvm.intr.memset"(%to, %byte, %n) <{isVolatile = false}> : (!llvm.ptr, i8, i64) -> ()
  llvm.return
})"));
  ASSERT_TRUE(object.ok()) << object.status().ToString();
  Loaded loaded(*object);
  auto run = loaded.Entry<void (*)(int, void*, const void*, int64_t)>();
  ASSERT_NE(run, nullptr);
  for (const int64_t n : {0, 1, 7, 64, 1000})
    for (const int64_t distance : {-1000, -3, -1, 0, 1, 3, 1000}) {
      std::vector<char> expected(4000), found(4000);
      for (size_t i = 0; i < found.size(); ++i)
        expected[i] = found[i] = static_cast<char>(i * 31 % 251);
      std::memmove(&expected[2000], &expected[2000 - distance],
                   static_cast<size_t>(n));
      run(std::abs(distance) >= n && n > 0 ? 0 : 1, &found[2000],
          &found[2000 - distance], n);
      EXPECT_EQ(expected, found) << n << " bytes over " << distance;
      std::memset(&expected[100], 7, static_cast<size_t>(n));
      run(2, &found[100], nullptr, n);
      EXPECT_EQ(expected, found) << n << " bytes set";
    }
}

TEST(Link, NamesAnUndefinedSymbol) {
  const absl::Status status = Linked(WithTable(R"(
llvm.func @expf(f32) -> f32
llvm.func @moe_entry_run(%x: f32) -> f32 {
  %0 = llvm.call @expf(%x) : (f32) -> f32
  llvm.return %0 : f32
})"))
                                  .status();
  EXPECT_TRUE(HasCode(status, Code::I002));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("undefined symbol: expf"));
}

TEST(Link, RefusesThreadLocalData) {
  const absl::Status status = Linked(WithTable(R"(
llvm.mlir.global internal thread_local @state(0 : i32) : i32
llvm.func @moe_entry_run() -> !llvm.ptr {
  %0 = llvm.mlir.addressof @state : !llvm.ptr
  llvm.return %0 : !llvm.ptr
})"))
                                  .status();
  EXPECT_FALSE(status.ok());
}

TEST(Link, RefusesInitialisers) {
  const absl::Status status = Linked(WithTable(R"(
llvm.mlir.global_ctors ctors = [@moe_entry_run], priorities = [0 : i32], data = [#llvm.zero]
llvm.func @moe_entry_run() {
  llvm.return
})"))
                                  .status();
  EXPECT_TRUE(HasCode(status, Code::I002));
  EXPECT_THAT(std::string(status.message()), HasSubstr("when it is loaded"));
}

TEST(Link, RefusesAnObjectWithoutTheTable) {
  const absl::Status status = Linked(R"(
llvm.func @f() {
  llvm.return
})")
                                  .status();
  EXPECT_TRUE(HasCode(status, Code::I002));
}

TEST(Link, RefusesWhatIsNoObject) {
  const std::string text = "no object at all";
  EXPECT_TRUE(HasCode(linkSharedObject({text.data(), text.size()}).status(),
                      Code::I002));
  EXPECT_TRUE(
      HasCode(checkSharedObject({text.data(), text.size()}), Code::I002));
}

TEST(Link, TellsThatThereIsNoLinker) {
  const absl::Status status = linkSharedObject({}, "/nowhere/ld.lld").status();
  EXPECT_TRUE(HasCode(status, Code::K106));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/ld.lld"));
}

TEST(Link, LeavesNoTemporaryFiles) {
  const std::string folder =
      (std::filesystem::path(::testing::TempDir()) / "moe-link-test").string();
  std::filesystem::create_directory(folder);
  setenv("TMPDIR", folder.c_str(), 1);
  EXPECT_FALSE(linkSharedObject({}).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove(folder);
  const absl::Status status = linkSharedObject({}).status();
  EXPECT_TRUE(HasCode(status, Code::F203)) << status.ToString();
  unsetenv("TMPDIR");
}

}  // namespace
}  // namespace mlir::moe
