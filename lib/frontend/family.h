// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A family of models: one file in families/, named like its model_type, that
// defines `const Family families::NAME`. The build lists the files of the
// folder, so adding a family touches no other file.
#ifndef MOE_LIB_FRONTEND_FAMILY_H
#define MOE_LIB_FRONTEND_FAMILY_H

#include "lib/frontend/builder.h"
#include "lib/frontend/config.h"
#include "lib/frontend/rope.h"
#include "lib/frontend/weights.h"

namespace mlir::moe::frontend {

/// What a family's build function reads and writes.
struct ImportContext {
  llvm::StringRef modelType;
  ::moe::JsonFields &config;
  Weights &weights;
  ModelBuilder &model;
  /// Set by readModel(); the caller needs it for the module's attributes.
  CommonConfig common;
  /// Lines for the log, beyond those about keys and tensors.
  std::vector<std::string> &notes;
};

struct Family {
  llvm::StringLiteral modelType;
  llvm::ArrayRef<ConfigKey> keys;
  /// Builds the module in `model`. The caller asks `model.status()` itself.
  absl::Status (*build)(ImportContext &in);
};

/// All families, sorted by model type.
llvm::ArrayRef<const Family *> allFamilies();

//===----------------------------------------------------------------------===//
// What most families share
//===----------------------------------------------------------------------===//

/// readCommon into `in.common`; also tells `weights` the number of layers.
absl::Status readModel(ImportContext &in, double defaultEps,
                       llvm::StringRef actKey = "hidden_act");

/// readExperts; also tells `weights` the number of experts.
absl::StatusOr<ExpertsConfig>
readRouted(ImportContext &in, llvm::ArrayRef<llvm::StringRef> countKeys,
           llvm::StringRef widthKey);

/// readRope with its notes passed on.
absl::StatusOr<RopeTable> readRotary(ImportContext &in, int64_t dims,
                                     double defaultTheta, double partial = 0);

/// Tensors outside attention and feed-forward, under their usual names.
struct FrameParams {
  Param embed, attnNorm, ffnNorm, norm, head;
  // Absent unless a family adds them. A model with LayerNorms sets
  // `layerNorms`; their biases may be absent.
  Param headBias, attnNormBias, ffnNormBias, normBias;
  bool layerNorms = false;
};
FrameParams declareFrame(ImportContext &in);

/// Routed experts: |prefix| is the part of the names up to "experts", such as
/// "model.layers.{i}.mlp.". Separate tensors for each expert, or tensors of all
/// experts, gate and up joined, as newer writers fuse them. Symbols end in
/// |suffix|.
struct ExpertNames {
  llvm::StringRef gate = "gate_proj", up = "up_proj", down = "down_proj";
};
MlpParams declareExperts(ImportContext &in, llvm::StringRef prefix,
                         const ExpertNames &names, const ExpertsConfig &experts,
                         LayerRange layers, llvm::StringRef suffix = "");

/// A gated MLP of one width: symbols |symbol|gate_up and |symbol|down, names
/// |prefix|gate_proj.weight and so on.
MlpParams declareMlp(ImportContext &in, llvm::StringRef symbol,
                     llvm::StringRef prefix, int64_t width, bool bias,
                     LayerRange layers);

} // namespace mlir::moe::frontend

#endif
