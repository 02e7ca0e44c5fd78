// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/output.h"

#include "lib/core/atomic_file.h"

static bool isStdout(llvm::StringRef path) {
  return path.empty() || path == "-";
}

absl::Status mlir::moe::checkOutput(const std::string &path) {
  return isStdout(path) ? absl::OkStatus()
                        : ::moe::AtomicFile::Create(path).status();
}

absl::Status mlir::moe::writeOutput(const std::string &path,
                                    llvm::StringRef bytes) {
  std::string_view text(bytes.data(), bytes.size());
  return isStdout(path) ? ::moe::WriteStdout(text)
                        : ::moe::WriteFileAtomically(path, text);
}
