// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Llama (2023): a dense decoder, of which upcycling makes a mixture.
#include "lib/frontend/dense.h"

#include "lib/core/status_macros.h"

namespace mlir::moe::frontend {

static constexpr ConfigKey keys[] = {
    {"intermediate_size", KeyUse::Used},
    {"head_dim", KeyUse::Used},
    {"attention_bias", KeyUse::Used},
    {"mlp_bias", KeyUse::Used},
};

static absl::Status build(ImportContext &in) {
  RETURN_IF_ERROR(readModel(in, 1e-6));
  ASSIGN_OR_RETURN(bool bias, in.config.BoolOr("attention_bias", false));
  ASSIGN_OR_RETURN(bool mlpBias, in.config.BoolOr("mlp_bias", false));
  std::vector<LayerKind> layers(in.common.layers, {.mixture = false});
  return buildDense(
      in, {.bias = {.qkv = bias, .out = bias}, .mlpBias = mlpBias}, layers);
}

namespace families {
extern const Family llama;
const Family llama{"llama", keys, build};
} // namespace families

} // namespace mlir::moe::frontend
