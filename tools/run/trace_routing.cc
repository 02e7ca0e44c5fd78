// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run trace-routing: which experts real text goes to, for placement.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/atomic_file.h"
#include "lib/core/errors.h"
#include "lib/core/mapped_file.h"
#include "lib/core/status_macros.h"
#include "runtime/memory_plan.h"
#include "runtime/scorer.h"
#include "runtime/token_ids.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

using Rows = std::vector<std::vector<int32_t>>;

struct TraceFlags {
  CommonFlags common;
  std::string data, trace;
  int64_t row_tokens = 512;
  int windows = 1;
  int64_t samples = 4096;
};

// Rows of ids from FILE.json, else the bytes of a text cut into rows.
absl::StatusOr<Rows> ReadData(const TraceFlags& flags, const ModelSpec& model) {
  if (flags.data.ends_with(".json"))
    return ReadIdsFile(flags.data, model.vocab_size);
  if (model.vocab_size != 256)
    return Error(Code::T102, flags.data, ": text needs a model of bytes; this ",
                 "one has ", model.vocab_size,
                 " tokens. Give token ids as FILE.json.");
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(flags.data));
  const int64_t most = model.max_positions > 0
                           ? std::min(flags.row_tokens, model.max_positions)
                           : flags.row_tokens;
  Rows rows;
  const auto bytes = file.bytes();
  for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(most)) {
    auto& row = rows.emplace_back();
    const size_t end = std::min(bytes.size(), at + static_cast<size_t>(most));
    for (size_t i = at; i < end; ++i)
      row.push_back(static_cast<uint8_t>(bytes[i]));
  }
  if (rows.empty()) return Error(Code::R201, flags.data, ": holds no tokens");
  return rows;
}

// Counts by window and layer, and the joint choices of some tokens.
class Trace {
 public:
  Trace(const ModelSpec& model, size_t tokens, int windows, int64_t samples)
      : model_(model),
        tokens_(tokens),
        stride_(std::max<size_t>(
            1, samples <= 0 ? tokens + 1
                            : (tokens + static_cast<size_t>(samples) - 1) /
                                  static_cast<size_t>(samples))),
        sampling_(samples > 0) {
    loads_.assign(static_cast<size_t>(windows),
                  {model.moe_layers.size(),
                   std::vector<int64_t>(static_cast<size_t>(model.experts))});
  }

  // Row |row| of the last run is row |number| of the data.
  void Add(const Scorer& scorer, size_t row, size_t number, size_t length) {
    const size_t first = seen_;
    for (size_t l = 0; l < model_.moe_layers.size(); ++l) {
      const RowRouting routing = scorer.Routing(l, row);
      const auto k = static_cast<size_t>(routing.top_k);
      for (size_t t = 0; t < length; ++t) {
        auto& load = loads_[(first + t) * loads_.size() / tokens_][l];
        for (size_t i = 0; i < k; ++i) {
          const int32_t expert = routing.idx[t * k + i];
          if (expert >= 0 && static_cast<size_t>(expert) < load.size())
            ++load[static_cast<size_t>(expert)];
        }
        if (!sampling_ || (first + t) % stride_ != 0) continue;
        const size_t sample = (first + t) / stride_;
        if (sample >= experts_.size()) {
          experts_.resize(sample + 1);
          rows_.push_back(number);
        }
        experts_[sample].push_back(
            {routing.idx.begin() + static_cast<ptrdiff_t>(t * k),
             routing.idx.begin() + static_cast<ptrdiff_t>(t * k + k)});
      }
    }
    seen_ += length;
  }

  Json ToJson() const {
    Json json = {{"format", "moe-place-trace/1"},
                 {"layers", model_.moe_layers},
                 {"experts", model_.experts},
                 {"top_k", model_.top_k},
                 {"tokens", tokens_},
                 {"loads", loads_}};
    if (sampling_) json["samples"] = {{"row", rows_}, {"experts", experts_}};
    return json;
  }

  // Over all windows: largest load over the mean, coefficient of variation,
  // experts without a token.
  std::string Statistics() const {
    std::string text;
    for (size_t l = 0; l < model_.moe_layers.size(); ++l) {
      std::vector<double> load(static_cast<size_t>(model_.experts));
      for (const auto& window : loads_)
        for (size_t e = 0; e < load.size(); ++e)
          load[e] += static_cast<double>(window[l][e]);
      double sum = 0, squares = 0, most = 0;
      int64_t dead = 0;
      for (double each : load) {
        sum += each;
        squares += each * each;
        most = std::max(most, each);
        dead += each == 0;
      }
      const double mean = sum / static_cast<double>(load.size());
      const double variance =
          squares / static_cast<double>(load.size()) - mean * mean;
      text += Joined(
          "layer ", model_.moe_layers[l], ": load max/mean ",
          Fixed(mean > 0 ? most / mean : 0, 2), " cv ",
          Fixed(mean > 0 ? std::sqrt(std::max(0.0, variance)) / mean : 0, 3),
          " dead ", dead, "\n");
    }
    return text;
  }

 private:
  const ModelSpec& model_;
  size_t tokens_, stride_;
  bool sampling_;
  size_t seen_ = 0;
  std::vector<std::vector<std::vector<int64_t>>> loads_;  // window, layer
  std::vector<size_t> rows_;                              // of the samples
  std::vector<std::vector<std::vector<int32_t>>> experts_;
};

absl::Status TraceRouting(const TraceFlags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   OpenEngine(flags.common));
  ASSIGN_OR_RETURN(const ModelSpec* model, GetModel(*engine));
  ASSIGN_OR_RETURN(const Rows rows, ReadData(flags, *model));
  size_t tokens = 0, longest = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    RETURN_IF_ERROR(CheckLength(static_cast<int64_t>(rows[r].size()),
                                model->max_positions,
                                Joined(flags.data, ": row ", r)));
    tokens += rows[r].size();
    longest = std::max(longest, rows[r].size());
  }
  const ScorerOptions options{static_cast<int64_t>(longest), 1};
  ASSIGN_OR_RETURN(const int64_t limit, MaxMemory(flags.common));
  ASSIGN_OR_RETURN(const MemoryPlan plan, PlanScore(engine->module(), options));
  RETURN_IF_ERROR(CheckFits(plan, limit));
  RETURN_IF_ERROR(CheckOutput(flags.trace));
  RETURN_IF_ERROR(LoadWeights(*engine, flags.common));
  ASSIGN_OR_RETURN(Scorer scorer, Scorer::Create(*engine, options));
  if (!scorer.has_routing())
    return Error(Code::U108, "the entry 'score' of this module does not give ",
                 "its routing: the model has no MoE layer");
  Trace trace(*model, tokens, flags.windows, flags.samples);
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::span<const int32_t> view[] = {rows[r]};
    RETURN_IF_ERROR(scorer.Run(view));
    trace.Add(scorer, 0, r, rows[r].size());
  }
  RETURN_IF_ERROR(
      WriteFileAtomically(flags.trace, DumpJson(trace.ToJson()) + "\n"));
  return Print(trace.Statistics());
}

}  // namespace

Action AddTraceRouting(CLI::App& app) {
  auto flags = std::make_shared<TraceFlags>();
  AddModuleFlags(app, flags->common);
  AddWeightFlags(app, flags->common);
  app.add_option("--data", flags->data,
                 "text for a model of bytes, or token ids\n"
                 "[[id, ...], ...] in FILE.json")
      ->required()
      ->type_name("FILE");
  app.add_option("-o,--output", flags->trace, "where the trace goes")
      ->required()
      ->type_name("FILE.json");
  app.add_option("--row-tokens", flags->row_tokens,
                 "tokens that see each other, of a text")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--windows", flags->windows,
                 "equal parts of the data that are counted apart")
      ->check(CLI::Range(1, 100000))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--samples", flags->samples,
                 "tokens whose choices in all layers are kept, about")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 24))
      ->type_name("N")
      ->capture_default_str();
  app.footer(
      "Writes loads [window][layer][expert] and the experts of samples\n"
      "[token][layer][K]; prints how even the load is, a line for each "
      "layer.\n\n"
      "Example:\n"
      "  moe-run trace-routing out.moe --weights DIR --data text.txt -o "
      "t.json");
  return [flags] { return TraceRouting(*flags); };
}

}  // namespace moe::run
