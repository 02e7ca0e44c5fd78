// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Mistral (Jiang et al. 2023): a dense decoder that may attend within a window.
#include "lib/frontend/dense.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"intermediate_size", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"sliding_window", KeyUse::Used},
    {"attention_bias", KeyUse::Only, "false|null"},
    {"mlp_bias", KeyUse::Only, "false|null"},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-5));
  ASSIGN_OR_RETURN(int64_t window,
                   in.config.IntOr("sliding_window", 0, 1, kMaxPositions));
  std::vector<LayerKind> layers(in.common.layers,
                                {.mixture = false, .window = window});
  return buildDense(in, {}, layers);
}

namespace families {
extern const Family mistral;
const Family mistral{"mistral", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
