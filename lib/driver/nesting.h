// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// MLIR's parser and printer recurse, so text that nests too deep would end the
// process, and aliases of aliases can stand for more than any memory holds.
// Such text is refused before it is parsed.
#ifndef MOE_LIB_DRIVER_NESTING_H
#define MOE_LIB_DRIVER_NESTING_H

#include "absl/status/status.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>

namespace mlir::moe {

/// Levels of (), [], {} and <> that a program or an alias with those that it
/// names may nest.
inline constexpr int maxNesting = 256;
/// Operators in one affine expression.
inline constexpr int maxOperators = 4096;
/// Bytes that the aliases of a program may stand for, written out.
inline constexpr uint64_t maxExpansion = uint64_t{64} << 20;

/// K104 with the line if |text| is beyond one of these limits or has
/// maxNesting minus signs in a row, K101 if it is bytecode. |where| starts the
/// message. Safe on any bytes.
absl::Status checkNesting(llvm::StringRef text, llvm::StringRef where);

} // namespace mlir::moe

#endif
