// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Training steps of a module compiled with --entries train: parameters,
// moments and gradients in memory, and the calls of its entries.
//
//   ASSIGN_OR_RETURN(TrainStep step, TrainStep::Create(engine, {.max_tokens = 2048, .max_rows = 8}));
//   ASSIGN_OR_RETURN(StepLoss loss, step.Backward(rows, 1));
//   ASSIGN_OR_RETURN(double norm, step.GradientNorm());
//   RETURN_IF_ERROR(step.Update({.lr = 1e-3f}, /*number=*/1, /*scale=*/1));

#ifndef MOE_RUNTIME_TRAIN_TRAIN_STEP_H_
#define MOE_RUNTIME_TRAIN_TRAIN_STEP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/anonymous_memory.h"
#include "runtime/bound_entry.h"
#include "runtime/engine.h"
#include "runtime/train/router_results.h"

namespace moe {

// One sequence: the token that follows ids[i] is targets[i], or -1 where none
// is asked for. Both have one length.
struct TrainRow {
  std::span<const int32_t> ids, targets;
};

// Targets that are asked for, in all rows.
int64_t CountTargets(std::span<const TrainRow> rows);

struct TrainSizes {
  int64_t max_tokens = 0;  // of a batch
  int64_t max_rows = 1;
  bool evaluates = false;  // whether Evaluate() is planned for
  // Which entry makes gradients: they differ in what they keep (FitTrain()).
  std::string gradient = "grad";
  int64_t longest = 0;  // of a row; 0: all the tokens of a batch

  int64_t Longest() const { return longest > 0 ? longest : max_tokens; }
};

struct StepLoss {
  double loss = 0;  // mean cross-entropy of all targets, in nats
  double aux_loss = 0;
};

// AdamW; the decay is of matrices alone.
struct AdamwOptions {
  float lr = 1e-3f;
  float beta1 = 0.9f, beta2 = 0.95f;
  float eps = 1e-8f;
  float weight_decay = 0.1f;
};

// One parameter that training moves: all its layers, row-major f32, one behind
// another.
struct TrainedParam {
  const ParamSpec* spec = nullptr;
  int64_t elements = 0;
  float* weights = nullptr;  // or the f32 master copy of bf16 weights
  float* m = nullptr;
  float* v = nullptr;
  float* gradient = nullptr;
};

// Movable; runs on one thread at a time. Borrows the engine, whose weights it
// changes.
class TrainStep {
 public:
  // U108 if the module has no entries of training, U102 without weights, R101.
  static absl::StatusOr<TrainStep> Create(Engine& engine,
                                          const TrainSizes& sizes);
  // Bytes beside the weights: moments, gradients, workspaces.
  static absl::StatusOr<int64_t> PlanBytes(const Module& module,
                                           const TrainSizes& sizes);

  // The loss of |rows| and its gradients, which replace those of the call
  // before, or are added to them if |add|: the mean over |targets| targets, of
  // this call and of those it is added to. aux_weight multiplies the losses of
  // routers. R201, R202, R203.
  absl::StatusOr<StepLoss> Backward(std::span<const TrainRow> rows,
                                    int64_t targets, double aux_weight,
                                    bool add = false);
  // The loss alone. Its workspace is allocated by the first call: R101.
  absl::StatusOr<StepLoss> Evaluate(std::span<const TrainRow> rows,
                                    int64_t targets);

  // What random numbers of the next Backward() depend on, beside layer and
  // place; 0 and 0 before.
  void SetRandom(uint64_t seed, int64_t step);

  // Of all gradients together.
  absl::StatusOr<double> GradientNorm();

  // Step |number|, from 1, of AdamW with the gradients times |scale|; states of
  // routers become what the last Backward() made of them.
  absl::Status Update(const AdamwOptions& options, int64_t number, float scale);

  // In the order of the manifest. Parameters that no gradient reaches are not
  // among them.
  std::span<const TrainedParam> params() const { return params_; }
  // U104 where Backward() cannot add to the gradients of a pass before it.
  absl::Status CheckAdds() const;
  // Of the last Backward(), layer by layer; none if the module does not count.
  std::span<const ExpertLoad> loads() const { return loads_; }

  const ModelSpec& model() const { return *engine_->manifest().model; }

 private:
  struct Batch {
    std::vector<int32_t> ids, targets, positions, cu_seqlens;
    float loss_weight = 0, aux_weight = 0;
    // Of random numbers: seed, step, layer, tokens before those of the call.
    int32_t key[6] = {};
    int64_t tokens = 0;  // of the backward passes of the step so far
  };

  TrainStep(Engine& engine, const TrainSizes& sizes, BoundEntry grad,
            BoundEntry norm, BoundEntry update);
  absl::Status CollectParams();
  absl::Status Connect();
  absl::Status ConnectBatch(BoundEntry& entry);
  absl::Status Accumulate(bool add);
  absl::StatusOr<Dims> Fill(std::span<const TrainRow> rows, int64_t targets,
                            double aux_weight);
  absl::StatusOr<StepLoss> Run(BoundEntry& entry, const Dims& dims);

  Engine* engine_;
  TrainSizes sizes_;
  BoundEntry grad_, norm_, update_;
  std::optional<BoundEntry> eval_;
  std::vector<TrainedParam> params_;
  std::vector<ExpertLoad> loads_;
  std::vector<RouterState> states_;
  AnonymousMemory moments_, sums_;
  std::unique_ptr<Batch> batch_;
  std::unique_ptr<float[]> hyper_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_TRAIN_STEP_H_
