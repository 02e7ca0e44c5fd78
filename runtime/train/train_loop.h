// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A training run: steps with schedule, guards, checkpoints.
//
//   ASSIGN_OR_RETURN(RowOrder order, RowOrder::Create(data, options));
//   ASSIGN_OR_RETURN(auto loop, TrainLoop::Create(*engine, options, longest));
//   RETURN_IF_ERROR(loop->Resume("RUN/step-100"));
//   while (loop->step() < options.steps) {
//     ASSIGN_OR_RETURN(StepReport report, loop->Step(order.Rows(loop->step())));
//     …
//   }
//   RETURN_IF_ERROR(loop->Save("RUN"));
//
// What a step does is a function of the weights, the rows and the options
// alone: rows come in the order of ShuffledIndex(), sums run in fixed order.

#ifndef MOE_RUNTIME_TRAIN_TRAIN_LOOP_H_
#define MOE_RUNTIME_TRAIN_TRAIN_LOOP_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/json.h"
#include "runtime/train/router_health.h"
#include "runtime/train/train_data.h"
#include "runtime/train/train_step.h"

namespace moe {

struct TrainOptions {
  int64_t steps = 0;
  int64_t batch = 8;       // rows of one backward pass, at most
  int64_t accumulate = 1;  // backward passes of one step
  uint64_t seed = 1;
  AdamwOptions adamw;  // lr is the largest of the schedule
  int64_t warmup = 0;  // steps of linear rise
  bool cosine = true;  // then a half wave down to min_lr; else constant
  double min_lr = 0;
  double clip = 1;        // largest global norm of gradients; 0: any
  double aux_weight = 1;  // of the losses of routers
  std::string data;       // the hash of what is trained on, if known
};

// The learning rate of |step|, from 0.
double LearningRate(const TrainOptions& options, int64_t step);

// Which rows a step takes: those of all epochs one behind another, each in an
// order of its own. Borrows the data.
class RowOrder {
 public:
  // R206 if the data has fewer rows than a step.
  static absl::StatusOr<RowOrder> Create(const TrainData& data,
                                         const TrainOptions& options);
  // Of |step|, from 0; valid until the next call.
  std::span<const TrainRow> Rows(int64_t step);

 private:
  RowOrder(const TrainData& data, uint64_t seed, int64_t rows)
      : data_(&data), seed_(seed), rows_(static_cast<size_t>(rows)) {}

  const TrainData* data_;
  uint64_t seed_;
  std::vector<TrainRow> rows_;
};

struct StepReport {
  int64_t step = 0;  // how many are done
  StepLoss loss;
  double grad_norm = 0;
  double lr = 0;
  int64_t tokens = 0;
  bool skipped = false;  // a number was not finite: nothing was updated
  std::string bad;       // the first tensor that had one, by its stored name
};

// Not movable. Borrows the engine, whose weights it changes.
class TrainLoop {
 public:
  // For rows of up to |longest| tokens; |evaluates| as in TrainSizes.
  // The codes of TrainStep::Create.
  static absl::StatusOr<std::unique_ptr<TrainLoop>> Create(
      Engine& engine, const TrainOptions& options, const TrainSizes& sizes);

  // One step of at most batch · accumulate rows. R302 once five in a row gave
  // numbers that are not finite.
  absl::StatusOr<StepReport> Step(std::span<const TrainRow> rows);
  int64_t step() const { return step_; }
  // Tokens that went to each expert in the last step, layer by layer; none if
  // the module does not count them.
  std::span<const LayerLoad> loads() const { return loads_; }

  // Mean cross-entropy of |rows|.
  absl::StatusOr<double> Evaluate(std::span<const TrainRow> rows);

  // Writes the folder RUN/step-N: config.json, model.safetensors with the names
  // of the checkpoint, optimizer.safetensors, and last manifest.json. R301 if a
  // weight is not finite: such a step is none to go on from. F2xx.
  absl::Status Save(const std::string& run);
  // Continues from such a folder, whose weights the engine was loaded from.
  // R501 if it is damaged, R502 if it belongs to another model, data or
  // options.
  absl::Status Resume(const std::string& folder);

  // What two runs have in common that may continue each other.
  Json Identity() const;

  TrainStep& state() { return state_; }

 private:
  TrainLoop(Engine& engine, const TrainOptions& options, TrainStep state)
      : engine_(engine), options_(options), state_(std::move(state)) {}
  void CountLoads(bool add);
  absl::StatusOr<StepReport> Skip(StepReport report,
                                  std::span<const TrainRow> rows);

  Engine& engine_;
  const TrainOptions options_;
  TrainStep state_;
  std::vector<LayerLoad> loads_;
  int64_t step_ = 0;     // done
  int64_t updates_ = 0;  // of them not skipped
  int64_t bad_ = 0;      // skipped in a row
};

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_TRAIN_LOOP_H_
