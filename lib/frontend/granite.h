// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Granite MoE (2024) without and with a shared expert: softmax over the best K
// logits, and scalars on embeddings, scores, residual branches and logits.
#ifndef MOE_LIB_FRONTEND_GRANITE_H
#define MOE_LIB_FRONTEND_GRANITE_H

#include "lib/frontend/attention.h"

namespace mlir::moe::frontend {

struct GraniteScales {
  double embedding = 1, attention = 1, residual = 1, logits = 1;
};

absl::Status buildGranite(ImportContext &in, bool withShared);

#define MOE_GRANITE_KEYS                                                       \
  {"num_local_experts", KeyUse::Used}, {"num_experts", KeyUse::Used},          \
      {"intermediate_size", KeyUse::Used}, {"attention_bias", KeyUse::Used},   \
      {"embedding_multiplier", KeyUse::Used},                                  \
      {"attention_multiplier", KeyUse::Used},                                  \
      {"residual_multiplier", KeyUse::Used}, {"logits_scaling", KeyUse::Used}, \
      {"head_dim", KeyUse::Used}, {"mlp_bias", KeyUse::Only, "false|null"}

} // namespace mlir::moe::frontend

#endif
