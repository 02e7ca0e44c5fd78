// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// moe-run plan: what a run will need, before it starts.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"
#include "runtime/memory_plan.h"
#include "runtime/memory_stats.h"
#include "tools/run/command.h"

namespace moe::run {
namespace {

struct PlanFlags {
  CommonFlags common;
  int64_t batch = 1, tokens = 2048, step_tokens = 512;
  bool train = false;
};

TrainSizes SizesOf(const PlanFlags& flags) {
  return {.max_tokens = flags.batch * flags.tokens,
          .max_rows = flags.batch,
          .longest = flags.tokens};
}

absl::StatusOr<MemoryPlan> MakePlan(const Module& module,
                                    const PlanFlags& flags) {
  const int64_t step = std::max(
      flags.batch, std::min(flags.step_tokens, flags.batch * flags.tokens));
  if (module.manifest().FindEntry("decode") != nullptr)
    return PlanGenerate(
        module, {.kv = {.slots = flags.batch, .tokens_per_slot = flags.tokens},
                 .max_tokens = step});
  return PlanScore(module, {.max_tokens = flags.batch * flags.tokens,
                            .max_rows = flags.batch});
}

Json KeptJson(const Module& module, const TrainSizes& sizes) {
  const EntrySpec* entry = module.manifest().FindEntry(sizes.gradient);
  Json layers = Json::array();
  for (const KeptSpec& kept : entry->kept)
    layers.push_back(
        {{"layers", {kept.first, kept.last}},
         {"bytes", kept.token_bytes * sizes.max_tokens + kept.bytes}});
  return {{"recompute", entry->recompute}, {"kept", layers}};
}

absl::Status Show(const PlanFlags& flags, const MemoryPlan& plan, int64_t limit,
                  const Json& more, const std::string& text) {
  const absl::Status fits = CheckFits(plan, limit);
  if (flags.common.output == "json") {
    Json json = {{"weights_bytes", plan.weights},
                 {"kv_bytes", plan.kv},
                 {"workspace_bytes", plan.workspace},
                 {"total_bytes", plan.total()},
                 {"limit_bytes", limit},
                 {"fits", fits.ok()}};
    json.update(more);
    RETURN_IF_ERROR(PrintJson(json));
  } else {
    RETURN_IF_ERROR(Print(Joined(PlanText(plan), " of ", FormatBytes(limit),
                                 fits.ok() ? ": fits\n" : ": too much\n", text,
                                 text.empty() ? "" : "\n")));
  }
  return fits;
}

absl::Status Plan(const PlanFlags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   OpenEngine(flags.common));
  ASSIGN_OR_RETURN(const int64_t given, MaxMemory(flags.common));
  const int64_t limit = given > 0 ? given : AvailableBytes();
  const Module& module = engine->module();
  if (!flags.train) {
    ASSIGN_OR_RETURN(const MemoryPlan plan, MakePlan(module, flags));
    return Show(flags, plan, limit, Json::object(), "");
  }
  TrainSizes sizes = SizesOf(flags);
  ASSIGN_OR_RETURN(const MemoryPlan plan, ChooseGradient(module, limit, sizes));
  return Show(flags, plan, limit, KeptJson(module, sizes),
              KeptText(module, sizes));
}

}  // namespace

Action AddPlan(CLI::App& app) {
  auto flags = std::make_shared<PlanFlags>();
  AddModuleFlags(app, flags->common);
  const auto range = CLI::Range(int64_t{1}, int64_t{1} << 30);
  app.add_option("--batch", flags->batch, "sequences at one time")
      ->check(range)
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--tokens", flags->tokens, "length of each sequence")
      ->check(range)
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--step-tokens", flags->step_tokens,
                 "prompt tokens that one step takes in")
      ->check(range)
      ->type_name("N")
      ->capture_default_str();
  app.add_flag("--train", flags->train,
               "a training step on so many tokens, and what of each\n"
               "layer its gradients keep");
  AddOutputFlag(app, flags->common, {"text", "json"});
  app.footer(
      "Reads no weights. Exits with 4 if the run does not fit.\n\n"
      "Example:\n"
      "  moe-run plan out.moe --batch 8 --tokens 4096 --max-memory 20GiB");
  return [flags] { return Plan(*flags); };
}

}  // namespace moe::run
