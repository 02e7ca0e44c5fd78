// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/frontend/sigmoid_router.h"

#include "lib/core/status_macros.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mlir::moe::frontend {

using ::moe::Code;
using ::moe::Error;

// What transformers adds to the sum of the chosen scores.
static constexpr double kSumEps = 1e-20;

absl::StatusOr<SigmoidRouterConfig>
readSigmoidRouter(::moe::JsonFields &f, const ExpertsConfig &experts) {
  SigmoidRouterConfig out;
  ASSIGN_OR_RETURN(out.groups, f.IntOr("n_group", 1, 1, kMaxExperts));
  ASSIGN_OR_RETURN(out.keep, f.IntOr("topk_group", 1, 1, kMaxExperts));
  ASSIGN_OR_RETURN(out.normalize, f.BoolOr("norm_topk_prob", true));
  ASSIGN_OR_RETURN(out.scale, f.NumberOr("routed_scaling_factor", 1));
  if (!std::isfinite(static_cast<float>(out.scale)))
    return Error(Code::C105, f.where(),
                 ": key 'routed_scaling_factor': ", out.scale,
                 " is too large for f32.");
  if (experts.count % out.groups)
    return Error(Code::C106, f.where(), ": ", experts.countKey, " ",
                 experts.count, " is not a multiple of n_group ", out.groups,
                 ".");
  if (out.keep > out.groups)
    return Error(Code::C106, f.where(), ": topk_group ", out.keep,
                 " is larger than n_group ", out.groups, ".");
  if (out.keep * (experts.count / out.groups) < experts.topK)
    return Error(Code::C106, f.where(), ": topk_group ", out.keep,
                 " leaves fewer experts than num_experts_per_tok ",
                 experts.topK, ".");
  return out;
}

FlatSymbolRefAttr declareSigmoidRouter(ImportContext &in, llvm::StringRef name,
                                       const SigmoidRouterConfig &config,
                                       const ExpertsConfig &e, Param gate,
                                       Param bias) {
  return in.model.router(
      name, in.common.hidden, e.count, e.topK, gate, bias,
      [&](RouterBuilder &r, Value x, Value w, Value b) {
        Value scores = r.sigmoid(r.linear(x, w));
        Value choice = r.addBias(scores, b);
        if (config.groups > 1)
          choice = r.groupMask(choice, config.groups, config.keep,
                               GroupScore::SumTop,
                               -std::numeric_limits<double>::infinity(),
                               std::min<int64_t>(2, e.count / config.groups));
        Value idx = r.select(choice, e.topK);
        Value weights = r.pick(scores, idx);
        if (config.normalize)
          weights = r.renormalize(weights, kSumEps);
        return std::pair(idx, r.scale(weights, config.scale));
      });
}

} // namespace mlir::moe::frontend
