// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How much memory a run will need, told before any of it is allocated.
//
//   ASSIGN_OR_RETURN(MemoryPlan plan, PlanGenerate(module, options));
//   RETURN_IF_ERROR(CheckFits(plan, max_memory));

#ifndef MOE_RUNTIME_MEMORY_PLAN_H_
#define MOE_RUNTIME_MEMORY_PLAN_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/module.h"
#include "runtime/scorer.h"
#include "runtime/stepper.h"
#include "runtime/train/train_step.h"

namespace moe {

struct MemoryPlan {
  int64_t weights = 0;  // memory of our own; files mapped in come on top
  int64_t kv = 0;
  int64_t workspace = 0;  // arenas, outputs and fixed parts of the process

  int64_t total() const { return weights + kv + workspace; }
};

// What Stepper::Create and Scorer::Create with these options, and the weights,
// will allocate. R101 if sizes overflow.
absl::StatusOr<MemoryPlan> PlanGenerate(const Module& module,
                                        const StepperOptions& options);
absl::StatusOr<MemoryPlan> PlanScore(const Module& module,
                                     const ScorerOptions& options);
// Of TrainStep::Create.
absl::StatusOr<MemoryPlan> PlanTrain(const Module& module,
                                     const TrainSizes& sizes);
// Sets |sizes.gradient| to the first gradient of the module with which training
// fits |limit| bytes, or to that with the smallest plan, and gives its plan;
// U108 if there is none. 0 as below.
absl::StatusOr<MemoryPlan> ChooseGradient(const Module& module, int64_t limit,
                                          TrainSizes& sizes);
// The same; R102 if it does not fit.
absl::StatusOr<MemoryPlan> FitTrain(const Module& module, int64_t limit,
                                    TrainSizes& sizes);
// "layers 0 to 7 keep 3.1 MiB each (recompute selective)"; empty if the module
// does not say.
std::string KeptText(const Module& module, const TrainSizes& sizes);

// R102 unless the plan fits |limit| bytes; 0 stands for what the system has
// available.
absl::Status CheckFits(const MemoryPlan& plan, int64_t limit);

// "weights 12.9 GiB, kv 2.1 GiB, workspace 0.7 GiB, total 15.7 GiB".
std::string PlanText(const MemoryPlan& plan);

}  // namespace moe

#endif  // MOE_RUNTIME_MEMORY_PLAN_H_
