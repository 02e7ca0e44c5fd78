// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Follows the table of a rewrite: tensors of donors, mapped, become those of a
// new checkpoint, one at a time.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<Rewriter> rewriter,
//                    Rewriter::Open(std::move(plan), {"DIR"}));
//   WriteModelFolder(out, rewriter->config(), rewriter->Tensors(), {});

#ifndef MOE_RUNTIME_REWRITE_REWRITER_H_
#define MOE_RUNTIME_REWRITE_REWRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/checkpoint.h"
#include "lib/core/model_folder.h"
#include "runtime/rewrite/clusters.h"
#include "runtime/rewrite/rewrite_plan.h"

namespace moe {

// Not thread-safe. Values depend on the plan and the donors alone.
class Rewriter {
 public:
  // Every tensor that is needed is looked up before anything is made: W101 for
  // one that is missing, W102 and W109 for another shape or dtype, C106 where
  // the folders' config.json differ from the donor's, U103 for another number
  // of folders, M109 for a table that contradicts itself, and the codes of
  // checkpoint.h.
  static absl::StatusOr<std::unique_ptr<Rewriter>> Open(
      RewritePlan plan, const std::vector<std::string>& folders);

  // Of the new model.
  const Json& config() const { return plan_.config; }
  const RewritePlan& plan() const { return plan_; }
  // Borrow the rewriter.
  std::vector<ModelTensor> Tensors();
  // Tensors of the first folder that no new one is made of.
  std::vector<std::string> Unused() const;

 private:
  // One tensor, and the folder that it is of.
  struct Item {
    const RewriteTensor* made;
    std::string name;
    std::vector<int64_t> shape;
    size_t folder = 0;
  };

  absl::Status CheckConfigs() const;
  absl::Status Expand();
  absl::Status Check(const Item& item) const;
  absl::Status CheckParts(const Item& item, size_t folder) const;
  absl::Status CheckCluster(const ClusterSpec& cluster) const;
  // Indices of a term along the axis of its tensor.
  absl::StatusOr<int64_t> LengthOf(const Item& item, const RewriteTerm& term,
                                   size_t folder) const;
  absl::StatusOr<const Tensor*> Source(const std::string& name, DType dtype,
                                       size_t folder) const;
  absl::StatusOr<std::vector<int64_t>> Indices(const RewriteTerm& term,
                                               int64_t extent);
  // The clusters that were asked for last are kept.
  absl::StatusOr<const Clusters*> ClustersOf(const ClusterSpec& cluster);

  absl::Status Fill(size_t item, std::span<std::byte> out);
  absl::Status Combine(const Item& item, std::span<std::byte> out);
  absl::Status Centres(const Item& item, std::span<std::byte> out);
  void Random(size_t ordinal, const Item& item, std::span<std::byte> out) const;
  void Disturb(size_t ordinal, const Item& item,
               std::span<std::byte> out) const;

  RewritePlan plan_;
  std::vector<Checkpoint> folders_;
  std::vector<Item> items_;
  ClusterSpec clustered_;
  Clusters clusters_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_REWRITE_REWRITER_H_
