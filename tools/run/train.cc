// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run train: steps over a file, with metrics and checkpoints.
#include "tools/run/train.h"

#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <charconv>
#include <memory>
#include <optional>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/token_ids.h"
#include "runtime/train/checkpoints.h"
#include "tools/run/metrics.h"

namespace moe::run {
namespace {

std::atomic<int> stop_signal{0};
void OnSignal(int number) { stop_signal = number; }

// SIGTERM and SIGINT end the run after the step that is under way, or before
// the first.
class SignalGuard {
 public:
  SignalGuard() {
    stop_signal = 0;
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    sigaction(SIGTERM, &action, &term_);
    sigaction(SIGINT, &action, &int_);
  }
  ~SignalGuard() {
    sigaction(SIGTERM, &term_, nullptr);
    sigaction(SIGINT, &int_, nullptr);
  }

 private:
  struct sigaction term_, int_;
};

// The checkpoint to continue from; empty: from the start.
absl::StatusOr<std::string> ChooseCheckpoint(const TrainFlags& flags) {
  const std::vector<int64_t> steps = CheckpointSteps(flags.out);
  if (flags.resume == "never") {
    if (!steps.empty())
      return Error(Code::R502, ShownPath(flags.out), ": holds checkpoints ",
                   "up to step ", steps.back(),
                   ". Give another --out, or --resume auto.");
    return std::string();
  }
  if (flags.resume == "auto")
    return steps.empty() ? "" : CheckpointFolder(flags.out, steps.back());
  for (const int64_t step : steps)
    if (flags.resume == std::to_string(step))
      return CheckpointFolder(flags.out, step);
  return Error(Code::R501, ShownPath(flags.out), ": has no checkpoint of step ",
               Quoted(flags.resume));
}

absl::Status LoadStart(Engine& engine, const TrainFlags& flags,
                       const std::string& checkpoint) {
  constexpr std::string_view kSeed = "seed:";
  if (!checkpoint.empty()) return engine.LoadWeights(checkpoint);
  if (flags.init.empty()) return engine.MakeInitialWeights(flags.options.seed);
  if (!flags.init.starts_with(kSeed)) return engine.LoadWeights(flags.init);
  uint64_t seed = 0;
  const char* end = flags.init.data() + flags.init.size();
  const auto [last, error] =
      std::from_chars(flags.init.data() + kSeed.size(), end, seed);
  if (error != std::errc() || last != end)
    return Error(Code::U103, "--init: expects DIR or seed:S, got ",
                 Quoted(flags.init));
  return engine.MakeInitialWeights(seed);
}

class TrainRun {
 public:
  // |resumed|: the step that there is a checkpoint of, or -1.
  TrainRun(const TrainFlags& flags, TrainLoop& loop, RowOrder order,
           const std::optional<TrainData>& eval, int64_t resumed)
      : flags_(flags),
        loop_(loop),
        order_(std::move(order)),
        resumed_(resumed) {
    if (eval) eval_ = eval->Windows();
  }

  absl::Status Run() {
    RETURN_IF_ERROR(RemoveUnfinished(flags_.out));
    const bool counts = !loop_.state().loads().empty();
    ASSIGN_OR_RETURN(
        Metrics metrics,
        Metrics::Open(flags_.out, loop_.Identity(), loop_.step(), counts));
    metrics_ = std::make_unique<Metrics>(std::move(metrics));
    ProgressLine progress(flags_.options.steps);
    saved_ = resumed_;
    while (loop_.step() < flags_.options.steps) {
      if (stop_signal != 0) return Stop();
      const double start = Now();
      ASSIGN_OR_RETURN(const StepReport report,
                       loop_.Step(order_.Rows(loop_.step())));
      const double seconds = Now() - start;
      RETURN_IF_ERROR(metrics_->Step(report, seconds));
      std::optional<RouterSummary> routers;
      if (counts) {
        ASSIGN_OR_RETURN(routers,
                         metrics_->Experts(report, loop_.loads(),
                                           loop_.state().model().top_k));
      }
      progress.Tell(report, seconds, routers);
      RETURN_IF_ERROR(AfterStep(report));
    }
    RETURN_IF_ERROR(Save());
    return Print(Joined("trained ", loop_.step(), " steps: ",
                        CheckpointFolder(flags_.out, loop_.step()), "\n"));
  }

 private:
  absl::Status AfterStep(const StepReport& report) {
    const bool last = report.step == flags_.options.steps;
    const bool due =
        flags_.eval_every > 0 && report.step % flags_.eval_every == 0;
    if (!eval_.empty() && (last || due)) {
      ASSIGN_OR_RETURN(const double loss, loop_.Evaluate(eval_));
      RETURN_IF_ERROR(metrics_->Eval(report.step, loss));
      Note(Joined("step ", report.step, ": eval loss ", Fixed(loss, 4)));
    }
    if (flags_.save_every > 0 && report.step % flags_.save_every == 0)
      return Save();
    return absl::OkStatus();
  }

  absl::Status Save() {
    if (saved_ == loop_.step()) return absl::OkStatus();
    RETURN_IF_ERROR(metrics_->Sync());
    RETURN_IF_ERROR(loop_.Save(flags_.out));
    saved_ = loop_.step();
    return DropCheckpoints(flags_.out, flags_.keep);
  }

  absl::Status Stop() {
    RETURN_IF_ERROR(Save());
    return Error(stop_signal == SIGINT ? Code::R402 : Code::R401,
                 "stopped after step ", loop_.step(),
                 ", which is saved. Resume: same command with --resume auto.");
  }

  const TrainFlags& flags_;
  TrainLoop& loop_;
  RowOrder order_;
  std::vector<TrainRow> eval_;
  std::unique_ptr<Metrics> metrics_;
  int64_t resumed_, saved_ = -1;
};

absl::Status CheckFlags(const TrainFlags& flags) {
  const TrainOptions& o = flags.options;
  constexpr int64_t kMost = int64_t{1} << 31;
  const auto demand = [](bool good, const char* what) {
    return good ? absl::OkStatus() : Error(Code::U103, what);
  };
  // Not true of what is no number.
  const auto within = [](double value, double low, double high) {
    return value >= low && value <= high;
  };
  RETURN_IF_ERROR(
      demand(o.steps > 0 && o.steps <= kMost, "--steps: expects 1 to 2^31"));
  RETURN_IF_ERROR(demand(o.batch > 0 && o.accumulate > 0 && flags.seq > 0,
                         "--batch, --accumulate and --seq: expect 1 or more"));
  RETURN_IF_ERROR(demand(
      flags.seq <= kMost && o.batch <= kMost / flags.seq &&
          o.accumulate <= kMost / flags.seq / o.batch,
      "--accumulate times --batch times --seq: expects at most 2^31 tokens"));
  RETURN_IF_ERROR(demand(o.adamw.lr > 0 && o.adamw.lr <= 10,
                         "--lr: expects a number above 0, at most 10"));
  RETURN_IF_ERROR(
      demand(within(o.min_lr, 0, o.adamw.lr), "--min-lr: expects 0 to --lr"));
  RETURN_IF_ERROR(demand(o.adamw.beta1 >= 0 && o.adamw.beta1 < 1 &&
                             o.adamw.beta2 >= 0 && o.adamw.beta2 < 1,
                         "--beta1 and --beta2: expect 0 up to below 1"));
  RETURN_IF_ERROR(demand(o.adamw.eps > 0 && o.adamw.eps <= 1,
                         "--eps: expects a number above 0, at most 1"));
  RETURN_IF_ERROR(
      demand(within(o.adamw.weight_decay, 0, 1e6) && within(o.clip, 0, 1e30),
             "--weight-decay and --clip: expect 0 up to 1e6 and 1e30"));
  return demand(o.warmup >= 0 && flags.keep >= 0 && flags.save_every >= 0 &&
                    flags.eval_every >= 0,
                "--warmup, --keep, --save-every and --eval-every: expect 0 "
                "or more");
}

absl::Status Train(TrainFlags& flags) {
  const SignalGuard guard;
  flags.options.min_lr = flags.min_lr.value_or(flags.options.adamw.lr / 10);
  flags.options.cosine = flags.schedule == "cosine";
  flags.options.aux_weight = flags.no_aux ? 0 : 1;
  RETURN_IF_ERROR(CheckFlags(flags));
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   OpenEngine(flags.common));
  ASSIGN_OR_RETURN(const ModelSpec* model, GetModel(*engine));
  RETURN_IF_ERROR(CheckLength(flags.seq, model->max_positions, "--seq"));
  const DataOptions options{model->vocab_size, flags.seq, flags.ids_dtype};
  ASSIGN_OR_RETURN(TrainData data, TrainData::Open(flags.data, options));
  std::optional<TrainData> eval;
  if (!flags.eval_data.empty()) {
    ASSIGN_OR_RETURN(eval, TrainData::Open(flags.eval_data, options));
  }
  ASSIGN_OR_RETURN(const int64_t limit, MaxMemory(flags.common));
  const int64_t longest =
      std::max(data.max_row(), eval ? eval->max_row() : int64_t{0});
  TrainSizes sizes{flags.options.batch * longest, flags.options.batch,
                   eval.has_value()};
  sizes.longest = longest;
  ASSIGN_OR_RETURN(const MemoryPlan plan,
                   FitTrain(engine->module(), limit, sizes));
  flags.options.data = data.hash().Hex();
  ASSIGN_OR_RETURN(RowOrder order, RowOrder::Create(data, flags.options));
  ASSIGN_OR_RETURN(const std::string checkpoint, ChooseCheckpoint(flags));
  if (!checkpoint.empty())
    RETURN_IF_ERROR(CheckCheckpoint(checkpoint).status());
  RETURN_IF_ERROR(LoadStart(*engine, flags, checkpoint));
  Note(Joined(data.tokens(), " tokens in ", data.windows(), " rows; ",
              PlanText(plan)));
  if (const std::string kept = KeptText(engine->module(), sizes); !kept.empty())
    Note(kept);
  ASSIGN_OR_RETURN(const std::unique_ptr<TrainLoop> loop,
                   TrainLoop::Create(*engine, flags.options, sizes));
  int64_t resumed = -1;
  if (!checkpoint.empty()) {
    RETURN_IF_ERROR(loop->Resume(checkpoint));
    Note(Joined("resumed from ", checkpoint));
    resumed = loop->step();
  }
  return TrainRun(flags, *loop, std::move(order), eval, resumed).Run();
}

}  // namespace

Action AddTrain(CLI::App& app) {
  auto flags = std::make_shared<TrainFlags>();
  AddModuleFlags(app, flags->common);
  AddTrainFlags(app, *flags);
  app.footer(
      "Writes RUN/metrics.jsonl, RUN/experts.jsonl and checkpoints "
      "RUN/step-N.\n"
      "SIGTERM saves and exits 75; the same command goes on from there.\n\n"
      "Example:\n"
      "  moe-run train out.moe --data text.txt --out run --steps 1000 "
      "--lr 1e-3");
  return [flags] { return Train(*flags); };
}

}  // namespace moe::run
