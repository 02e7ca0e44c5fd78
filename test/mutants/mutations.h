// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Faults that passes could have, as changes of what those passes made. Each
// leaves a program that verifies and computes something else.

#ifndef MOE_TEST_MUTANTS_MUTATIONS_H_
#define MOE_TEST_MUTANTS_MUTATIONS_H_

#include <string>
#include <vector>

#include "mlir/IR/BuiltinOps.h"

namespace mlir::moe {

// Where the pass has run.
enum class Stage { kCompute, kStep, kFused, kRouted };

// What is run: all logits in one call, or those of prefill and decode.
enum class Run { kScore, kGenerate };

struct Mutation {
  std::string name;
  std::string pass;            // flag of the pass that would have the fault
  bool latent;                 // which of the two models
  std::string before = "f32";  // element of the model as given
  std::string compute = "f32";
  Stage stage;
  Run run;
  void (*apply)(ModuleOp);
};

// Names are unique.
const std::vector<Mutation>& Mutations();

}  // namespace mlir::moe

#endif  // MOE_TEST_MUTANTS_MUTATIONS_H_
