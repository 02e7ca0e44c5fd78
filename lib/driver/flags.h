// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Command lines: a table of flags, errors of one line, the nearest flag for a
// mistyped one.
//
//   std::string output;
//   std::vector<Flag> flags = {
//       {"o", [&](StringRef value) { output = value; return ok; }},
//       {"verbose", [&](StringRef) { verbose = true; return ok; }, false}};
//   absl::StatusOr<std::vector<std::string>> inputs =
//       parseFlags(argc, argv, flags);
#ifndef MOE_LIB_DRIVER_FLAGS_H
#define MOE_LIB_DRIVER_FLAGS_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <functional>
#include <string>
#include <vector>

namespace mlir::moe {

struct Flag {
  /// Without dashes. Names of one letter take one dash, others two.
  std::string name;
  /// Called for each use, in order, with the value (empty if it takes none).
  std::function<absl::Status(llvm::StringRef)> set;
  bool takesValue = true;
};

/// Handles `--name value`, `--name=value`, `-n value`, and `--`, after which
/// nothing is a flag. Returns the other arguments. U101 for an unknown flag,
/// U102 if a value is missing, U103 for a value where none is taken, else the
/// first error of `set`.
absl::StatusOr<std::vector<std::string>>
parseFlags(int argc, const char *const *argv, llvm::ArrayRef<Flag> flags);

} // namespace mlir::moe

#endif
