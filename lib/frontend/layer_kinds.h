// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Models whose layers differ: dense or mixture, full or windowed attention.
#ifndef MOE_LIB_FRONTEND_LAYER_KINDS_H
#define MOE_LIB_FRONTEND_LAYER_KINDS_H

#include "lib/frontend/attention.h"

namespace mlir::moe::frontend {

struct LayerKind {
  bool mixture = true;
  int64_t window = 0; ///< 0: full attention
  bool operator==(const LayerKind &) const = default;
};

/// Which layers attend within |window|: `layer_types` where it is given, else
/// what |slides| says. C105, C106 for a list that makes no sense.
absl::Status readWindows(::moe::JsonFields &config, int64_t window,
                         llvm::function_ref<bool(int64_t)> slides,
                         llvm::MutableArrayRef<LayerKind> layers);

/// The parameters of the feed-forward part of one run of equal layers.
struct FeedForward {
  MlpParams dense;
  MoeParams moe;
};

/// A whole decoder of pre-norm blocks, x + attention(norm(x)), then
/// x + feed-forward(norm(x)): one loop for each run of layers of one kind.
/// |declare| makes the parameters of a run; names it gives them end in |suffix|,
/// which is empty for the first run of a kind. Dense layers have RMS norms.
void buildDecoder(ImportContext &in, const FrameParams &frame,
                  const AttentionParams &attn, const RopeTable &rope,
                  llvm::ArrayRef<LayerKind> layers,
                  llvm::function_ref<FeedForward(bool mixture, LayerRange range,
                                                 const std::string &suffix)>
                      declare);

} // namespace mlir::moe::frontend

#endif
