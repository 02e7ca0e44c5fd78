// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which checkpoint tensor each source of each parameter is.

#ifndef MOE_RUNTIME_WEIGHT_BINDING_H_
#define MOE_RUNTIME_WEIGHT_BINDING_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "lib/core/checkpoint.h"
#include "runtime/manifest.h"

namespace moe {

// Borrows the manifest and the checkpoint it was made of. Immutable.
class WeightBinding {
 public:
  // Finds every tensor and checks it: W111 for scales that are no numbers, W101 for one that is missing, W102 and
  // W103 for another shape or dtype than the module was compiled for.
  // Of parameters that are split over ranks those of |rank|.
  static absl::StatusOr<WeightBinding> Bind(const Manifest& manifest,
                                            const Checkpoint& checkpoint,
                                            int rank);

  // The tensor that |source| of |param| takes for a layer and a group.
  const Tensor& Find(const ParamSpec& param, const SourceSpec& source,
                     int64_t layer, int64_t group) const;

  // The number of the tensor with which |source| starts for a group.
  int64_t First(const ParamSpec& param, const SourceSpec& source,
                int64_t group) const;

  // Where the first element of |source| for a layer and a group lies.
  const std::byte* Data(const ParamSpec& param, const SourceSpec& source,
                        int64_t layer, int64_t group) const;

  // Scales of a quantised source.
  const Tensor& Scales(const ParamSpec& param, const SourceSpec& source,
                       int64_t layer, int64_t group) const;

  // Whether a rank reads the tensor; those of this rank are counted.
  bool Uses(const Tensor* tensor) const {
    return used_.contains(tensor) || of_others_.contains(tensor);
  }
  size_t used_count() const { return used_.size(); }

 private:
  WeightBinding(const Manifest& manifest, int rank)
      : manifest_(&manifest), rank_(rank) {}
  size_t Place(const ParamSpec& param, const SourceSpec& source, int64_t layer,
               int64_t group) const;
  absl::Status BindSource(const Checkpoint& checkpoint, const ParamSpec& param,
                          const SourceSpec& source, int64_t layer);

  const Manifest* manifest_;
  int rank_;
  std::vector<const Tensor*> tensors_;
  std::vector<const Tensor*> scales_;  // of tensors_; null where plain
  std::vector<size_t> first_;          // in tensors_, by parameter
  absl::flat_hash_set<const Tensor*> used_, of_others_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_WEIGHT_BINDING_H_
