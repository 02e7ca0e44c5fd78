// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/backend/link.h"

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

#include <cerrno>

using llvm::SmallString;
using llvm::StringRef;
using ::moe::Code;
using ::moe::Error;

absl::StatusOr<std::string> mlir::moe::findLinker() {
  for (StringRef name : {"ld.lld-22", "ld.lld"})
    if (auto path = llvm::sys::findProgramByName(name))
      return *path;
  if (auto path =
          llvm::sys::findProgramByName("ld.lld", {"/usr/lib/llvm-22/bin"}))
    return *path;
  return Error(Code::K106, "no linker: neither ld.lld-22 nor ld.lld is in "
                           "PATH. Install the package lld-22.");
}

static absl::Status fileError(StringRef action, std::error_code error) {
  bool full = error == std::errc::no_space_on_device ||
              error == std::errc::file_too_large ||
              error == std::error_code(EDQUOT, std::generic_category());
  Code code = full ? Code::F201 : Code::F203;
  return Error(code, "temporary file for the linker: ", action.str(), ": ",
               error.message(), ". Set TMPDIR to another folder.");
}

static absl::Status writeFile(StringRef path, llvm::ArrayRef<char> bytes) {
  std::error_code error;
  llvm::raw_fd_ostream stream(path, error);
  if (!error) {
    stream.write(bytes.data(), bytes.size());
    stream.close();
    error = stream.error();
    stream.clear_error();
  }
  return error ? fileError("cannot write", error) : absl::OkStatus();
}

/// "undefined symbol: expf" of "ld.lld-22: error: undefined symbol: expf\n>>>
/// referenced by …".
static std::string firstError(StringRef text) {
  StringRef line = text.split('\n').first;
  return line
      .substr(line.find("error: ") == StringRef::npos
                  ? 0
                  : line.find("error: ") + strlen("error: "))
      .str();
}

static absl::Status runLinker(StringRef linker, StringRef input,
                              StringRef output, StringRef log) {
  StringRef arguments[] = {linker,
                           "-shared",
                           "-z",
                           "defs",
                           "-z",
                           "now",
                           "-z",
                           "noexecstack",
                           "-z",
                           "text",
                           "--gc-sections",
                           "--strip-debug",
                           "--hash-style=gnu",
                           "--build-id=none",
                           "--threads=1",
                           "--color-diagnostics=never",
                           "-o",
                           output,
                           input};
  std::string message;
  bool notRun = false;
  int code = llvm::sys::ExecuteAndWait(linker, arguments, std::nullopt,
                                       {StringRef(""), log, log}, 0, 0,
                                       &message, &notRun);
  if (code == 0)
    return absl::OkStatus();
  if (notRun || code < 0)
    return Error(Code::K106, ::moe::ShownPath(linker.str()), ": ",
                 message.empty() ? "cannot be run" : message,
                 ". Install the package lld-22.");
  auto text = llvm::MemoryBuffer::getFile(log);
  std::string why = text ? firstError((*text)->getBuffer()) : "";
  StringRef reason = why;
  static constexpr StringRef noRoom[] = {"No space left", "File too large",
                                         "Disk quota"};
  if (llvm::any_of(noRoom,
                   [&](StringRef words) { return reason.contains(words); }))
    return Error(Code::F201, "temporary file for the linker: ", why,
                 ". Set TMPDIR to another folder.");
  return Error(Code::I002, "the linker refuses generated code: ",
               why.empty() ? message : why);
}

absl::StatusOr<llvm::SmallVector<char>>
mlir::moe::linkSharedObject(llvm::ArrayRef<char> object, StringRef linker) {
  std::string program = linker.str();
  if (program.empty()) {
    ASSIGN_OR_RETURN(program, findLinker());
  }
  SmallString<128> folder;
  if (std::error_code error =
          llvm::sys::fs::createUniqueDirectory("moe-link", folder))
    return fileError("cannot create a folder", error);
  llvm::scope_exit remove([&] {
    llvm::sys::fs::remove_directories(folder, /*IgnoreErrors=*/true);
  });
  auto inFolder = [&](StringRef name) {
    SmallString<128> path(folder);
    llvm::sys::path::append(path, name);
    return path;
  };
  SmallString<128> input = inFolder("code.o"), output = inFolder("code.so"),
                   log = inFolder("log");
  RETURN_IF_ERROR(writeFile(input, object));
  RETURN_IF_ERROR(runLinker(program, input, output, log));
  auto linked = llvm::MemoryBuffer::getFile(output, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!linked)
    return fileError("cannot read", linked.getError());
  llvm::SmallVector<char> bytes((*linked)->getBufferStart(),
                                (*linked)->getBufferEnd());
  RETURN_IF_ERROR(checkSharedObject(bytes));
  return bytes;
}
