// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where a tool's answer goes: a file, replaced as a whole or not at all, or
// standard output.
//
//   RETURN_IF_ERROR(checkOutput(path));        // before the work
//   …
//   RETURN_IF_ERROR(writeOutput(path, text));  // after it
#ifndef MOE_LIB_DRIVER_OUTPUT_H
#define MOE_LIB_DRIVER_OUTPUT_H

#include "absl/status/status.h"
#include "llvm/ADT/StringRef.h"

#include <string>

namespace mlir::moe {

/// Finds out before the work is done whether |path| can be written, and leaves
/// it as it is. "-" and "" are standard output. The codes of AtomicFile.
absl::Status checkOutput(const std::string &path);

/// Writes |bytes| to |path|; "-" and "" are standard output. The codes of
/// WriteFileAtomically() and WriteStdout().
absl::Status writeOutput(const std::string &path, llvm::StringRef bytes);

} // namespace mlir::moe

#endif
