// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_PASSES_ENTRY_PASSES_H
#define MOE_PASSES_ENTRY_PASSES_H

#include "dialect/moe/MoeDialect.h"

#include "mlir/Pass/Pass.h"

namespace mlir::moe::entry {
#define GEN_PASS_DECL
#include "passes/entry/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/entry/Passes.h.inc"

/// The value of parameter |name| at |layer| (null where it has no layers).
Value getParam(OpBuilder &builder, Operation *user, FlatSymbolRefAttr name,
               Value layer);

/// Emits an error unless what |op| names has the sizes that its expansion needs.
LogicalResult checkSugar(Operation *op);

/// Expand one checked operation of attention sugar; the builder stands at |op|.
Value expandAttention(OpBuilder &builder, nn::AttentionOp op);
Value expandLatentAttention(OpBuilder &builder, nn::LatentAttentionOp op);
} // namespace mlir::moe::entry

#endif
