// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {
namespace {

constexpr int64_t kMostBadSteps = 5;

int64_t Targets(std::span<const TrainRow> rows) {
  int64_t count = 0;
  for (const TrainRow& row : rows)
    count += std::count_if(row.targets.begin(), row.targets.end(),
                           [](int32_t target) { return target >= 0; });
  return count;
}

}  // namespace

double LearningRate(const TrainOptions& options, int64_t step) {
  const double lr = options.adamw.lr;
  const auto at = static_cast<double>(step);
  const auto warmup = static_cast<double>(options.warmup);
  if (step < options.warmup) return lr * (at + 1) / (warmup + 1);
  if (!options.cosine) return lr;
  const double span =
      static_cast<double>(std::max<int64_t>(options.steps - options.warmup, 1));
  const double way = std::min((at - warmup) / span, 1.0);
  return options.min_lr +
         0.5 * (1 + std::cos(std::numbers::pi * way)) * (lr - options.min_lr);
}

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(
    Engine& engine, const TrainOptions& options, TrainData data,
    int64_t longest) {
  if (data.windows() < options.batch * options.accumulate)
    return Error(Code::R206, "the data has ", data.windows(),
                 " rows, and a step takes ", options.batch * options.accumulate,
                 ". Give a smaller --batch or --seq.");
  ASSIGN_OR_RETURN(
      TrainStep state,
      TrainStep::Create(
          engine,
          {options.batch * std::max(longest, data.max_row()), options.batch}));
  return std::unique_ptr<Trainer>(
      new Trainer(engine, options, std::move(data), std::move(state)));
}

TrainRow Trainer::RowAt(int64_t index) const {
  const int64_t count = data_.windows();
  return data_.Window(
      ShuffledIndex(options_.seed, index / count, index % count, count));
}

absl::StatusOr<StepReport> Trainer::Step() {
  StepReport report;
  const int64_t rows = options_.batch * options_.accumulate;
  rows_.clear();
  for (int64_t i = 0; i < rows; ++i) rows_.push_back(RowAt(step_ * rows + i));
  const int64_t targets = Targets(rows_);
  const auto size = static_cast<size_t>(options_.batch);
  const double aux =
      options_.aux_weight / static_cast<double>(options_.accumulate);
  for (size_t at = 0; at < rows_.size(); at += size) {
    ASSIGN_OR_RETURN(const StepLoss loss,
                     step_state_.Backward(std::span(rows_).subspan(at, size),
                                          targets, aux, at > 0));
    report.loss.loss += loss.loss;
    report.loss.aux_loss +=
        loss.aux_loss / static_cast<double>(options_.accumulate);
  }
  for (const TrainRow& row : rows_)
    report.tokens += static_cast<int64_t>(row.ids.size());
  ASSIGN_OR_RETURN(report.grad_norm, step_state_.GradientNorm());
  report.lr = LearningRate(options_, step_);
  report.step = ++step_;
  if (!std::isfinite(report.loss.loss) || !std::isfinite(report.grad_norm)) {
    report.skipped = true;
    report.bad = step_state_.FirstBadGradient();
    if (++bad_ < kMostBadSteps) return report;
    return Error(Code::R302, "step ", step_, ": the loss or its gradients ",
                 "were not finite ", bad_, " times in a row, first in ",
                 report.bad.empty() ? "the loss" : Quoted(report.bad),
                 ". The weights are those before; lower --lr.");
  }
  bad_ = 0;
  AdamwOptions adamw = options_.adamw;
  adamw.lr = static_cast<float>(report.lr);
  const double scale = options_.clip > 0 && report.grad_norm > options_.clip
                           ? options_.clip / (report.grad_norm + 1e-6)
                           : 1;
  RETURN_IF_ERROR(
      step_state_.Update(adamw, ++updates_, static_cast<float>(scale)));
  return report;
}

absl::StatusOr<double> Trainer::Evaluate(const TrainData& data) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t first = 0; first < data.windows(); first += options_.batch) {
    rows_.clear();
    const int64_t end = std::min(first + options_.batch, data.windows());
    for (int64_t i = first; i < end; ++i) rows_.push_back(data.Window(i));
    const int64_t targets = Targets(rows_);
    ASSIGN_OR_RETURN(const StepLoss loss, step_state_.Evaluate(rows_, targets));
    sum += loss.loss * static_cast<double>(targets);
    count += targets;
  }
  return sum / static_cast<double>(std::max<int64_t>(count, 1));
}

}  // namespace moe
