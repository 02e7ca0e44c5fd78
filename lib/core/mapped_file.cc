// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "lib/core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

int64_t Nanoseconds(const struct timespec& time) {
  // Wraps around rather than overflows: it is only ever compared.
  return static_cast<int64_t>(static_cast<uint64_t>(time.tv_sec) * 1000000000u +
                              static_cast<uint64_t>(time.tv_nsec));
}

absl::Status OpenError(const std::string& shown, int error,
                       const OpenOptions& options) {
  const std::string path = ShownPath(shown);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Error(Code::F101, path, ": no such file. Check the path.");
    case EACCES:
    case EPERM:
      return Error(Code::F105, path, ": no permission to read it.");
    case ENXIO:
    case ENODEV:
      return Error(Code::F102, path,
                   ": expected a regular file, found a socket "
                   "or device.");
    case ELOOP:
      if (!options.follow_links)
        return Error(Code::F104, path,
                     ": is a symbolic link, which is not followed in a model "
                     "folder. Copy the folder with: cp -rL FOLDER COPY");
      [[fallthrough]];
    default:
      return Error(Code::F106, path,
                   ": cannot be opened: ", std::strerror(error), ".");
  }
}

std::string_view KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

}  // namespace

absl::StatusOr<OpenedFile> OpenedFile::Open(const std::string& path,
                                            const OpenOptions& options) {
  return OpenAt(AT_FDCWD, path, path, options);
}

absl::StatusOr<OpenedFile> OpenedFile::OpenAt(int directory,
                                              const std::string& name,
                                              const std::string& shown,
                                              const OpenOptions& options) {
  if (name.find('\0') != std::string::npos)
    return OpenError(shown, ENOENT, options);
  // Without O_NONBLOCK a pipe that nobody writes to would block here.
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
                    (options.follow_links ? 0 : O_NOFOLLOW);
  OpenedFile file;
  do {
    file.descriptor_ = ::openat(directory, name.c_str(), flags);
  } while (file.descriptor_ < 0 && errno == EINTR);
  if (file.descriptor_ < 0) return OpenError(shown, errno, options);
  file.path_ = shown;

  struct stat info;
  if (::fstat(file.descriptor_, &info) != 0)
    return OpenError(shown, errno, options);
  if (!S_ISREG(info.st_mode))
    return Error(Code::F102, ShownPath(shown),
                 ": expected a regular file, found ", KindOf(info.st_mode),
                 ".");
  if (info.st_size == 0 && !options.allow_empty)
    return Error(Code::F103, ShownPath(shown),
                 ": the file is empty. Fetch or write it again.");
  file.identity_ = {.device = info.st_dev,
                    .inode = info.st_ino,
                    .size = static_cast<uint64_t>(info.st_size),
                    .mtime_ns = Nanoseconds(info.st_mtim),
                    .ctime_ns = Nanoseconds(info.st_ctim)};
  return file;
}

OpenedFile::OpenedFile(OpenedFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      identity_(other.identity_),
      path_(std::move(other.path_)) {}

OpenedFile& OpenedFile::operator=(OpenedFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(identity_, other.identity_);
  std::swap(path_, other.path_);
  return *this;
}

OpenedFile::~OpenedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

absl::Status OpenedFile::ReadAt(uint64_t offset,
                                std::span<std::byte> out) const {
  while (!out.empty()) {
    if (offset > static_cast<uint64_t>(std::numeric_limits<off_t>::max()))
      return Error(Code::F106, ShownPath(path_), ": offset too large.");
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(),
                                static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return Error(Code::F106, ShownPath(path_), ": reading failed at byte ",
                   offset, ": ", std::strerror(errno), ".");
    if (got == 0)
      return Error(Code::F106, ShownPath(path_), ": ends at byte ", offset,
                   " but had ", identity_.size,
                   " bytes when it was opened. Was it cut short meanwhile?");
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> OpenedFile::ReadText(uint64_t limit) const {
  if (size() > limit)
    return Error(Code::J105, ShownPath(path_), ": has ", size(),
                 " bytes, more than the limit of ", limit,
                 " for this kind of file.");
  std::string text(size(), '\0');
  RETURN_IF_ERROR(ReadAt(0, std::as_writable_bytes(std::span(text))));
  return text;
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path,
                                            const OpenOptions& options) {
  ASSIGN_OR_RETURN(OpenedFile file, OpenedFile::Open(path, options));
  return Map(file);
}

absl::StatusOr<MappedFile> MappedFile::Map(const OpenedFile& file) {
  MappedFile mapped;
  mapped.identity_ = file.identity();
  mapped.path_ = file.path();
  if (file.size() == 0) return mapped;
  void* data = ::mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE,
                      file.descriptor(), 0);
  if (data == MAP_FAILED)
    return Error(errno == ENOMEM ? Code::R101 : Code::F106,
                 ShownPath(file.path()), ": mapping ", file.size(),
                 " bytes failed: ", std::strerror(errno), ".");
  mapped.data_ = static_cast<const std::byte*>(data);
  mapped.size_ = file.size();
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      identity_(other.identity_),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(identity_, other.identity_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace moe
