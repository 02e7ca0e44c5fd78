// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs the entry "score": the logits of every token of whole sequences.
//
//   ASSIGN_OR_RETURN(Scorer scorer, Scorer::Create(engine, {512, 8}));
//   RETURN_IF_ERROR(scorer.Run(rows));
//   std::vector<double> nll = RowNll(rows[0], scorer.RowLogits(0), vocab);

#ifndef MOE_RUNTIME_SCORER_H_
#define MOE_RUNTIME_SCORER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/bound_entry.h"
#include "runtime/engine.h"

namespace moe {

struct ScorerOptions {
  int64_t max_tokens = 0;  // in one pack
  int64_t max_rows = 0;
};

Dims LargestDims(const ScorerOptions& options);

// Where the router sent the tokens of one row, in one layer.
struct RowRouting {
  int64_t top_k = 0;
  std::span<const int32_t> idx;   // [len, K]
  std::span<const float> weight;  // [len, K]
};

// Movable; not thread-safe. Borrows the engine. Run() allocates nothing.
class Scorer {
 public:
  static absl::StatusOr<Scorer> Create(const Engine& engine,
                                       const ScorerOptions& options);

  // Runs all rows as one pack. R201 for an empty row, R202 for an id outside
  // the vocabulary, R203 for a row beyond the model's positions or a pack
  // beyond the options.
  absl::Status Run(std::span<const std::span<const int32_t>> rows);

  // Of the last run: [len, vocab_size].
  std::span<const float> RowLogits(size_t row) const;
  // Whether the module tells its routing.
  bool has_routing() const;
  // |moe_layer| counts MoE layers only.
  RowRouting Routing(size_t moe_layer, size_t row) const;

 private:
  explicit Scorer(BoundEntry entry) : entry_(std::move(entry)) {}

  // Where the routing of a MoE layer lies.
  struct RoutingPlace {
    const int32_t* idx = nullptr;
    const float* weight = nullptr;
    size_t layer = 0;  // in front of it in the output
  };
  absl::Status BindRouting();

  BoundEntry entry_;
  const ModelSpec* model_ = nullptr;
  std::vector<RoutingPlace> places_;  // by MoE layer; empty: no routing
  std::vector<int32_t> ids_, positions_, cu_seqlens_;
  size_t rows_ = 0;
};

// For each token after the first, the negative log of its probability, in
// nats: log-softmax in double. |logits| is [len, vocab]. One less than |ids|.
std::vector<double> RowNll(std::span<const int32_t> ids,
                           std::span<const float> logits);

}  // namespace moe

#endif  // MOE_RUNTIME_SCORER_H_
