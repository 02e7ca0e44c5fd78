// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The two halves of PlanRewrite(): dense donors become mixtures, mixtures lose
// experts.

#ifndef MOE_RUNTIME_REWRITE_PLANNER_H_
#define MOE_RUNTIME_REWRITE_PLANNER_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/rewrite/rewrite_plan.h"

namespace moe {

// A tensor of the donor's checkpoint.
struct DonorTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
};
using DonorTensors = std::span<const DonorTensor>;

// Fills tensors, config and counts of |plan|, whose donor is set.
absl::Status PlanFromDense(const Recipe& recipe, DonorTensors donor,
                           RewritePlan& plan);
absl::Status PlanFewerExperts(const Recipe& recipe, DonorTensors donor,
                              RewritePlan& plan);

// |tensor| as it is, in the mean of all folders for mix.
RewriteTensor CopyOf(const DonorTensor& tensor, FolderUse folders);

// The number behind the first ".layers." or ".blocks." of a name.
std::optional<int64_t> LayerOfName(std::string_view name);

// |config|[key] as an integer of 1 or more; C103, C104 or C105.
absl::StatusOr<int64_t> CountIn(const Json& config, std::string_view key);

}  // namespace moe

#endif  // MOE_RUNTIME_REWRITE_PLANNER_H_
