// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/memory_plan.h"

#include <optional>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/memory_stats.h"

namespace moe {
namespace {

// Heap and tables of the process itself.
constexpr int64_t kProcessBytes = int64_t{1} << 19;

absl::Status Add(int64_t bytes, int64_t& sum) {
  if (!__builtin_add_overflow(sum, bytes, &sum)) return absl::OkStatus();
  return Error(Code::R101, "the run needs more memory than can be counted");
}

absl::Status AddEntry(const Module& module, std::string_view entry,
                      const Dims& most, MemoryPlan& plan) {
  ASSIGN_OR_RETURN(const EntryMemory memory, PlanEntry(module, entry, most));
  RETURN_IF_ERROR(Add(memory.workspace, plan.workspace));
  return Add(memory.outputs, plan.workspace);
}

absl::StatusOr<MemoryPlan> StartPlan(const Module& module) {
  MemoryPlan plan;
  plan.workspace = kProcessBytes;
  ASSIGN_OR_RETURN(plan.weights, OwnWeightBytes(module.manifest()));
  return plan;
}

absl::StatusOr<MemoryPlan> Checked(const MemoryPlan& plan) {
  int64_t sum = plan.weights;
  RETURN_IF_ERROR(Add(plan.kv, sum));
  RETURN_IF_ERROR(Add(plan.workspace, sum));
  return plan;
}

}  // namespace

absl::StatusOr<MemoryPlan> PlanGenerate(const Module& module,
                                        const StepperOptions& options) {
  ASSIGN_OR_RETURN(MemoryPlan plan, StartPlan(module));
  const std::optional<ModelSpec>& model = module.manifest().model;
  if (model && model->kv) {
    ASSIGN_OR_RETURN(plan.kv, KvBytes(*model->kv, options.kv));
  }
  const StepperDims most = LargestDims(options);
  RETURN_IF_ERROR(AddEntry(module, "prefill", most.prefill, plan));
  RETURN_IF_ERROR(AddEntry(module, "decode", most.decode, plan));
  return Checked(plan);
}

absl::StatusOr<MemoryPlan> PlanScore(const Module& module,
                                     const ScorerOptions& options) {
  ASSIGN_OR_RETURN(MemoryPlan plan, StartPlan(module));
  RETURN_IF_ERROR(AddEntry(module, "score", LargestDims(options), plan));
  return Checked(plan);
}

absl::StatusOr<MemoryPlan> PlanTrain(const Module& module,
                                     const TrainSizes& sizes) {
  ASSIGN_OR_RETURN(MemoryPlan plan, StartPlan(module));
  ASSIGN_OR_RETURN(const int64_t bytes, TrainStep::PlanBytes(module, sizes));
  RETURN_IF_ERROR(Add(bytes, plan.workspace));
  return Checked(plan);
}

absl::StatusOr<MemoryPlan> ChooseGradient(const Module& module, int64_t limit,
                                          TrainSizes& sizes) {
  if (!module.manifest().Trains())
    return Error(Code::U108, "the module cannot train: compile the model ",
                 "with --entries train");
  // Entries stand in the order in which they were asked for.
  std::optional<MemoryPlan> smallest;
  for (const EntrySpec& entry : module.manifest().entries) {
    if (entry.name != "grad" && entry.recompute.empty()) continue;
    TrainSizes with = sizes;
    with.gradient = entry.name;
    ASSIGN_OR_RETURN(const MemoryPlan plan, PlanTrain(module, with));
    if (smallest && smallest->total() <= plan.total()) continue;
    smallest = plan;
    sizes = with;
    if (CheckFits(plan, limit).ok()) break;
  }
  if (!smallest) return PlanTrain(module, sizes);
  return *smallest;
}

absl::StatusOr<MemoryPlan> FitTrain(const Module& module, int64_t limit,
                                    TrainSizes& sizes) {
  ASSIGN_OR_RETURN(const MemoryPlan plan, ChooseGradient(module, limit, sizes));
  RETURN_IF_ERROR(CheckFits(plan, limit));
  return plan;
}

std::string KeptText(const Module& module, const TrainSizes& sizes) {
  const EntrySpec* entry = module.manifest().FindEntry(sizes.gradient);
  if (entry == nullptr || entry->kept.empty()) return "";
  std::string text;
  for (const KeptSpec& kept : entry->kept) {
    const bool one = kept.last == kept.first + 1;
    text += Joined(text.empty() ? "" : ", ", one ? "layer " : "layers ",
                   kept.first);
    if (!one) text += Joined(" to ", kept.last - 1);
    text +=
        Joined(one ? " keeps " : " keep ",
               FormatBytes(kept.token_bytes * sizes.max_tokens + kept.bytes),
               one ? "" : " each");
  }
  return Joined(text, " (recompute ", entry->recompute, ")");
}

absl::Status CheckFits(const MemoryPlan& plan, int64_t limit) {
  const int64_t bytes = limit > 0 ? limit : AvailableBytes();
  if (bytes == 0 || plan.total() <= bytes) return absl::OkStatus();
  return Error(Code::R102, "the run needs ", FormatBytes(plan.total()), " (",
               PlanText(plan), ") of ", FormatBytes(bytes),
               limit > 0 ? " allowed" : " available",
               ". Use fewer tokens or a smaller batch.");
}

std::string PlanText(const MemoryPlan& plan) {
  return Joined("weights ", FormatBytes(plan.weights), ", kv ",
                FormatBytes(plan.kv), ", workspace ",
                FormatBytes(plan.workspace), ", total ",
                FormatBytes(plan.total()));
}

}  // namespace moe
