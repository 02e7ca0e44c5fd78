// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/scorer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/token_ids.h"

namespace moe {
namespace {

constexpr char kIdx[] = "routing.idx", kWeight[] = "routing.weight";

// The name of output |i| of a kind, "idx" or "weight".
std::string RoutingName(size_t i, std::string_view kind) {
  return i == 0 ? Joined("routing.", kind) : Joined("routing.", i, ".", kind);
}

}  // namespace

Dims LargestDims(const ScorerOptions& options) {
  const int64_t tokens = options.max_tokens;
  return {tokens, options.max_rows, tokens, 0, 0, 0, tokens};
}

absl::StatusOr<Scorer> Scorer::Create(const Engine& engine,
                                      const ScorerOptions& options) {
  const std::optional<ModelSpec>& model = engine.manifest().model;
  RETURN_IF_ERROR(engine.manifest().GetEntry("score").status());
  if (!model)
    return Error(Code::M109, "the manifest has score but no model. Compile ",
                 "the model again.");
  ASSIGN_OR_RETURN(BoundEntry entry,
                   BoundEntry::Bind(engine, "score", LargestDims(options)));
  Scorer scorer(std::move(entry));
  scorer.model_ = &*model;
  scorer.ids_.resize(static_cast<size_t>(options.max_tokens));
  scorer.positions_.resize(static_cast<size_t>(options.max_tokens));
  scorer.cu_seqlens_.resize(static_cast<size_t>(options.max_rows) + 1);
  BoundEntry& bound = scorer.entry_;
  RETURN_IF_ERROR(bound.SetInput("ids", scorer.ids_.data()));
  RETURN_IF_ERROR(bound.SetInput("positions", scorer.positions_.data()));
  RETURN_IF_ERROR(bound.SetInput("cu_seqlens", scorer.cu_seqlens_.data()));
  RETURN_IF_ERROR(bound.CheckInputsSet());
  RETURN_IF_ERROR(bound.CheckOutput(
      "logits", DType::kF32, {"tokens", std::to_string(model->vocab_size)}));
  if (bound.Has(kIdx) || bound.Has(kWeight))
    RETURN_IF_ERROR(scorer.BindRouting());
  return scorer;
}

absl::Status Scorer::BindRouting() {
  const std::string k = std::to_string(model_->top_k);
  std::vector<std::vector<int64_t>> outputs = model_->routing;
  if (outputs.empty()) outputs.push_back(model_->moe_layers);
  places_.resize(model_->moe_layers.size());
  size_t found = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string idx = RoutingName(i, "idx");
    const std::string weight = RoutingName(i, "weight");
    const std::string layers = std::to_string(outputs[i].size());
    RETURN_IF_ERROR(
        entry_.CheckOutput(idx, DType::kI32, {layers, "tokens", k}));
    RETURN_IF_ERROR(
        entry_.CheckOutput(weight, DType::kF32, {layers, "tokens", k}));
    for (size_t l = 0; l < places_.size(); ++l) {
      const auto at = std::find(outputs[i].begin(), outputs[i].end(),
                                model_->moe_layers[l]);
      if (at == outputs[i].end()) continue;
      found += places_[l].idx == nullptr;
      places_[l] = {entry_.Output<int32_t>(idx), entry_.Output<float>(weight),
                    static_cast<size_t>(at - outputs[i].begin())};
    }
  }
  if (found != places_.size())
    return Error(Code::M109, "entry ", Quoted("score"),
                 " gives the routing of ", found, " of ", places_.size(),
                 " MoE layers");
  return absl::OkStatus();
}

absl::Status Scorer::Run(std::span<const std::span<const int32_t>> rows) {
  rows_ = 0;
  if (rows.empty()) return absl::OkStatus();
  if (rows.size() >= cu_seqlens_.size())
    return Error(Code::R203, "a pack of ", rows.size(), " rows; at most ",
                 cu_seqlens_.size() - 1, " were asked for");
  size_t at = 0, longest = 0;
  for (size_t b = 0; b < rows.size(); ++b) {
    RETURN_IF_ERROR(CheckIds(rows[b], model_->vocab_size, "a row"));
    RETURN_IF_ERROR(CheckLength(static_cast<int64_t>(rows[b].size()),
                                model_->max_positions, "a row"));
    if (rows[b].size() > ids_.size() - at)
      return Error(Code::R203, "a pack of more than ", ids_.size(),
                   " tokens, which is what was asked for");
    cu_seqlens_[b] = static_cast<int32_t>(at);
    for (size_t i = 0; i < rows[b].size(); ++i, ++at) {
      ids_[at] = rows[b][i];
      positions_[at] = static_cast<int32_t>(i);
    }
    longest = std::max(longest, rows[b].size());
  }
  cu_seqlens_[rows.size()] = static_cast<int32_t>(at);
  RETURN_IF_ERROR(entry_.Run(
      {static_cast<int64_t>(at), static_cast<int64_t>(rows.size()),
       static_cast<int64_t>(longest), 0, 0, 0, static_cast<int64_t>(at)}));
  rows_ = rows.size();
  return absl::OkStatus();
}

std::span<const float> Scorer::RowLogits(size_t row) const {
  const auto vocab = static_cast<size_t>(model_->vocab_size);
  const auto begin = static_cast<size_t>(cu_seqlens_[row]);
  const auto end = static_cast<size_t>(cu_seqlens_[row + 1]);
  return {entry_.Output<float>("logits") + begin * vocab,
          (end - begin) * vocab};
}

bool Scorer::has_routing() const { return !places_.empty(); }

RowRouting Scorer::Routing(size_t moe_layer, size_t row) const {
  const auto k = static_cast<size_t>(model_->top_k);
  const auto tokens = static_cast<size_t>(cu_seqlens_[rows_]);
  const auto begin = static_cast<size_t>(cu_seqlens_[row]);
  const auto count = static_cast<size_t>(cu_seqlens_[row + 1]) - begin;
  const RoutingPlace& place = places_[moe_layer];
  const size_t offset = (place.layer * tokens + begin) * k;
  return {model_->top_k,
          {place.idx + offset, count * k},
          {place.weight + offset, count * k}};
}

std::vector<double> RowNll(std::span<const int32_t> ids,
                           std::span<const float> logits) {
  std::vector<double> nll;
  if (ids.size() < 2) return nll;
  const size_t vocab = logits.size() / ids.size();
  nll.reserve(ids.size() - 1);
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    const std::span<const float> row = logits.subspan(i * vocab, vocab);
    const double largest = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (float logit : row) sum += std::exp(logit - largest);
    nll.push_back(std::log(sum) + largest -
                  row[static_cast<size_t>(ids[i + 1])]);
  }
  return nll;
}

}  // namespace moe
