// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sigmoid scores, experts chosen with a bias that balances load without a loss
// (DeepSeek-V3, 2024, `noaux_tc`), within the best groups.
#ifndef MOE_LIB_FRONTEND_SIGMOID_ROUTER_H
#define MOE_LIB_FRONTEND_SIGMOID_ROUTER_H

#include "lib/frontend/family.h"

namespace mlir::moe::frontend {

struct SigmoidRouterConfig {
  int64_t groups = 1, keep = 1;
  bool normalize = true;
  double scale = 1;
};
/// n_group, topk_group, norm_topk_prob, routed_scaling_factor.
absl::StatusOr<SigmoidRouterConfig>
readSigmoidRouter(::moe::JsonFields &fields, const ExpertsConfig &experts);

/// Weights are the scores without the bias, scaled to sum `scale` if they are
/// normalised. A group scores the sum of its two largest biased scores; experts
/// of other groups cannot be chosen.
FlatSymbolRefAttr declareSigmoidRouter(ImportContext &in, llvm::StringRef name,
                                       const SigmoidRouterConfig &config,
                                       const ExpertsConfig &experts, Param gate,
                                       Param bias);

/// Keys of the above.
#define MOE_SIGMOID_ROUTER_KEYS                                                \
  {"n_group", KeyUse::Used}, {"topk_group", KeyUse::Used},                     \
      {"norm_topk_prob", KeyUse::Used},                                        \
      {"routed_scaling_factor", KeyUse::Used},                                 \
      {"topk_method", KeyUse::Only, "\"noaux_tc\"|null"},                      \
      {"scoring_func", KeyUse::Only, "\"sigmoid\"|null"}

} // namespace mlir::moe::frontend

#endif
