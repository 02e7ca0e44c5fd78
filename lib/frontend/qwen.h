// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the Qwen families share: which layers are mixtures, and the softmax
// router whose weights are scaled to sum 1 on request.
#ifndef MOE_LIB_FRONTEND_QWEN_H
#define MOE_LIB_FRONTEND_QWEN_H

#include "lib/frontend/layer_kinds.h"

namespace mlir::moe::frontend {

/// `mlp_only_layers` and `decoder_sparse_step` into |layers|.
absl::Status readSparseLayers(::moe::JsonFields &config,
                              llvm::MutableArrayRef<LayerKind> layers);

/// softmax(gate·x), the best K, scaled to sum 1 if |normalize|.
FlatSymbolRefAttr declareSoftmaxRouter(ImportContext &in, llvm::StringRef name,
                                       const ExpertsConfig &experts, Param gate,
                                       bool normalize);

} // namespace mlir::moe::frontend

#endif
