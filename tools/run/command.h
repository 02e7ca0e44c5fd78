// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the commands of moe-run share: common flags, opening a module with its
// weights, and writing the answer.

#ifndef MOE_TOOLS_RUN_COMMAND_H_
#define MOE_TOOLS_RUN_COMMAND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/json.h"
#include "runtime/engine.h"
#include "runtime/memory_plan.h"

namespace CLI {
class App;
}

namespace moe::run {

// Flags that more than one command takes.
struct CommonFlags {
  std::string module;
  std::string weights;
  std::optional<uint64_t> random_weights;
  int threads = 0;
  std::string device = "cpu";
  std::string isa;
  std::string max_memory;
  std::string output = "text";
};

// Adds MODULE, --threads, --device, --isa and --max-memory.
void AddModuleFlags(CLI::App& app, CommonFlags& flags);
// Adds --weights and --random-weights.
void AddWeightFlags(CLI::App& app, CommonFlags& flags);
// Adds -o with these values; the first is the default.
void AddOutputFlag(CLI::App& app, CommonFlags& flags,
                   std::vector<std::string> values);

// One command: Add…() declares its flags and returns what to run once they are
// parsed. The returned function owns the values.
using Action = std::function<absl::Status()>;
Action AddScore(CLI::App& app);
Action AddGenerate(CLI::App& app);
Action AddTrain(CLI::App& app);
Action AddExport(CLI::App& app);
Action AddRewrite(CLI::App& app);
Action AddReport(CLI::App& app);
Action AddGrad(CLI::App& app);
Action AddCall(CLI::App& app);
Action AddBench(CLI::App& app);
Action AddPlan(CLI::App& app);
Action AddTraceRouting(CLI::App& app);
Action AddInspect(CLI::App& app);
Action AddExplain(CLI::App& app);

// Opens the module, for one rank of those that |channel| joins. D102 for a device other than the processor, U103 for an
// unknown ISA level.
absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(const CommonFlags& flags,
                                                   Channel* channel = nullptr);
// Loads or makes the weights, and unless |tell| is false says on stderr what was read and what was
// not used. U102 if neither flag was given, U104 if both were.
absl::Status LoadWeights(Engine& engine, const CommonFlags& flags,
                         bool tell = true);
// OK if neither flag was given and the module has no parameters.
absl::Status LoadWeightsIfAny(Engine& engine, const CommonFlags& flags,
                              bool tell = true);

// The model part of the manifest; U108 if the module is of loose functions.
absl::StatusOr<const ModelSpec*> GetModel(const Engine& engine);

// --max-memory in bytes, 0 if not given; U103 if it is no size.
absl::StatusOr<int64_t> MaxMemory(const CommonFlags& flags);
// A size such as 8GiB in bytes; U103 with the name of the flag.
absl::StatusOr<int64_t> ReadSize(const std::string& text,
                                 std::string_view flag);

// Finds out before the work whether a file can be written, and leaves it as it
// is; OK if |path| is empty. F203, F204.
absl::Status CheckOutput(const std::string& path);

// Writes to stdout at once. R107 if nobody reads it any more, F201 if it is a
// file on a full disk.
absl::Status Print(std::string_view text);
// One JSON value on a line of its own.
absl::Status PrintJson(const Json& value);
// A line for people, on stderr: "moe-run: text".
void Note(std::string_view text);

// Seconds since some fixed point.
double Now();

// |value| with |digits| digits after the point.
std::string Fixed(double value, int digits);

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_COMMAND_H_
