// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rotary positions: what a configuration's variant makes of its base.
#ifndef MOE_LIB_FRONTEND_ROPE_H
#define MOE_LIB_FRONTEND_ROPE_H

#include "lib/core/json.h"

#include "absl/status/statusor.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"

#include <string>

namespace mlir::moe::frontend {

/// The constants of `nn.rope_table`.
struct RopeTable {
  llvm::SmallVector<float> invFreq; ///< one for each pair of dimensions
  double scale = 1;                 ///< of cosines and sines (attention factor)
  /// 0.1·mscale_all_dim·ln(factor) + 1 of a variant that has these keys, else
  /// 1. DeepSeek multiplies the softmax scale by its square.
  double softmaxMscale = 1;
  std::string type = "default";
  /// Positions that the table is for where it is not right for all; 0: all.
  int64_t positions = 0;
  /// Keys that the variant has no use for, and what else the log should say.
  llvm::SmallVector<std::string> notes;
};

struct RopeOptions {
  int64_t dims = 0; ///< rotated dimensions; refused unless even (C106)
  double defaultTheta = 1e4;
  /// The share of `dims` that rotates where `partial_rotary_factor` is absent;
  /// 0: all rotate and the key may only be 1.
  double partial = 0;
  int64_t maxPositions = 0;
  /// Of the model, where its rope parameters do not say it; 0: maxPositions.
  int64_t originalPositions = 0;
  llvm::StringRef modelType; ///< for messages
};

/// Reads `rope_parameters`, or `rope_theta` and `rope_scaling`. Variants:
/// default, linear, yarn, llama3, longrope up to the length before extension,
/// and dynamic where it changes nothing within max_position_embeddings.
///
/// C103 to C106 for keys that are missing or make no sense, C108 for an unknown
/// key, C109 for another variant.
absl::StatusOr<RopeTable> readRope(::moe::JsonFields &config,
                                   const RopeOptions &options);

} // namespace mlir::moe::frontend

#endif
