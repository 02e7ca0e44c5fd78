// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run bench: tokens per second of prompts (pp) and of generation (tg).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "lib/core/errors.h"
#include "lib/core/philox.h"
#include "lib/core/status_macros.h"
#include "runtime/cpu/machine_limits.h"
#include "runtime/memory_plan.h"
#include "runtime/memory_stats.h"
#include "runtime/model_cost.h"
#include "runtime/stepper.h"
#include "tools/run/command.h"
#include "tools/run/timing.h"

namespace moe::run {
namespace {

constexpr int64_t kMaxStepTokens = 2048;
constexpr double kNoisy = 0.05;

struct BenchFlags {
  CommonFlags common;
  std::vector<int64_t> prompt = {512}, generate = {64}, batch = {1};
  int runs = 0;
  double seconds = 2;
};

// One row: |tokens| tokens of each of |batch| sequences from an empty cache,
// all at once (pp) or one after the other (tg).
struct Test {
  bool prompt = true;
  int64_t tokens = 0;
  int64_t batch = 1;

  std::string Name() const { return Joined(prompt ? "pp" : "tg", tokens); }
  StepperOptions Options() const {
    return {.kv = {.slots = batch, .tokens_per_slot = tokens},
            .max_tokens =
                prompt ? std::min(batch * tokens, kMaxStepTokens) : batch};
  }
};

class TestRun {
 public:
  TestRun(const Test& test, Stepper& stepper) : test_(test), stepper_(stepper) {
    const Philox philox(1);
    const uint32_t op = RandomOp(0, RandomStream::kBenchIds);
    for (int64_t i = 0; i < test.tokens * test.batch; ++i)
      ids_.push_back(
          static_cast<int32_t>(philox({static_cast<uint32_t>(i), 0, op, 0})[0] %
                               static_cast<uint64_t>(stepper.vocab_size())));
    chunks_.resize(static_cast<size_t>(test.batch));
  }

  // Seconds of one run.
  absl::StatusOr<double> Once() {
    for (Chunk& chunk : chunks_) {
      ASSIGN_OR_RETURN(chunk.sequence, stepper_.Join());
    }
    const double start = Now();
    const int64_t each =
        test_.prompt ? std::max<int64_t>(stepper_.max_tokens() / test_.batch, 1)
                     : 1;
    absl::Status status;
    for (int64_t at = 0; at < test_.tokens && status.ok(); at += each) {
      const int64_t count = std::min(each, test_.tokens - at);
      for (int64_t b = 0; b < test_.batch; ++b)
        chunks_[static_cast<size_t>(b)].ids =
            std::span(ids_).subspan(static_cast<size_t>(b * test_.tokens + at),
                                    static_cast<size_t>(count));
      status = stepper_.Step(chunks_);
    }
    const double seconds = Now() - start;
    for (const Chunk& chunk : chunks_) stepper_.Leave(chunk.sequence);
    RETURN_IF_ERROR(status);
    return seconds;
  }

  // Tokens per second, once runs take the same time.
  absl::StatusOr<Timing> Measure(const BenchFlags& flags) {
    ASSIGN_OR_RETURN(double last, Once());
    const double start = Now();
    while (Now() - start < flags.seconds) {
      ASSIGN_OR_RETURN(const double next, Once());
      const bool stable = std::abs(next - last) < kNoisy * last;
      last = next;
      if (stable) break;
    }
    Timing rates;
    const double begin = Now();
    const size_t least = flags.runs > 0 ? static_cast<size_t>(flags.runs) : 5;
    while (rates.count() < least ||
           (flags.runs == 0 && Now() - begin < flags.seconds)) {
      ASSIGN_OR_RETURN(const double seconds, Once());
      rates.Add(static_cast<double>(test_.tokens * test_.batch) / seconds);
    }
    return rates;
  }

 private:
  const Test& test_;
  Stepper& stepper_;
  std::vector<int32_t> ids_;
  std::vector<Chunk> chunks_;
};

struct Limit {
  double tokens_per_s = 0;
  bool by_memory = false;
};

// The steps of the test cannot be faster than their reads or their arithmetic.
StepCost CostOfTest(const Manifest& manifest, const Test& test) {
  if (test.prompt)
    return CostOfStep(manifest, {.tokens = test.tokens * test.batch,
                                 .sequences = test.batch});
  // Half of the sequence is in the cache on average.
  StepCost cost = CostOfStep(
      manifest, {.tokens = test.batch,
                 .sequences = test.batch,
                 .context_tokens = test.batch * (test.tokens + 1) / 2});
  cost.flops *= static_cast<double>(test.tokens);
  cost.bytes *= static_cast<double>(test.tokens);
  return cost;
}

// No cache holds as much, so more is read at the same rate.
constexpr double kMostRead = 256 << 20;

class Limits {
 public:
  explicit Limits(const Engine& engine)
      : engine_(engine),
        flops_(MeasureFlops(engine.pool(), engine.module().isa(),
                            engine.manifest().compute == "bf16"
                                ? Arithmetic::kBF16
                                : Arithmetic::kF32)) {}

  absl::StatusOr<Limit> Of(const Test& test) const {
    const StepCost cost = CostOfTest(engine_.manifest(), test);
    const double steps = test.prompt ? 1 : static_cast<double>(test.tokens);
    const double touched = std::min(cost.bytes / steps, kMostRead);
    ASSIGN_OR_RETURN(
        const double bandwidth,
        MeasureReadBandwidth(engine_.pool(), static_cast<int64_t>(touched)));
    const double compute = cost.flops / flops_, read = cost.bytes / bandwidth;
    const double seconds = std::max({compute, read, 1e-12});
    return Limit{static_cast<double>(test.tokens * test.batch) / seconds,
                 read > compute};
  }

 private:
  const Engine& engine_;
  double flops_;
};

absl::Status Tell(const Test& test, const Timing& rates, const Limit& limit,
                  const Engine& engine, const std::string& form, bool first) {
  const char* by = limit.by_memory ? "memory" : "compute";
  if (form == "json")
    return PrintJson({{"test", test.Name()},
                      {"batch", test.batch},
                      {"threads", engine.pool().size()},
                      {"tokens_per_s", rates.Median()},
                      {"p10", rates.Quantile(0.1)},
                      {"p90", rates.Quantile(0.9)},
                      {"cv", rates.Variation()},
                      {"limit_tokens_per_s", limit.tokens_per_s},
                      {"limit_by", by},
                      {"peak_bytes", PeakBytes()}});
  const bool csv = form == "csv";
  const std::string between = csv ? "," : " | ", left = csv ? "" : "| ";
  const std::string right = csv ? "\n" : " |\n";
  std::string text;
  if (first) {
    text = left;
    for (const char* name : {"test", "batch", "threads", "tokens_per_s", "p10",
                             "p90", "cv", "limit_tokens_per_s", "limit_by"})
      text += Joined(text == left ? "" : between, name);
    text += right;
    if (!csv) text += "|---|---:|---:|---:|---:|---:|---:|---:|---|\n";
  }
  text += Joined(left, test.Name(), between, test.batch, between,
                 engine.pool().size(), between, Fixed(rates.Median(), 1),
                 between, Fixed(rates.Quantile(0.1), 1), between,
                 Fixed(rates.Quantile(0.9), 1), between,
                 Fixed(rates.Variation(), 3),
                 !csv && rates.Variation() > kNoisy ? " noisy" : "", between,
                 Fixed(limit.tokens_per_s, 1), between, by, right);
  return Print(text);
}

absl::Status Bench(const BenchFlags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   OpenEngine(flags.common));
  RETURN_IF_ERROR(GetModel(*engine).status());
  ASSIGN_OR_RETURN(const int64_t limit_bytes, MaxMemory(flags.common));
  std::vector<Test> tests;
  for (int64_t batch : flags.batch) {
    for (int64_t tokens : flags.prompt)
      if (tokens > 0) tests.push_back({true, tokens, batch});
    for (int64_t tokens : flags.generate)
      if (tokens > 0) tests.push_back({false, tokens, batch});
  }
  for (const Test& test : tests) {
    ASSIGN_OR_RETURN(const MemoryPlan plan,
                     PlanGenerate(engine->module(), test.Options()));
    RETURN_IF_ERROR(CheckFits(plan, limit_bytes));
  }
  RETURN_IF_ERROR(LoadWeights(*engine, flags.common));
  const Limits limits(*engine);
  bool first = true;
  for (const Test& test : tests) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Stepper> stepper,
                     Stepper::Create(*engine, test.Options()));
    TestRun run(test, *stepper);
    ASSIGN_OR_RETURN(const Timing rates, run.Measure(flags));
    ASSIGN_OR_RETURN(const Limit limit, limits.Of(test));
    RETURN_IF_ERROR(
        Tell(test, rates, limit, *engine, flags.common.output, first));
    first = false;
  }
  return absl::OkStatus();
}

}  // namespace

Action AddBench(CLI::App& app) {
  auto flags = std::make_shared<BenchFlags>();
  AddModuleFlags(app, flags->common);
  AddWeightFlags(app, flags->common);
  const auto list = [&](const char* name, std::vector<int64_t>& values,
                        int64_t least, const char* text) {
    app.add_option(name, values, text)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(least, int64_t{1} << 24))
        ->type_name("N,...")
        ->capture_default_str();
  };
  list("-p,--prompt-tokens", flags->prompt, 0, "prompt lengths; 0 is none");
  list("-n,--new-tokens", flags->generate, 0, "tokens to generate; 0 is none");
  list("-b,--batch", flags->batch, 1, "sequences at one time");
  app.add_option("--runs", flags->runs, "measured runs of each row [by time]")
      ->check(CLI::Range(1, 1000000))
      ->type_name("N");
  app.add_option("--seconds", flags->seconds, "least time for each row")
      ->check(CLI::Range(0.0, 3600.0))
      ->type_name("S")
      ->capture_default_str();
  AddOutputFlag(app, flags->common, {"md", "csv", "json"});
  app.footer(
      "Warms up until two runs agree within 5 %, then gives the median, the\n"
      "10th and 90th percentile, and the coefficient of variation (noisy "
      "above\n"
      "5 %). The limit is what the weights read and the multiply-adds would\n"
      "take at the rates measured on this machine.\n\n"
      "Example:\n"
      "  moe-run bench out.moe --random-weights 1 -p 512 -n 128 -b 1,8");
  return [flags] { return Bench(*flags); };
}

}  // namespace moe::run
