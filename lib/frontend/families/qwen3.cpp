// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Qwen3 (2025), dense: norms of the queries and keys of each head.
#include "lib/frontend/dense.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"intermediate_size", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"attention_bias", KeyUse::Used},
    {"sliding_window", KeyUse::Used},
    {"use_sliding_window", KeyUse::Used},
    {"max_window_layers", KeyUse::Used},
    {"layer_types", KeyUse::Used},
    {"mlp_bias", KeyUse::Only, "false|null"},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-6));
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("attention_bias", false));
  ASSIGN_OR_RETURN(bool slides, in.config.BoolOr("use_sliding_window", false));
  ASSIGN_OR_RETURN(int64_t window,
                   in.config.IntOr("sliding_window", 0, 0, kMaxPositions));
  ASSIGN_OR_RETURN(int64_t full,
                   in.config.IntOr("max_window_layers", 28, 0, kMaxLayers));
  std::vector<LayerKind> layers(in.common.layers, {.mixture = false});
  RETURN_IF_ERROR(readWindows(
      in.config, window, [&](int64_t i) { return slides && i >= full; },
      layers));
  return buildDense(in, {.bias = {.qkv = bias, .out = bias}, .headNorms = true},
                    layers);
}

namespace families {
extern const Family qwen3;
const Family qwen3{"qwen3", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
