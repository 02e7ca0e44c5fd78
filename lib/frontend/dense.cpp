// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/dense.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

absl::Status buildDense(ImportContext &in, const DenseConfig &config,
                        llvm::ArrayRef<LayerKind> layers) {
  ASSIGN_OR_RETURN(HeadsConfig h, readHeads(in.config, in.common.hidden));
  ASSIGN_OR_RETURN(int64_t width, readDenseWidth(in.config, layers));
  ASSIGN_OR_RETURN(RopeTable rope, readRotary(in, h.headDim, config.theta));
  FrameParams frame = declareFrame(in);
  AttentionParams attn = declareAttention(in, h, config.bias);
  if (config.headNorms)
    declareHeadNorms(in, attn, h.headDim, h.headDim);
  FeedForwardConfig ffn{.denseWidth = width, .bias = config.mlpBias};
  buildDecoder(in, frame, attn, rope, layers, ffn,
               [](Param, Param) { return FlatSymbolRefAttr(); });
  return absl::OkStatus();
}

} // namespace mlir::moe::frontend
