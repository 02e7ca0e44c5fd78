// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A module, its weights and the threads that run it.
//
//   ASSIGN_OR_RETURN(auto engine, Engine::Open("out.moe", {.threads = 2}));
//   RETURN_IF_ERROR(engine->LoadWeights("DIR"));

#ifndef MOE_RUNTIME_ENGINE_H_
#define MOE_RUNTIME_ENGINE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/channel/channel.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/thread_pool.h"
#include "runtime/module.h"
#include "runtime/weights.h"

namespace moe {

// Processors that this process may run on.
int AvailableProcessors();

struct EngineOptions {
  int threads = 0;  // 0: one for each processor that the process may run on
  std::optional<IsaLevel> isa = {};
  // This rank's way to the others, for a module of several; borrowed.
  Channel* channel = nullptr;
};

// Not movable: what runs on it keeps pointers. Weights are loaded at most once,
// before anything runs; afterwards sessions of several threads may share it
// (their parallel loops take turns).
class Engine {
 public:
  // The codes of Module::Open; D203 if the channel has not as many ranks as
  // the module.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(
      const std::string& path, const EngineOptions& options = {});

  absl::Status LoadWeights(const std::string& dir);
  absl::Status MakeRandomWeights(uint64_t seed);
  // Weights to train from: see Weights::Initial.
  absl::Status MakeInitialWeights(uint64_t seed);

  const Module& module() const { return module_; }
  const Manifest& manifest() const { return module_.manifest(); }
  // Null before weights were loaded.
  const Weights* weights() const { return weights_ ? &*weights_ : nullptr; }
  // All layers of a parameter of a module that trains, one behind another;
  // null before weights were loaded.
  std::byte* MutableWeights(const ParamSpec& param) {
    return weights_ ? weights_->Own(param) : nullptr;
  }
  ThreadPool& pool() const { return pool_; }
  // Null where there is one rank.
  Channel* channel() const { return channel_; }

 private:
  Engine(Module module, int threads, Channel* channel)
      : module_(std::move(module)), pool_(threads), channel_(channel) {}
  int rank() const { return channel_ == nullptr ? 0 : channel_->rank(); }

  Module module_;
  mutable ThreadPool pool_;
  Channel* channel_;
  std::optional<Weights> weights_;
};

}  // namespace moe

#endif  // MOE_RUNTIME_ENGINE_H_
