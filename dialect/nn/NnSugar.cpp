// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Constraints of the sugar of the model phase.
#include "dialect/nn/NnDialect.h"

using namespace mlir;
using namespace mlir::nn;

/// attention C1, latent_attention C1, mlp C1, head C1
static LogicalResult checkParams(Operation *op,
                                 SymbolTableCollection &symbols) {
  for (NamedAttribute attr : op->getAttrs())
    if (auto name = dyn_cast<FlatSymbolRefAttr>(attr.getValue()))
      if (failed(lookupParam(op, symbols, name)))
        return failure();
  return success();
}

LogicalResult AttentionOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return checkParams(*this, symbols);
}
LogicalResult
LatentAttentionOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return checkParams(*this, symbols);
}
LogicalResult MlpOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return checkParams(*this, symbols);
}
LogicalResult HeadOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return checkParams(*this, symbols);
}

LogicalResult AttentionOp::verify() {
  // attention C2
  if (int64_t(getKvHeads()) < 1 || getHeads() % getKvHeads())
    return emitOpError("expects kv_heads to divide heads, got ")
           << getKvHeads() << " and " << getHeads();
  return success();
}

LogicalResult LatentAttentionOp::verify() {
  // latent_attention C2
  if (bool(getQAAttr()) != bool(getQNormAttr()))
    return emitOpError("expects q_a and q_norm together");
  return success();
}
