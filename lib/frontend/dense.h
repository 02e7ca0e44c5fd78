// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Decoders without experts: the donors that --rewrite makes mixtures of.
#ifndef MOE_LIB_FRONTEND_DENSE_H
#define MOE_LIB_FRONTEND_DENSE_H

#include "lib/frontend/layer_kinds.h"

namespace mlir::moe::frontend {

/// What differs among them; the rest is read from config.json.
struct DenseConfig {
  AttentionBias bias = {};
  bool mlpBias = false;
  bool headNorms = false; ///< RMS norms of the queries and keys of each head
  double theta = 1e4;     ///< of rotary tables without one of their own
};

/// A decoder of |layers|, none of which is a mixture, with the usual names.
absl::Status buildDense(ImportContext &in, const DenseConfig &config,
                        llvm::ArrayRef<LayerKind> layers);

} // namespace mlir::moe::frontend

#endif
