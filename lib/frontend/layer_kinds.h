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

/// Loops that together run |layers| in order, `step` layers in each round: as
/// few blocks in all bodies together as can be. Equal layers are one loop of
/// step 1, layers that take turns one loop of their period.
std::vector<LayerRange> periodsOf(llvm::ArrayRef<LayerKind> layers);

/// The parameters of the feed-forward part of equal layers.
struct FeedForward {
  MlpParams dense;
  MoeParams moe;
};

/// A whole decoder of pre-norm blocks, x + attention(norm(x)), then
/// x + feed-forward(norm(x)), in the loops of periodsOf. |declare| makes the
/// parameters of one place in one loop; names it gives them end in |suffix|,
/// which is empty for the first of a kind. Dense layers have RMS norms.
void buildDecoder(ImportContext &in, const FrameParams &frame,
                  const AttentionParams &attn, const RopeTable &rope,
                  llvm::ArrayRef<LayerKind> layers,
                  llvm::function_ref<FeedForward(bool mixture, LayerRange range,
                                                 const std::string &suffix)>
                      declare);

/// `intermediate_size`, which a model with a dense layer must have; 0 without.
absl::StatusOr<int64_t> readDenseWidth(::moe::JsonFields &config,
                                       llvm::ArrayRef<LayerKind> layers);

/// Feed-forward parts under model.layers.{i}.mlp. with the usual names: a dense
/// MLP, or a router, experts and what belongs to them.
struct FeedForwardConfig {
  ExpertsConfig experts = {};
  int64_t denseWidth = 0, segments = 1;
  bool bias = false; ///< of dense and shared MLPs
  /// Width and name of the shared experts ("shared_experts."); 0: none.
  int64_t sharedWidth = 0;
  llvm::StringRef shared = "shared_experts.";
  bool sharedGate = false; ///< shared_expert_gate.weight scales them
  /// The bias that experts are chosen with, and its shape; empty: none.
  llvm::StringRef gateBias = "";
  llvm::SmallVector<int64_t, 3> gateBiasShape = {};
};

/// buildDecoder for these parts. |router| is asked once.
void buildDecoder(
    ImportContext &in, const FrameParams &frame, const AttentionParams &attn,
    const RopeTable &rope, llvm::ArrayRef<LayerKind> layers,
    const FeedForwardConfig &config,
    llvm::function_ref<FlatSymbolRefAttr(Param gate, Param bias)> router);

} // namespace mlir::moe::frontend

#endif
