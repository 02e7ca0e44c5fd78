// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Latent attention (DeepSeek-V2, 2024): keys and values of all heads are views
// of one compressed vector per token, which is what the cache holds.
#ifndef MOE_LIB_FRONTEND_LATENT_H
#define MOE_LIB_FRONTEND_LATENT_H

#include "lib/frontend/family.h"

namespace mlir::moe::frontend {

struct LatentConfig {
  int64_t heads, qRank, rank; ///< qRank 0: queries are not compressed
  int64_t nope, rope, value;  ///< dims of a head
  bool bias;
};
absl::StatusOr<LatentConfig> readLatent(::moe::JsonFields &fields);

struct LatentParams {
  Param qA, qNorm, q, kvA, kvNorm, kUp, vUp, o, qABias, kvABias, oBias;
  Param norm; ///< of the block, with |eps|
  double eps;
  nn::RopePairing pairing = nn::RopePairing::Interleaved;
};
/// Tensors under model.layers.{i}.self_attn.
LatentParams declareLatent(ImportContext &in, const LatentConfig &config,
                           Param norm);

/// y + attention(norm(y)).
Value latentAttention(ModelBuilder &m, const LatentConfig &config,
                      const LatentParams &params, const RopeTable &rope,
                      Value table, Value layer, Value y);

} // namespace mlir::moe::frontend

#endif
