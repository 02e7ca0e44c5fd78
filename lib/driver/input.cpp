// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/input.h"

#include "lib/core/errors.h"
#include "lib/core/mapped_file.h"
#include "lib/core/status_macros.h"
#include "lib/driver/crash.h"
#include "lib/frontend/import.h"

#include "llvm/Support/FileSystem.h"

using namespace mlir;
using namespace mlir::moe;

/// No program of a model comes near: layers are loops.
static constexpr uint64_t maxTextBytes = uint64_t{64} << 20;

absl::StatusOr<OwningOpRef<ModuleOp>>
mlir::moe::loadProgram(MLIRContext &context, const std::string &path,
                       const LogLine &log) {
  if (!llvm::sys::fs::is_directory(path)) {
    ASSIGN_OR_RETURN(auto file, ::moe::OpenedFile::Open(path));
    ASSIGN_OR_RETURN(std::string text, file.ReadText(maxTextBytes));
    return parseProgram(context, text, path, log);
  }
  setCrashStep("the import");
  ImportReport report;
  auto module = importFolder(context, path, {}, &report);
  if (log)
    for (const std::string &line : report.lines)
      log(line);
  return module;
}
