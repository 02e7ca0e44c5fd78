// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where a program comes from: a file of MLIR text or a Hugging Face folder.
#ifndef MOE_LIB_DRIVER_INPUT_H
#define MOE_LIB_DRIVER_INPUT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <functional>
#include <string>

namespace mlir::moe {

/// One line for the user, without its newline.
using LogLine = std::function<void(const std::string &)>;

/// Parses and verifies |text|; |where| is its name in messages and locations.
/// K104 nested too deep, K101 malformed, K102 breaks a rule of an operation.
absl::StatusOr<OwningOpRef<ModuleOp>> parseProgram(MLIRContext &context,
                                                   StringRef text,
                                                   StringRef where,
                                                   const LogLine &log = {});

/// The program of |path|: a folder is imported, anything else is read and
/// parsed. What the import read and did not use goes to |log|.
absl::StatusOr<OwningOpRef<ModuleOp>> loadProgram(MLIRContext &context,
                                                  const std::string &path,
                                                  const LogLine &log = {});

/// Makes every moe.layer of |module| route by NAME of FILE, where |router| is
/// "FILE@NAME". The router's parameters are those that the layer already has;
/// their element types follow the checkpoint. K107 if there is no such router,
/// K102 if it does not fit a layer, or the codes of parseProgram().
absl::Status replaceRouters(ModuleOp module, StringRef router,
                            const LogLine &log = {});

} // namespace mlir::moe

#endif
