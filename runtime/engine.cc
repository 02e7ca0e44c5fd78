// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/engine.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/status_macros.h"

namespace moe {

int AvailableProcessors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(CPU_COUNT(&set), 1);
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Open(
    const std::string& path, const EngineOptions& options) {
  ASSIGN_OR_RETURN(Module module, Module::Open(path, {.isa = options.isa}));
  const int threads =
      options.threads > 0 ? options.threads : AvailableProcessors();
  const int64_t ranks = options.channel ? options.channel->ranks() : 1;
  if (ranks != module.manifest().Ranks())
    return Error(Code::D203, ShownPath(path), ": runs on ",
                 module.manifest().Ranks(), " ranks together, and there ",
                 ranks == 1 ? "is " : "are ", ranks,
                 ". moe-run call --channel sim:N runs N in one process.");
  return std::unique_ptr<Engine>(
      new Engine(std::move(module), threads, options.channel));
}

absl::Status Engine::LoadWeights(const std::string& dir) {
  ASSIGN_OR_RETURN(weights_, Weights::Load(module_, dir, &pool_, rank()));
  return absl::OkStatus();
}

absl::Status Engine::MakeRandomWeights(uint64_t seed) {
  ASSIGN_OR_RETURN(weights_, Weights::Random(module_, seed, &pool_, rank()));
  return absl::OkStatus();
}

absl::Status Engine::MakeInitialWeights(uint64_t seed) {
  ASSIGN_OR_RETURN(weights_, Weights::Initial(module_, seed, &pool_, rank()));
  return absl::OkStatus();
}

}  // namespace moe
