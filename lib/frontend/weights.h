// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The tensors of a checkpoint, by the patterns of names that parameters read.
#ifndef MOE_LIB_FRONTEND_WEIGHTS_H
#define MOE_LIB_FRONTEND_WEIGHTS_H

#include "lib/core/checkpoint.h"
#include "lib/frontend/quantization.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/StringSet.h"

#include <optional>
#include <string>
#include <vector>

namespace mlir::moe::frontend {

/// Layers lo, lo + step, … below hi.
struct LayerRange {
  int64_t lo = 0, hi = 0, step = 1;
  bool empty() const { return lo >= hi; }
  int64_t count() const { return empty() ? 0 : (hi - lo - 1) / step + 1; }
};

/// Where the scales of a quantised tensor lie.
struct Scales {
  std::string pattern;
  llvm::SmallVector<int64_t, 3> shape;
};

/// Rows of a parameter in a checkpoint: the fields of `#nn.source`, `{i}`
/// standing for the layer and `{e}` for the expert.
struct Source {
  std::string pattern;
  llvm::SmallVector<int64_t, 3> shape = {};
  int64_t at = 0, rows = 0, offset = 0;
  llvm::SmallVector<int64_t, 3> strides = {};
  std::optional<Scales> scales = std::nullopt; ///< of a quantised tensor
};

/// Which tensors a model asks for, and what is wrong with them. Borrows the
/// checkpoint, which must outlive it.
class Weights {
public:
  explicit Weights(const ::moe::Checkpoint &checkpoint)
      : checkpoint(checkpoint) {}

  /// Numbers that the configuration gives, and the key of the second.
  void setLayers(int64_t count) { layers = count; }
  /// Up to |count| layers behind the last, which the model does not use:
  /// multi-token prediction.
  void setSkippedLayers(int64_t count) { skipped = count; }
  void setExperts(std::string key, int64_t count) {
    expertsKey = std::move(key), experts = count;
  }

  void setQuantization(std::optional<Quantization> value) { quantized = value; }
  const std::optional<Quantization> &quantization() const { return quantized; }

  bool has(llvm::StringRef name) const {
    return checkpoint.Find(std::string_view(name)) != nullptr;
  }

  /// |source| with the scales that it has in a checkpoint of "fp8".
  Source withScales(Source source, std::optional<LayerRange> range) const;

  /// Marks all tensors of |source| as used and gives their dtype: over |range|
  /// where the pattern holds {i}, over all experts where it holds {e}.
  /// C106 if the checkpoint has another number of layers or experts, W101 if a
  /// tensor is missing, W102 if its shape differs, W109 if they differ in
  /// dtype, W110 if it is none of f32, bf16, f16. Quantised tensors have the
  /// dtype that they are read as.
  absl::StatusOr<::moe::DType> use(const Source &source,
                                   std::optional<LayerRange> range);

  /// After the last use(): W104 if a tensor was not used, unless its name ends
  /// in one of |harmless| or belongs to a skipped layer. Those are given back.
  absl::StatusOr<std::vector<std::string>>
  finish(llvm::ArrayRef<llvm::StringRef> harmless) const;

  /// Tensors used up to now.
  int64_t usedCount() const { return used.size(); }

  const std::string &dir() const { return checkpoint.dir(); }

private:
  absl::StatusOr<const ::moe::Tensor *>
  get(const std::string &name, llvm::ArrayRef<int64_t> shape) const;
  absl::Status checkCounts(const Source &source,
                           std::optional<LayerRange> range);
  int64_t countAfter(llvm::StringRef prefix) const;

  const ::moe::Checkpoint &checkpoint;
  llvm::DenseSet<const ::moe::Tensor *> used;
  llvm::StringSet<> counted; // prefixes whose numbers were checked
  std::optional<Quantization> quantized;
  std::string expertsKey = "num_experts";
  int64_t layers = 0, skipped = 0, experts = 0;
};

/// |pattern| by the index of a loop over |range| where that takes steps.
std::string patternOver(const std::string &pattern,
                        std::optional<LayerRange> range);

} // namespace mlir::moe::frontend

#endif
