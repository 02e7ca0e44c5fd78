// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Writes a file so that its path holds either the old bytes or all of the new.
//
//   ASSIGN_OR_RETURN(AtomicFile out, AtomicFile::Create("m.safetensors"));
//   RETURN_IF_ERROR(out.Write(bytes));
//   RETURN_IF_ERROR(out.Commit());  // fsync, rename, fsync of the folder
//
// The bytes go to a temporary file in the same folder, which the destructor
// removes unless Commit() succeeded. A path that is a symbolic link keeps the
// link and replaces what it points to. A device or pipe (/dev/null,
// /dev/stdout) is written directly. F201 (exit 4) if the disk is full, F202 on
// another write error, F203 if the file cannot be created, F204 if its folder
// does not exist.

#ifndef MOE_LIB_CORE_ATOMIC_FILE_H_
#define MOE_LIB_CORE_ATOMIC_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace moe {

// Movable; not thread-safe.
class AtomicFile {
 public:
  // |expected_bytes|, if not 0, is reserved on disk first, so that a disk that
  // is too small is noticed before anything is computed or written.
  static absl::StatusOr<AtomicFile> Create(const std::string& path,
                                           uint64_t expected_bytes = 0);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  // Appends. After an error only destruction is useful.
  absl::Status Write(std::span<const std::byte> bytes);
  absl::Status Write(std::string_view text);
  // Bytes written up to now.
  uint64_t written() const { return written_; }
  // Makes the file visible under its path. At most once.
  absl::Status Commit();

 private:
  AtomicFile() = default;
  void Discard();
  absl::Status WriteError(const char* action, int error_number) const;

  int descriptor_ = -1;
  bool direct_ = false;  // a device or pipe: no temporary file
  uint64_t written_ = 0;
  uint64_t expected_ = 0;
  std::string path_;    // as given
  std::string target_;  // links resolved
  std::string temporary_;
};

// Create, Write, Commit.
absl::Status WriteFileAtomically(const std::string& path,
                                 std::string_view text);

// Writes all of |text| to standard output, past stdio. F201 if there is no
// room, R107 if nobody reads it any more, F202 on another error. Signals that
// end the process first (SIGPIPE, SIGXFSZ) are for the caller to ignore.
absl::Status WriteStdout(std::string_view text);

}  // namespace moe

#endif  // MOE_LIB_CORE_ATOMIC_FILE_H_
