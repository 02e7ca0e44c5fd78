// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A training run: steps over shuffled data, schedule, guards, checkpoints.
//
//   ASSIGN_OR_RETURN(auto trainer, Trainer::Create(*engine, options, std::move(data)));
//   RETURN_IF_ERROR(trainer->Resume("RUN/step-100"));
//   while (trainer->step() < options.steps) { ASSIGN_OR_RETURN(StepReport report, trainer->Step()); … }
//   RETURN_IF_ERROR(trainer->Save("RUN"));
//
// What a step does is a function of the weights, the data and the options
// alone: rows come in the order of ShuffledIndex(), sums run in fixed order.

#ifndef MOE_RUNTIME_TRAIN_TRAINER_H_
#define MOE_RUNTIME_TRAIN_TRAINER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/json.h"
#include "runtime/train/train_data.h"
#include "runtime/train/train_step.h"

namespace moe {

struct TrainOptions {
  int64_t steps = 0;
  int64_t batch = 8;       // rows of one backward pass
  int64_t accumulate = 1;  // backward passes of one step
  uint64_t seed = 1;
  AdamwOptions adamw;  // lr is the largest of the schedule
  int64_t warmup = 0;  // steps of linear rise
  bool cosine = true;  // then a half wave down to min_lr; else constant
  double min_lr = 0;
  double clip = 1;        // largest global norm of gradients; 0: any
  double aux_weight = 1;  // of the losses of routers
};

// The learning rate of |step|, from 0.
double LearningRate(const TrainOptions& options, int64_t step);

struct StepReport {
  int64_t step = 0;  // how many are done
  StepLoss loss;
  double grad_norm = 0;
  double lr = 0;
  int64_t tokens = 0;
  bool skipped = false;  // a number was not finite: nothing was updated
  std::string bad;       // the first parameter whose gradient it was
};

// Not movable. Borrows the engine, whose weights it changes.
class Trainer {
 public:
  // For rows of the data, and others up to |longest| tokens.
  // The codes of TrainStep::Create; R206 if the data has fewer rows than a
  // batch.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(
      Engine& engine, const TrainOptions& options, TrainData data,
      int64_t longest = 0);

  // One step. R302 once five in a row gave numbers that are not finite.
  absl::StatusOr<StepReport> Step();
  int64_t step() const { return step_; }

  // Mean cross-entropy over all windows of |data|, in order.
  absl::StatusOr<double> Evaluate(const TrainData& data);

  // Writes the folder RUN/step-N: config.json, model.safetensors with the names of
  // the checkpoint, optimizer.safetensors, and last manifest.json. F2xx.
  absl::Status Save(const std::string& run);
  // Continues from such a folder, whose weights the engine was loaded from. R501 if it is damaged, R502 if
  // it belongs to another model, data or options.
  absl::Status Resume(const std::string& folder);

  // What two runs have in common that may continue each other.
  Json Identity() const;

  const TrainStep& state() const { return step_state_; }

 private:
  Trainer(Engine& engine, const TrainOptions& options, TrainData data,
          TrainStep state)
      : engine_(engine),
        options_(options),
        data_(std::move(data)),
        step_state_(std::move(state)) {}
  TrainRow RowAt(int64_t index) const;

  Engine& engine_;
  const TrainOptions options_;
  TrainData data_;
  TrainStep step_state_;
  std::vector<TrainRow> rows_;
  int64_t step_ = 0;     // done
  int64_t updates_ = 0;  // of them not skipped
  int64_t bad_ = 0;      // skipped in a row
};

}  // namespace moe

#endif  // MOE_RUNTIME_TRAIN_TRAINER_H_
