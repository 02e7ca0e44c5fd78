// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/file_hook.h"
#include "lib/core/folder.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

absl::Status CreateError(const std::string& path, std::string_view reason) {
  return Error(Code::F203, ShownPath(path), ": cannot be created: ", reason,
               ".");
}

bool IsFull(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

uint64_t FreeBytes(int descriptor) {
  struct statvfs info;
  if (::fstatvfs(descriptor, &info) != 0) return 0;
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

// A name in the same folder that nobody uses: short enough for the file system
// and hidden, so that no pattern such as *.safetensors finds it.
std::string TemporaryName(const std::string& target, int attempt) {
  struct timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return Joined(FolderOf(target), "/.", NameOf(target).substr(0, 180), ".",
                static_cast<int64_t>(::getpid()), ".",
                static_cast<int64_t>(now.tv_nsec), ".", attempt, ".tmp");
}

}  // namespace

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path,
                                              uint64_t expected_bytes) {
  AtomicFile file;
  file.path_ = file.target_ = path;
  file.expected_ = expected_bytes;
  if (path.empty() || path.find('\0') != std::string::npos ||
      path.back() == '/')
    return CreateError(path, "the path does not name a file");

  struct stat info;
  if (::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) {
    std::unique_ptr<char, decltype(&std::free)> real(
        ::realpath(path.c_str(), nullptr), &std::free);
    if (!real) return CreateError(path, "it is a symbolic link to nothing");
    file.target_ = real.get();
  }
  mode_t mode = 0;
  // By the path as given: /dev/stdout leads to a pipe that has no real path.
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return CreateError(path, "it is a folder");
    if (S_ISBLK(info.st_mode)) return CreateError(path, "it is a disk");
    file.direct_ = !S_ISREG(info.st_mode);
    mode = info.st_mode & 0777;
  }
  if (file.direct_) {
    file.descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (file.descriptor_ < 0) return CreateError(path, std::strerror(errno));
    return file;
  }

  for (int attempt = 0; attempt < 100 && file.descriptor_ < 0; ++attempt) {
    const std::string name = TemporaryName(file.target_, attempt);
    file.descriptor_ =
        FileCallFails("open")
            ? -1
            : ::open(name.c_str(),
                     O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                     0666);
    if (file.descriptor_ >= 0)
      file.temporary_ = name;
    else if (errno != EEXIST && errno != EINTR)
      break;
  }
  if (file.descriptor_ < 0) {
    if (errno == ENOENT || errno == ENOTDIR)
      return Error(Code::F204, ShownPath(path), ": its folder does not exist. ",
                   "Create it first.");
    if (IsFull(errno)) return file.WriteError("create the file", errno);
    return CreateError(path, std::strerror(errno));
  }
  if (mode != 0)  // replace the bytes, not the permissions
    (void)::fchmod(file.descriptor_, mode);
  if (expected_bytes > 0 &&
      (FileCallFails("fallocate") ||
       ::fallocate(file.descriptor_, FALLOC_FL_KEEP_SIZE, 0,
                   static_cast<off_t>(expected_bytes)) != 0) &&
      IsFull(errno))
    return file.WriteError("reserve", errno);
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      direct_(other.direct_),
      written_(other.written_),
      expected_(other.expected_),
      path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(direct_, other.direct_);
  std::swap(written_, other.written_);
  std::swap(expected_, other.expected_);
  std::swap(path_, other.path_);
  std::swap(target_, other.target_);
  std::swap(temporary_, other.temporary_);
  return *this;
}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Discard() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  if (!temporary_.empty()) ::unlink(std::exchange(temporary_, {}).c_str());
}

absl::Status AtomicFile::WriteError(const char* action, int error) const {
  const std::string path = ShownPath(path_);
  const std::string_view intact = direct_ ? "" : " Nothing was overwritten.";
  if (IsFull(error)) {
    const uint64_t needed = expected_ > written_ ? expected_ : written_;
    return Error(Code::F201, path, ": no room on the disk to ", action,
                 needed ? Joined(" (needs ", needed, " bytes, ") : " (",
                 FreeBytes(descriptor_), " free): ", std::strerror(error), ".",
                 intact, " Free space or write elsewhere.");
  }
  return Error(Code::F202, path, ": could not ", action, ": ",
               std::strerror(error), ".", intact);
}

absl::Status AtomicFile::Write(std::span<const std::byte> bytes) {
  if (descriptor_ < 0)
    return Error(Code::I002, "write after the end of ", Quoted(path_));
  while (!bytes.empty()) {
    // Linux writes at most 2 GiB at a time in any case.
    const size_t part = std::min(bytes.size(), size_t{1} << 30);
    const ssize_t done =
        FileCallFails("write") ? -1 : ::write(descriptor_, bytes.data(), part);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      const int error = errno;
      written_ += bytes.size();  // what was needed, for the message
      return WriteError("write", error);
    }
    written_ += static_cast<uint64_t>(done);
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Write(std::string_view text) {
  return Write(std::as_bytes(std::span(text)));
}

absl::Status AtomicFile::Commit() {
  if (descriptor_ < 0)
    return Error(Code::I002, "second commit of ", Quoted(path_));
  if (!direct_ && (FileCallFails("fsync") || ::fsync(descriptor_) != 0))
    return WriteError("write", errno);
  const bool lost = FileCallFails("close");
  if ((::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) || lost)
    return WriteError("write", errno);
  if (direct_) return absl::OkStatus();
  if (FileCallFails("rename") ||
      ::rename(temporary_.c_str(), target_.c_str()) != 0)
    return WriteError("rename the temporary file", errno);
  temporary_.clear();
  // Without this the rename itself may be lost by a power cut.
  return SyncFolder(FolderOf(target_));
}

absl::Status WriteFileAtomically(const std::string& path,
                                 std::string_view text) {
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, text.size()));
  RETURN_IF_ERROR(file.Write(text));
  return file.Commit();
}

absl::Status WriteStdout(std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(STDOUT_FILENO, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EPIPE)
      return Error(Code::R107, "standard output was closed before all was ",
                   "written.");
    if (done < 0)
      return Error(IsFull(errno) ? Code::F201 : Code::F202,
                   "standard output: could not write: ", std::strerror(errno),
                   ".");
    text.remove_prefix(static_cast<size_t>(done));
  }
  return absl::OkStatus();
}

}  // namespace moe
