// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The trainer of <moe/model.h>.
#include <filesystem>
#include <system_error>

#include "lib/core/status_macros.h"
#include "runtime/memory_plan.h"
#include "runtime/model_state.h"
#include "runtime/train/checkpoints.h"
#include "runtime/train/train_loop.h"

namespace moe {
namespace {

absl::Status CheckOptions(const TrainerOptions& o) {
  const auto within = [](double value, double low, double high) {
    return value >= low && value <= high;  // not true of NaN
  };
  const auto demand = [](bool good, const char* what) {
    return good ? absl::OkStatus() : Error(Code::U103, what);
  };
  RETURN_IF_ERROR(demand(o.learning_rate > 0 && o.learning_rate <= 10,
                         "learning_rate: above 0, at most 10"));
  RETURN_IF_ERROR(demand(within(o.min_learning_rate, 0, o.learning_rate),
                         "min_learning_rate: 0 to learning_rate"));
  RETURN_IF_ERROR(
      demand(within(o.beta1, 0, 0.999999) && within(o.beta2, 0, 0.9999999),
             "beta1 and beta2: 0 up to below 1"));
  RETURN_IF_ERROR(demand(within(o.epsilon, 1e-30, 1), "epsilon: above 0"));
  RETURN_IF_ERROR(demand(within(o.weight_decay, 0, 1e6) &&
                             within(o.clip_norm, 0, 1e30) &&
                             within(o.router_losses, 0, 1e6),
                         "weight_decay, clip_norm, router_losses: 0 or more"));
  RETURN_IF_ERROR(demand(o.warmup_steps >= 0 && o.schedule_steps >= 0,
                         "warmup_steps and schedule_steps: 0 or more"));
  return demand(o.max_tokens > 0 && o.max_tokens <= int64_t{1} << 31 &&
                    o.max_rows > 0 && o.max_rows <= o.max_tokens &&
                    o.passes > 0 && o.passes <= o.max_rows,
                "max_tokens, max_rows, passes: 1 or more, each at most the one "
                "before");
}

TrainOptions ToTrainOptions(const TrainerOptions& o) {
  TrainOptions options;
  options.steps = o.schedule_steps;
  options.accumulate = o.passes;
  options.batch = (o.max_rows + o.passes - 1) / o.passes;
  options.adamw = {.lr = static_cast<float>(o.learning_rate),
                   .beta1 = static_cast<float>(o.beta1),
                   .beta2 = static_cast<float>(o.beta2),
                   .eps = static_cast<float>(o.epsilon),
                   .weight_decay = static_cast<float>(o.weight_decay)};
  options.warmup = o.warmup_steps;
  options.cosine = o.schedule_steps > 0;
  options.min_lr = o.min_learning_rate;
  options.clip = o.clip_norm;
  options.aux_weight = o.router_losses;
  options.seed = o.seed;
  return options;
}

// The folder of a checkpoint: |from| itself, or the last one in it.
absl::StatusOr<std::string> FindCheckpoint(const std::string& from) {
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::path(from) / "manifest.json",
                              error))
    return from;
  const std::vector<int64_t> steps = CheckpointSteps(from);
  if (steps.empty())
    return Error(Code::R501, ShownPath(from), ": has no checkpoint");
  return CheckpointFolder(from, steps.back());
}

}  // namespace

struct Trainer::State {
  std::shared_ptr<const Model::State> model;
  std::unique_ptr<TrainLoop> loop;
  std::vector<int32_t> targets;  // of rows that came without
  std::vector<TrainRow> rows;

  // Valid until the next call.
  absl::StatusOr<std::span<const TrainRow>> Take(
      std::span<const TrainingRow> given) {
    size_t missing = 0;
    for (const TrainingRow& row : given)
      if (row.targets.empty()) missing += row.ids.size();
    targets.clear();
    targets.reserve(missing);  // spans point into it
    rows.clear();
    for (const TrainingRow& row : given) {
      if (row.ids.empty()) return Error(Code::R201, "a row without a token");
      if (!row.targets.empty()) {
        rows.push_back({row.ids, row.targets});
        continue;
      }
      const size_t at = targets.size();
      targets.insert(targets.end(), row.ids.begin() + 1, row.ids.end());
      targets.push_back(-1);
      rows.push_back({row.ids, std::span(targets).subspan(at)});
    }
    return rows;
  }
};

namespace {

std::vector<TrainingRow> RowsOf(const std::vector<std::vector<int32_t>>& rows) {
  std::vector<TrainingRow> views;
  for (const std::vector<int32_t>& row : rows)
    views.push_back({.ids = row, .targets = {}});
  return views;
}

}  // namespace

Trainer::Trainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Result<Trainer> Model::trainer(const TrainerOptions& options) const {
  return Guarded<Trainer>([&]() -> absl::StatusOr<Trainer> {
    RETURN_IF_ERROR(CheckOptions(options));
    Engine& engine = *state_->engine;
    if (!engine.manifest().Trains())
      return Error(Code::U108, "the module cannot train: compile the model ",
                   "with --entries train");
    std::string checkpoint;
    if (!options.resume_from.empty()) {
      ASSIGN_OR_RETURN(checkpoint, FindCheckpoint(options.resume_from));
      RETURN_IF_ERROR(CheckCheckpoint(checkpoint).status());
      if (engine.weights() != nullptr)
        return Error(Code::U104, "resume_from: the model has weights already");
      RETURN_IF_ERROR(engine.LoadWeights(checkpoint));
    } else if (engine.weights() == nullptr) {
      RETURN_IF_ERROR(engine.MakeInitialWeights(options.seed));
    }
    auto state = std::make_unique<Trainer::State>();
    state->model = state_;
    ASSIGN_OR_RETURN(state->loop,
                     TrainLoop::Create(engine, ToTrainOptions(options),
                                       {options.max_tokens, options.max_rows}));
    if (!checkpoint.empty()) RETURN_IF_ERROR(state->loop->Resume(checkpoint));
    return Trainer(std::move(state));
  });
}

Result<TrainingStep> Trainer::step(std::span<const TrainingRow> rows) {
  return Guarded<TrainingStep>([&]() -> absl::StatusOr<TrainingStep> {
    ASSIGN_OR_RETURN(const auto batch, state_->Take(rows));
    ASSIGN_OR_RETURN(const StepReport report, state_->loop->Step(batch));
    TrainingStep step = {.step = report.step,
                         .loss = report.loss.loss,
                         .aux_loss = report.loss.aux_loss,
                         .gradient_norm = report.grad_norm,
                         .learning_rate = report.lr,
                         .skipped = report.skipped,
                         .first_bad = report.bad,
                         .experts = {}};
    for (const LayerLoad& load : state_->loop->loads())
      step.experts.push_back({load.layer, load.tokens});
    return step;
  });
}

Result<TrainingStep> Trainer::step(
    const std::vector<std::vector<int32_t>>& rows) {
  return step(std::span<const TrainingRow>(RowsOf(rows)));
}

Result<double> Trainer::evaluate(std::span<const TrainingRow> rows) {
  return Guarded<double>([&]() -> absl::StatusOr<double> {
    ASSIGN_OR_RETURN(const auto batch, state_->Take(rows));
    return state_->loop->Evaluate(batch);
  });
}

Result<double> Trainer::evaluate(
    const std::vector<std::vector<int32_t>>& rows) {
  return evaluate(std::span<const TrainingRow>(RowsOf(rows)));
}

int64_t Trainer::steps() const { return state_->loop->step(); }

Result<std::string> Trainer::save(const std::string& run) {
  return Guarded<std::string>([&]() -> absl::StatusOr<std::string> {
    RETURN_IF_ERROR(state_->loop->Save(run));
    return CheckpointFolder(run, state_->loop->step());
  });
}

}  // namespace moe
