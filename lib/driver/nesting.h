// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// MLIR's parser and printer recurse, so text that nests too deep would end the
// process. It is refused before it is parsed.
#ifndef MOE_LIB_DRIVER_NESTING_H
#define MOE_LIB_DRIVER_NESTING_H

#include "absl/status/status.h"
#include "llvm/ADT/StringRef.h"

namespace mlir::moe {

/// Levels of (), [], {} and <> that a program may nest.
inline constexpr int maxNesting = 256;

/// K104 with the line if |text| nests deeper than maxNesting or has as many
/// minus signs in a row, K101 if it is bytecode. |where| starts the message.
/// Safe on any bytes.
absl::Status checkNesting(llvm::StringRef text, llvm::StringRef where);

} // namespace mlir::moe

#endif
