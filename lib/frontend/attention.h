// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Grouped-query attention as decoders have it: projections, norms of queries
// and keys, rotation, scores within a window, output projection.
#ifndef MOE_LIB_FRONTEND_ATTENTION_H
#define MOE_LIB_FRONTEND_ATTENTION_H

#include "lib/frontend/family.h"

namespace mlir::moe::frontend {

struct AttentionParams {
  HeadsConfig heads = {};
  Param q = {}, k = {}, v = {}, o = {};
  Param qBias = {}, kBias = {}, vBias = {}, oBias = {}; ///< may be absent
  /// RMS norms of queries and keys before the rotation, of each head or of all
  /// heads together, by the size of the weight; may be absent.
  Param qNorm = {}, kNorm = {};
  Param sinks = {}; ///< [H]: logits that join the softmax; may be absent
  double normEps = 0;
  double clip = 0;  ///< queries, keys and values are cut to ±clip; 0: not
  double scale = 1; ///< of scores
  nn::RopePairing pairing = nn::RopePairing::Half;
};

/// Which projections have a bias.
struct AttentionBias {
  bool qkv = false, out = false;
};

/// Tensors model.layers.{i}.self_attn.q_proj.weight and so on; scale 1/√head_dim.
AttentionParams declareAttention(ImportContext &in, const HeadsConfig &heads,
                                 AttentionBias bias = {});
/// Adds q_norm and k_norm of these sizes.
void declareHeadNorms(ImportContext &in, AttentionParams &params, int64_t qSize,
                      int64_t kSize);

/// |params| as a loop over |layers| reads them.
AttentionParams over(ModelBuilder &m, AttentionParams params,
                     LayerRange layers);

/// attention(x), without norm and residual; |window| 0: none.
Value attention(ModelBuilder &m, const AttentionParams &params, Value x,
                Value table, Value layer, int64_t window = 0);

} // namespace mlir::moe::frontend

#endif
