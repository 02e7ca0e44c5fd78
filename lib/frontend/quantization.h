// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Quantised checkpoints: what `quantization_config` says about them.
#ifndef MOE_LIB_FRONTEND_QUANTIZATION_H
#define MOE_LIB_FRONTEND_QUANTIZATION_H

#include "lib/core/json.h"
#include "lib/core/scaled.h"

#include "absl/status/statusor.h"

#include <optional>

namespace mlir::moe::frontend {

/// "fp8": matrices NAME.weight in f8e4m3 with scales NAME.weight_scale_inv, one
/// for each block. "mxfp4": tensors NAME_blocks and NAME_scales; a family knows
/// which. Other tensors are plain.
struct Quantization {
  ::moe::StoredNumber stored = ::moe::StoredNumber::kF8E4M3;
  int64_t blockRows = 1, blockColumns = 32;
  ::moe::DType dtype = ::moe::DType::kBF16; ///< of the numbers once read
};

/// Nothing where the weights are plain; C110 for another form.
absl::StatusOr<std::optional<Quantization>>
readQuantization(::moe::JsonFields &config);

} // namespace mlir::moe::frontend

#endif
