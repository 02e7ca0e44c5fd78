// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// config.json: which keys are known, and readers of what most families share.
#ifndef MOE_LIB_FRONTEND_CONFIG_H
#define MOE_LIB_FRONTEND_CONFIG_H

#include "dialect/nn/NnDialect.h"
#include "lib/core/json.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <string>
#include <vector>

namespace mlir::moe::frontend {

/// What a known key of config.json does.
enum class KeyUse : uint8_t {
  Used,     ///< read by the family
  Training, ///< changes training alone
  Inert,    ///< changes nothing that is computed
  Only,     ///< changes the result, supported for the allowed values alone
};

struct ConfigKey {
  llvm::StringLiteral name;
  KeyUse use;
  /// For Only: JSON values separated by '|'.
  llvm::StringLiteral allowed = "";
};

/// Refuses a key that is neither in |keys| nor known for every family (C108),
/// a value that an Only key does not allow (C109), and compressed checkpoints
/// (C110). |modelType| is for messages.
absl::Status checkKeys(const ::moe::Json &config,
                       llvm::ArrayRef<ConfigKey> keys,
                       llvm::StringRef modelType);

/// The row of |name| in |keys| or among the keys known for every family.
const ConfigKey *findKey(llvm::ArrayRef<ConfigKey> keys, llvm::StringRef name);

/// One line: which keys were read, which matter in training alone, which were
/// not used. |fields| has recorded what was read; its name starts the line.
std::string describeKeys(const ::moe::Json &config,
                         const ::moe::JsonFields &fields,
                         llvm::ArrayRef<ConfigKey> keys);

// Limits on what a configuration may say, far above any model.
inline constexpr int64_t kMaxWidth = int64_t{1} << 24;
inline constexpr int64_t kMaxHeadDim = int64_t{1} << 16;
inline constexpr int64_t kMaxHeads = int64_t{1} << 16;
inline constexpr int64_t kMaxExperts = int64_t{1} << 16;
inline constexpr int64_t kMaxLayers = 10000;
// Angles are f32 products with the position, so positions must be exact.
inline constexpr int64_t kMaxPositions = int64_t{1} << 24;

/// Keys that every decoder has.
struct CommonConfig {
  int64_t vocab = 0, hidden = 0, layers = 0, maxPositions = 0;
  double eps = 0;    ///< of the RMS norms
  bool tied = false; ///< logits use the embedding table
  nn::Activation act = nn::Activation::Silu;
};
absl::StatusOr<CommonConfig> readCommon(::moe::JsonFields &fields,
                                        double defaultEps,
                                        llvm::StringRef actKey = "hidden_act");

/// Grouped-query attention.
struct HeadsConfig {
  int64_t heads = 0, kvHeads = 0, headDim = 0;
};
absl::StatusOr<HeadsConfig> readHeads(::moe::JsonFields &fields,
                                      int64_t hidden);

/// Routed experts. |countKeys| are names of one number; the first that is
/// present counts, and all that are must agree (C106).
struct ExpertsConfig {
  int64_t count = 0, topK = 0, width = 0;
  std::string countKey;
  /// `expert_map`: the expert that each row of the router stands for, where
  /// experts were merged; empty: each for its own.
  std::vector<int64_t> map;
  int64_t rows() const { return map.empty() ? count : map.size(); }
};
absl::StatusOr<ExpertsConfig>
readExperts(::moe::JsonFields &fields,
            llvm::ArrayRef<llvm::StringRef> countKeys,
            llvm::StringRef widthKey);

/// A number that is finite and not negative.
absl::StatusOr<double> readNonNegative(::moe::JsonFields &fields,
                                       llvm::StringRef key, double fallback);

/// Adds the ids of `eos_token_id` (an integer, a list or null) to |ids|, each
/// once.
absl::Status readEosTokenIds(::moe::JsonFields &fields, int64_t vocab,
                             std::vector<int64_t> &ids);

/// |value| as it is shown in a message: one line, at most 60 bytes.
std::string shown(const ::moe::Json &value);

} // namespace mlir::moe::frontend

#endif
