// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_PASSES_PARTITION_PASSES_H
#define MOE_PASSES_PARTITION_PASSES_H

#include "dialect/moe/MoeDialect.h"

#include "mlir/Pass/Pass.h"

namespace mlir::moe::partition {
#define GEN_PASS_DECL
#include "passes/partition/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/partition/Passes.h.inc"

/// The attribute of a module that names its mesh: `{dp = 4, ep = 4}`.
inline constexpr llvm::StringLiteral kMesh = "moe.mesh";
/// The attribute of a parameter of which each rank holds an equal part.
inline constexpr llvm::StringLiteral kShard = "moe.shard";
} // namespace mlir::moe::partition

#endif
