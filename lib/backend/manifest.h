// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The manifest of a module file: what the runtime must know to bind weights
// and call entries. Its format is what runtime/manifest.h reads.
//
// The buffers of an entry are its arguments (the cache apart), "params", the
// cache if it has one, and its results, in this order. Names are `nn.name`
// attributes, else arg<i> and result<i>. Dynamic dimensions are named after
// the buffer: "sequences+1" of cu_seqlens, "sequences" of slot and of logits
// where there is a cache, "pages_per_sequence" of block_table, else "tokens".
#ifndef MOE_LIB_BACKEND_MANIFEST_H
#define MOE_LIB_BACKEND_MANIFEST_H

#include "dialect/nn/NnDialect.h"
#include "lib/core/json.h"

#include "absl/status/statusor.h"
#include "mlir/IR/BuiltinOps.h"

#include <string>

namespace mlir::moe {

inline constexpr llvm::StringLiteral producer = "moe-compile 0.1.0";

struct ManifestOptions {
  /// Of the source, in hexadecimal; may be empty.
  std::string sourceHash;
};

/// The manifest of |module|: a program of the fused phase whose parameters
/// have a place (`nn.index`) and a format (`nn.format`) in the table that
/// entries read. Entries are the functions with `nn.entry`; parameters without
/// `nn.index` are left out. I002 if the module lacks what a manifest says.
absl::StatusOr<::moe::Json> makeManifest(ModuleOp module,
                                         const ManifestOptions &options = {});

/// One element of "params".
absl::StatusOr<::moe::Json> describeParam(nn::ParamOp param);

} // namespace mlir::moe

#endif
