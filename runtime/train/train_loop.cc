// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/train/train_loop.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/train/bad_numbers.h"

namespace moe {
namespace {

constexpr int64_t kMostBadSteps = 5;

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

absl::StatusOr<RowOrder> RowOrder::Create(const TrainData& data,
                                          const TrainOptions& options) {
  const int64_t rows = options.batch * options.accumulate;
  if (data.windows() < rows)
    return Error(Code::R206, "the data has ", data.windows(),
                 " rows, and a step takes ", rows,
                 ". Give a smaller --batch or --seq.");
  return RowOrder(data, options.seed, rows);
}

std::span<const TrainRow> RowOrder::Rows(int64_t step) {
  const int64_t count = data_->windows();
  int64_t index = step * static_cast<int64_t>(rows_.size());
  for (TrainRow& row : rows_) {
    row = data_->Window(
        ShuffledIndex(seed_, index / count, index % count, count));
    ++index;
  }
  return rows_;
}

absl::StatusOr<std::unique_ptr<TrainLoop>> TrainLoop::Create(
    Engine& engine, const TrainOptions& options, const TrainSizes& sizes) {
  ASSIGN_OR_RETURN(TrainStep state, TrainStep::Create(engine, sizes));
  if (options.accumulate > 1) RETURN_IF_ERROR(state.CheckAdds());
  return std::unique_ptr<TrainLoop>(
      new TrainLoop(engine, options, std::move(state)));
}

// Takes the counts of the last backward pass, or adds them.
void TrainLoop::CountLoads(bool add) {
  const auto counted = state_.loads();
  loads_.resize(counted.size());
  for (size_t i = 0; i < counted.size(); ++i) {
    loads_[i].layer = counted[i].layer;
    std::vector<int64_t>& tokens = loads_[i].tokens;
    tokens.resize(counted[i].tokens.size());
    for (size_t e = 0; e < tokens.size(); ++e)
      tokens[e] = (add ? tokens[e] : 0) + counted[i].tokens[e];
  }
}

absl::StatusOr<StepReport> TrainLoop::Step(std::span<const TrainRow> rows) {
  StepReport report;
  const int64_t targets = CountTargets(rows);
  const auto size = static_cast<size_t>(options_.batch);
  const auto most = size * static_cast<size_t>(options_.accumulate);
  if (rows.empty() || rows.size() > most)
    return Error(Code::R203, "a step of ", rows.size(), " rows; 1 to ", most,
                 " were asked for");
  const size_t passes = (rows.size() + size - 1) / size;
  std::span<const TrainRow> bad;  // of the first loss that is not finite
  state_.SetRandom(options_.seed, step_);
  for (size_t at = 0; at < rows.size(); at += size) {
    const auto part = rows.subspan(at, std::min(size, rows.size() - at));
    ASSIGN_OR_RETURN(
        const StepLoss loss,
        state_.Backward(part, targets,
                        options_.aux_weight / static_cast<double>(passes),
                        at > 0));
    CountLoads(at > 0);
    if (bad.empty() && !std::isfinite(loss.loss)) bad = part;
    report.loss.loss += loss.loss;
    report.loss.aux_loss += loss.aux_loss / static_cast<double>(passes);
  }
  for (const TrainRow& row : rows)
    report.tokens += static_cast<int64_t>(row.ids.size());
  ASSIGN_OR_RETURN(report.grad_norm, state_.GradientNorm());
  report.lr = LearningRate(options_, step_);
  report.step = ++step_;
  if (!std::isfinite(report.loss.loss) || !std::isfinite(report.grad_norm))
    return Skip(std::move(report), bad);
  bad_ = 0;
  AdamwOptions adamw = options_.adamw;
  adamw.lr = static_cast<float>(report.lr);
  const double scale = options_.clip > 0 && report.grad_norm > options_.clip
                           ? options_.clip / (report.grad_norm + 1e-6)
                           : 1;
  RETURN_IF_ERROR(state_.Update(adamw, ++updates_, static_cast<float>(scale)));
  return report;
}

absl::StatusOr<StepReport> TrainLoop::Skip(StepReport report,
                                           std::span<const TrainRow> rows) {
  report.skipped = true;
  report.bad = FirstBadWeight(engine_);
  if (report.bad.empty() && !rows.empty())
    report.bad = FirstBadActivation(engine_, state_, rows);
  if (report.bad.empty()) report.bad = FirstBadGradient(state_);
  if (report.bad.empty()) report.bad = "the norm of all gradients";
  if (++bad_ < kMostBadSteps) return report;
  return Error(Code::R302, "step ", step_, ": the loss or its gradients were ",
               "not finite ", bad_, " times in a row, first in ", report.bad,
               ". Nothing was updated since; lower --lr.");
}

absl::StatusOr<double> TrainLoop::Evaluate(std::span<const TrainRow> rows) {
  double sum = 0;
  int64_t count = 0;
  const auto size = static_cast<size_t>(options_.batch);
  for (size_t at = 0; at < rows.size(); at += size) {
    const auto part = rows.subspan(at, std::min(size, rows.size() - at));
    const int64_t targets = CountTargets(part);
    ASSIGN_OR_RETURN(const StepLoss loss, state_.Evaluate(part, targets));
    sum += loss.loss * static_cast<double>(targets);
    count += targets;
  }
  return sum / static_cast<double>(std::max<int64_t>(count, 1));
}

}  // namespace moe
