// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A regular file mapped read-only, and the identity of a file on disk.
//
//   ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open("m.safetensors"));
//   std::span<const std::byte> bytes = file.bytes();  // valid while |file|
//   lives
//
// Opening never blocks on a pipe or device and never creates anything. F101 no
// such file, F102 not a regular file, F103 empty, F104 a symbolic link (only
// with follow_links off), F105 no permission, F106 the system refused.
//
// The bytes are those on disk: if another process cuts the file short while it
// is mapped, reading beyond its new end kills this process (SIGBUS). Files are
// to be replaced by rename, as every writer of this project does.

#ifndef MOE_LIB_CORE_MAPPED_FILE_H_
#define MOE_LIB_CORE_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace moe {

// What tells one state of a file from another without reading it.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;

  bool operator==(const FileIdentity&) const = default;
};

struct OpenOptions {
  // Off: the last component of the path must not be a symbolic link.
  bool follow_links = true;
  bool allow_empty = false;
};

// An open descriptor of a regular file. Movable; closes on destruction.
class OpenedFile {
 public:
  static absl::StatusOr<OpenedFile> Open(const std::string& path,
                                         const OpenOptions& options = {});
  // |name| relative to the open folder |directory|; |shown| is for messages.
  static absl::StatusOr<OpenedFile> OpenAt(int directory,
                                           const std::string& name,
                                           const std::string& shown,
                                           const OpenOptions& options = {});
  OpenedFile(OpenedFile&& other) noexcept;
  OpenedFile& operator=(OpenedFile&& other) noexcept;
  ~OpenedFile();

  int descriptor() const { return descriptor_; }
  uint64_t size() const { return identity_.size; }
  const FileIdentity& identity() const { return identity_; }
  const std::string& path() const { return path_; }

  // The whole file; J105, with nothing read, if it is larger than |limit|.
  absl::StatusOr<std::string> ReadText(uint64_t limit) const;
  // Reads exactly |out.size()| bytes at |offset|; F106 if there are fewer.
  absl::Status ReadAt(uint64_t offset, std::span<std::byte> out) const;

 private:
  OpenedFile() = default;
  int descriptor_ = -1;
  FileIdentity identity_;
  std::string path_;
};

// A whole file mapped read-only. Movable (the address of the bytes does not
// change); unmaps on destruction. Reading from several threads is safe.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path,
                                         const OpenOptions& options = {});
  // Maps |file|, whose descriptor may be closed afterwards.
  static absl::StatusOr<MappedFile> Map(const OpenedFile& file);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const FileIdentity& identity() const { return identity_; }
  const std::string& path() const { return path_; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  FileIdentity identity_;
  std::string path_;
};

}  // namespace moe

#endif  // MOE_LIB_CORE_MAPPED_FILE_H_
