// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Modules that moe-compile makes at test time from model folders of the tree.
//
//   const std::string folder = compiled::Folder("mixtral-1");
//   auto engine = compiled::Load(folder, "f32", {.threads = 2});

#ifndef MOE_TEST_E2E_COMPILED_H_
#define MOE_TEST_E2E_COMPILED_H_

#include <memory>
#include <string>
#include <vector>

#include "lib/core/json.h"
#include "runtime/engine.h"

namespace moe::compiled {

// "mixtral-1" is a fixture, "tiny-mixtral" a trained model.
std::string Folder(const std::string& name);

// A folder with the weights of |name| and a config.json in which the keys of
// |patch| have other values. Goes away with the program.
std::string ChangedFolder(const std::string& name, const Json& patch);

// The folder's module with its weights, compiled once in the program for each
// folder and |compute| ("f32" or "bf16"). Ends the program if that fails.
std::unique_ptr<Engine> Load(const std::string& folder,
                             const std::string& compute,
                             const EngineOptions& options = {.threads = 1});

// The same compiled to train, without weights.
std::unique_ptr<Engine> OpenToTrain(const std::string& folder,
                                    const EngineOptions& options = {
                                        .threads = 1});
// Path of a module compiled to train.
std::string TrainModule(const std::string& folder);

// An empty folder that goes away with the program.
std::string NewFolder();

// Levels that modules are compiled for and this machine runs.
std::vector<IsaLevel> Levels();

}  // namespace moe::compiled

#endif  // MOE_TEST_E2E_COMPILED_H_
