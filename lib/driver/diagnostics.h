// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// MLIR's diagnostics as errors of one line.
#ifndef MOE_LIB_DRIVER_DIAGNOSTICS_H
#define MOE_LIB_DRIVER_DIAGNOSTICS_H

#include "lib/core/errors.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"

#include "absl/status/status.h"

#include <functional>
#include <string>

namespace mlir::moe {

/// Keeps the first error that is emitted while it lives and passes warnings on.
/// Not for several threads with one context.
class DiagnosticCollector {
public:
  explicit DiagnosticCollector(
      MLIRContext &context,
      std::function<void(const std::string &)> warn = nullptr);

  /// |code| with the first error as "file:line: message"; |where| stands in
  /// for an unknown place. I002 if no error was emitted.
  absl::Status error(::moe::Code code, StringRef where) const;
  bool hasError() const { return !message.empty(); }

private:
  std::string place, message;
  ScopedDiagnosticHandler handler;
};

/// "file:line" of |location|, the file alone for a whole module, or nothing.
std::string shownPlace(Location location);

/// Makes |passes| tell what they do to crash.h and remembers which one failed.
class PassTracker {
public:
  /// |passes| must be run while this lives.
  explicit PassTracker(PassManager &passes);
  /// The argument of the pass that failed ("verify-model"), or nothing.
  const std::string &failed() const { return failedPass; }

private:
  std::string failedPass;
};

/// The code of an error that |pass| reported: what the user's program breaks
/// is K102 or K103, what our own pipeline left behind I003.
::moe::Code codeOfPass(StringRef pass);

} // namespace mlir::moe

#endif
