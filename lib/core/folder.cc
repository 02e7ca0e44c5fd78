// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/core/folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "lib/core/errors.h"
#include "lib/core/file_hook.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

absl::Status FolderError(Code code, const std::string& path, const char* what,
                         const std::error_code& error) {
  const int number = error ? error.value() : errno;
  const bool full = number == ENOSPC || number == EDQUOT;
  return Error(
      full ? Code::F201 : code, ShownPath(path), ": cannot be ", what, ": ",
      number == EEXIST ? "a file has that name" : std::strerror(number), ".");
}

}  // namespace

absl::Status SyncFolder(const std::string& folder) {
  const int descriptor =
      ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0)
    return absl::OkStatus();  // a folder that may be written but not read
  const bool failed =
      FileCallFails("fsync of a folder") || ::fsync(descriptor) != 0;
  const bool lost = failed && errno == EIO;
  ::close(descriptor);
  if (!lost) return absl::OkStatus();
  return Error(Code::F202, ShownPath(folder),
               ": what was written there could not be synced to disk.");
}

absl::Status MakeFolders(const std::string& folder) {
  const fs::path path = fs::path(folder).lexically_normal();
  std::error_code error;
  if (fs::is_directory(path, error)) return absl::OkStatus();
  error.clear();
  const fs::path parent = path.has_filename()
                              ? path.parent_path()
                              : path.parent_path().parent_path();
  if (!parent.empty()) RETURN_IF_ERROR(MakeFolders(parent.string()));
  if (FileCallFails("mkdir") || (fs::create_directory(path, error), error))
    return FolderError(Code::F203, folder, "made", error);
  return SyncFolder(parent.empty() ? "." : parent.string());
}

absl::Status RemoveAll(const std::string& path) {
  std::error_code error;
  if (FileCallFails("unlink") || (fs::remove_all(path, error), error))
    return FolderError(Code::F202, path, "removed", error);
  return absl::OkStatus();
}

}  // namespace moe
