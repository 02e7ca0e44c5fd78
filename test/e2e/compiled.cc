// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "test/e2e/compiled.h"

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>
#include <utility>

#include "lib/core/checkpoint.h"
#include "lib/core/errors.h"

namespace moe::compiled {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Fail(std::string_view text) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  std::exit(1);
}

class Work {
 public:
  Work() {
    std::string path = (fs::temp_directory_path() / "moe-e2e-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) Fail("no temporary folder");
    path_ = path;
  }
  ~Work() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string Next(std::string_view name) {
    return Joined((path_ / std::to_string(++count_)).string(), "-", name);
  }

 private:
  fs::path path_;
  int count_ = 0;
};

Work& TheWork() {
  static Work work;
  return work;
}

}  // namespace

std::string Folder(const std::string& name) {
  const bool trained = name.starts_with("tiny-");
  return (trained ? "models/tiny/" : "test/oracle/fixtures/") + name;
}

std::string ChangedFolder(const std::string& name, const Json& patch) {
  const std::string to = TheWork().Next(name);
  fs::create_directory(to);
  for (const auto& entry : fs::directory_iterator(Folder(name))) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with("model")) fs::copy_file(entry.path(), to + "/" + file);
  }
  absl::StatusOr<Json> config = ReadConfig(Folder(name));
  if (!config.ok()) Fail(config.status().ToString());
  for (const auto& [key, value] : patch.items()) (*config)[key] = value;
  std::ofstream(to + "/config.json") << config->dump();
  return to;
}

namespace {

// Compiled once in the program for each folder and flags.
const std::string& Compile(const std::string& folder,
                           const std::string& flags) {
  static std::map<std::pair<std::string, std::string>, std::string> modules;
  std::string& module = modules[{folder, flags}];
  if (module.empty()) {
    module = TheWork().Next("m.moe");
    const std::string command =
        Joined(MOE_COMPILE, " '", folder, "' ", flags, " -o ", module, " >&2");
    if (std::system(command.c_str()) != 0) Fail(command);
  }
  return module;
}

std::unique_ptr<Engine> Open(const std::string& module,
                             const EngineOptions& options) {
  auto engine = Engine::Open(module, options);
  if (!engine.ok()) Fail(engine.status().ToString());
  return *std::move(engine);
}

}  // namespace

std::unique_ptr<Engine> Load(const std::string& folder,
                             const std::string& compute,
                             const EngineOptions& options) {
  auto engine = Open(Compile(folder, "--compute " + compute), options);
  const absl::Status loaded = engine->LoadWeights(folder);
  if (!loaded.ok()) Fail(loaded.ToString());
  return engine;
}

std::string TrainModule(const std::string& folder) {
  return Compile(folder, "--entries train --compute f32 --target cpu:native");
}

std::unique_ptr<Engine> OpenToTrain(const std::string& folder,
                                    const EngineOptions& options) {
  return Open(TrainModule(folder), options);
}

std::string NewFolder() {
  const std::string folder = TheWork().Next("run");
  fs::create_directory(folder);
  return folder;
}

std::vector<IsaLevel> Levels() {
  std::vector<IsaLevel> levels;
  for (IsaLevel level : {IsaLevel::kV3, IsaLevel::kV4})
    if (MachineRuns(level)) levels.push_back(level);
  return levels;
}

}  // namespace moe::compiled
