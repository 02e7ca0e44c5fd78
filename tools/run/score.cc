// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run score: the negative log-likelihood of given tokens.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/safetensors.h"
#include "lib/core/status_macros.h"
#include "runtime/memory_plan.h"
#include "runtime/scorer.h"
#include "runtime/token_ids.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

using Rows = std::vector<std::vector<int32_t>>;

struct ScoreFlags {
  CommonFlags common;
  std::string ids, logits, routing;
};

// The routing of every row, kept until it is written.
struct RoutingStore {
  struct Item {
    std::string name;
    int64_t rows, top_k;
    std::vector<int32_t> idx;
    std::vector<float> weight;
  };
  std::vector<Item> items;

  void Keep(const Scorer& scorer, const ModelSpec& model, size_t row,
            size_t number, size_t length) {
    for (size_t l = 0; l < model.moe_layers.size(); ++l) {
      const RowRouting routing = scorer.Routing(l, row);
      items.push_back({Joined("layer.", model.moe_layers[l], ".", number),
                       static_cast<int64_t>(length),
                       routing.top_k,
                       {routing.idx.begin(), routing.idx.end()},
                       {routing.weight.begin(), routing.weight.end()}});
    }
  }

  absl::Status Write(const std::string& path) const {
    SafetensorsWriter writer;
    for (const Item& item : items) {
      writer.Add(item.name + ".idx", DType::kI32, {item.rows, item.top_k},
                 AsBytes(item.idx));
      writer.Add(item.name + ".weight", DType::kF32, {item.rows, item.top_k},
                 AsBytes(item.weight));
    }
    return writer.Write(path);
  }
};

class ScoreRun {
 public:
  ScoreRun(const ScoreFlags& flags, const ModelSpec& model, const Rows& rows,
           Scorer scorer, int64_t max_tokens)
      : flags_(flags),
        model_(model),
        rows_(rows),
        scorer_(std::move(scorer)),
        max_tokens_(static_cast<size_t>(max_tokens)) {}

  absl::Status Run() {
    if (!flags_.routing.empty() && !scorer_.has_routing())
      return Error(Code::U108, "the entry 'score' of this module does not ",
                   "give its routing: the model has no MoE layer");
    if (flags_.logits.empty()) {
      for (size_t first = 0; first < rows_.size();) {
        const size_t count = PackFrom(first);
        RETURN_IF_ERROR(RunPack(first, count));
        first += count;
      }
    } else {
      RETURN_IF_ERROR(WriteLogits());
    }
    if (!flags_.routing.empty())
      RETURN_IF_ERROR(routing_.Write(flags_.routing));
    RETURN_IF_ERROR(Print(kept_));
    return Total();
  }

 private:
  // How many rows from |first| on fit one pack.
  size_t PackFrom(size_t first) const {
    size_t tokens = 0, count = 0;
    while (first + count < rows_.size() &&
           tokens + rows_[first + count].size() <= max_tokens_)
      tokens += rows_[first + count++].size();
    return count;
  }

  absl::Status RunPack(size_t first, size_t count) {
    const std::vector<std::span<const int32_t>> views(
        rows_.begin() + static_cast<ptrdiff_t>(first),
        rows_.begin() + static_cast<ptrdiff_t>(first + count));
    RETURN_IF_ERROR(scorer_.Run(views));
    for (size_t r = 0; r < count; ++r) {
      RETURN_IF_ERROR(Tell(first + r, scorer_.RowLogits(r)));
      if (!flags_.routing.empty())
        routing_.Keep(scorer_, model_, r, first + r, views[r].size());
    }
    return absl::OkStatus();
  }

  // One row at a time, so that one row of logits is in memory at a time.
  absl::Status WriteLogits() {
    SafetensorsWriter writer;
    for (size_t r = 0; r < rows_.size(); ++r)
      writer.AddLazy(Joined("logits.", r), DType::kF32,
                     {static_cast<int64_t>(rows_[r].size()), model_.vocab_size},
                     [this, r](std::span<std::byte> out) {
                       RETURN_IF_ERROR(RunPack(r, 1));
                       const auto bytes = std::as_bytes(scorer_.RowLogits(0));
                       std::copy(bytes.begin(), bytes.end(), out.begin());
                       return absl::OkStatus();
                     });
    return writer.Write(flags_.logits);
  }

  absl::Status Tell(size_t row, std::span<const float> logits) {
    const std::vector<int32_t>& ids = rows_[row];
    const std::vector<double> nll = RowNll(ids, logits);
    double sum = 0;
    for (double value : nll) sum += value;
    if (!std::isfinite(sum))
      return Error(Code::R301, "row ", row, ": the logits are not finite");
    sum_ += sum;
    count_ += nll.size();
    if (flags_.common.output == "json")
      return Say(DumpJson(Json{{"nll", nll}, {"tokens", ids.size()}}) + "\n");
    return Say(Joined("row ", row, ": ", ids.size(), " tokens, nll ",
                      Fixed(nll.empty() ? 0 : sum / Count(nll.size()), 6),
                      "\n"));
  }

  // Prints at once, or once the files are written: if they cannot be, there is
  // no answer.
  absl::Status Say(const std::string& line) {
    if (flags_.logits.empty() && flags_.routing.empty()) return Print(line);
    kept_ += line;
    return absl::OkStatus();
  }

  absl::Status Total() const {
    if (flags_.common.output == "json" || count_ == 0) return absl::OkStatus();
    const double mean = sum_ / Count(count_);
    return Print(Joined("all: ", count_, " targets, nll ", Fixed(mean, 6),
                        ", perplexity ", Fixed(std::exp(mean), 4), "\n"));
  }

  static double Count(size_t count) { return static_cast<double>(count); }

  const ScoreFlags& flags_;
  const ModelSpec& model_;
  const Rows& rows_;
  Scorer scorer_;
  size_t max_tokens_;
  RoutingStore routing_;
  std::string kept_;
  double sum_ = 0;
  size_t count_ = 0;
};

// Enough tokens in a pack to keep the machine busy, and no more logits than 64
// MiB unless one row needs them.
ScorerOptions PackSize(const ModelSpec& model, const Rows& rows) {
  int64_t longest = 0, tokens = 0;
  for (const auto& row : rows) {
    longest = std::max(longest, static_cast<int64_t>(row.size()));
    tokens += static_cast<int64_t>(row.size());
  }
  const int64_t wanted = std::clamp<int64_t>(
      (int64_t{64} << 20) / (4 * model.vocab_size), 64, 2048);
  const int64_t most = std::max(longest, std::min(wanted, tokens));
  return {most, std::min(most, static_cast<int64_t>(rows.size()))};
}

absl::Status Score(const ScoreFlags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   OpenEngine(flags.common));
  ASSIGN_OR_RETURN(const ModelSpec* model, GetModel(*engine));
  ASSIGN_OR_RETURN(const Rows rows, ReadIdsFile(flags.ids, model->vocab_size));
  for (size_t r = 0; r < rows.size(); ++r)
    RETURN_IF_ERROR(CheckLength(static_cast<int64_t>(rows[r].size()),
                                model->max_positions,
                                Joined(flags.ids, ": row ", r)));
  const ScorerOptions options = PackSize(*model, rows);
  ASSIGN_OR_RETURN(const int64_t limit, MaxMemory(flags.common));
  ASSIGN_OR_RETURN(const MemoryPlan plan, PlanScore(engine->module(), options));
  RETURN_IF_ERROR(CheckFits(plan, limit));
  RETURN_IF_ERROR(CheckOutput(flags.logits));
  RETURN_IF_ERROR(CheckOutput(flags.routing));
  RETURN_IF_ERROR(LoadWeights(*engine, flags.common));
  ASSIGN_OR_RETURN(Scorer scorer, Scorer::Create(*engine, options));
  return ScoreRun(flags, *model, rows, std::move(scorer), options.max_tokens)
      .Run();
}

}  // namespace

Action AddScore(CLI::App& app) {
  auto flags = std::make_shared<ScoreFlags>();
  AddModuleFlags(app, flags->common);
  AddWeightFlags(app, flags->common);
  app.add_option("--ids", flags->ids, "token ids: [[id, ...], ...]")
      ->required()
      ->type_name("FILE.json");
  app.add_option("--logits", flags->logits,
                 "write tensors logits.R [len, vocab]")
      ->type_name("FILE.safetensors");
  app.add_option("--routing", flags->routing,
                 "write tensors layer.L.R.idx and .weight [len, K]")
      ->type_name("FILE.safetensors");
  AddOutputFlag(app, flags->common, {"text", "json"});
  app.footer(
      "Prints for each row the negative log-likelihood of every token after\n"
      "the first, in nats.\n\n"
      "Example:\n"
      "  moe-run score out.moe --weights DIR --ids rows.json -o json");
  return [flags] { return Score(*flags); };
}

}  // namespace moe::run
