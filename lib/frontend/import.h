// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Turns a Hugging Face folder into a module of the model phase.
//
//   ImportReport report;
//   auto module = importFolder(context, "DIR", {.name = "tiny"}, &report);
//   if (!module.ok()) return ::moe::ExitCode(module.status());
//
// Reads config.json, generation_config.json and the headers of the safetensors
// files, never a weight. Every tensor of the checkpoint is either the source of
// an `nn.param` or named in the report; every key of config.json is either
// read, known to change nothing, or refused.
#ifndef MOE_LIB_FRONTEND_IMPORT_H
#define MOE_LIB_FRONTEND_IMPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include "absl/status/statusor.h"

#include <string>
#include <vector>

namespace mlir::moe {

struct ImportOptions {
  /// Name of the model; empty: the name of the folder.
  std::string name;
  /// Opens files through symbolic links, for folders of the user's own.
  bool followLinks = false;
};

/// What an import read and what it did not use: lines for a log, each without
/// its newline.
struct ImportReport {
  std::vector<std::string> lines;
};

/// The module of the folder |path|, verified, owned by the caller; |context|
/// must outlive it. Loads the dialects nn, moe and arith into |context|. Not
/// safe for two threads with one context. |report|, if given, is filled even
/// where the import fails.
///
/// Attributes of the module: `moe.name`, `moe.config` (config.json as one line
/// of text), `moe.max_positions` and `moe.eos_token_ids` (from config.json,
/// then generation_config.json).
///
/// Errors: C101 to C110 for the configuration, W101 to W110 for tensors that
/// do not fit it, and the codes of lib/core/checkpoint.h.
absl::StatusOr<OwningOpRef<ModuleOp>>
importFolder(MLIRContext &context, const std::string &path,
             const ImportOptions &options = {}, ImportReport *report = nullptr);

/// The model types that can be imported, sorted.
std::vector<std::string> supportedModelTypes();

} // namespace mlir::moe

#endif
