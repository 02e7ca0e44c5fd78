// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tools/run/run_log.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "lib/core/errors.h"
#include "lib/core/json.h"
#include "lib/core/mapped_file.h"
#include "lib/core/status_macros.h"

namespace moe::run {
namespace {

constexpr uint64_t kMostBytes = uint64_t{4} << 30;

// Calls use(line) for each object of a file of JSON lines.
template <typename Use>
absl::Status EachLine(const std::string& path, Use&& use) {
  ASSIGN_OR_RETURN(const OpenedFile file,
                   OpenedFile::Open(path, {.allow_empty = true}));
  ASSIGN_OR_RETURN(const std::string text, file.ReadText(kMostBytes));
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) break;  // cut short by a crash
    ++number;
    ASSIGN_OR_RETURN(const Json line,
                     ParseJson(std::string_view(text).substr(at, end - at),
                               Joined(ShownPath(path), ": line ", number)));
    if (line.is_object()) use(line);
    at = end + 1;
  }
  return absl::OkStatus();
}

std::optional<int64_t> Int(const Json& line, const char* key) {
  const auto found = line.find(key);
  if (found == line.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<int64_t>();
}

double Number(const Json& line, const std::string& key) {
  const auto found = line.find(key);
  if (found == line.end() || !found->is_number())
    return std::numeric_limits<double>::quiet_NaN();
  return found->get<double>();
}

std::vector<double> Numbers(const Json& line,
                            const std::vector<std::string>& keys) {
  std::vector<double> values;
  for (const std::string& key : keys) values.push_back(Number(line, key));
  return values;
}

size_t Place(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) -
                             names.begin());
}

}  // namespace

const std::vector<std::string>& RunLog::StepNames() {
  static const std::vector<std::string> names = {
      "loss", "aux_loss", "grad_norm", "lr", "tokens_per_s", "seconds"};
  return names;
}

const std::vector<std::string>& RunLog::LayerNames() {
  static const std::vector<std::string> names = {"min",  "max",     "cv",
                                                 "dead", "entropy", "dropped"};
  return names;
}

size_t StepColumn(const std::string& name) {
  return Place(RunLog::StepNames(), name);
}

size_t LayerColumn(const std::string& name) {
  return Place(RunLog::LayerNames(), name);
}

absl::StatusOr<RunLog> ReadRunLog(const std::string& run) {
  RunLog log;
  const std::filesystem::path folder = run;
  RETURN_IF_ERROR(
      EachLine((folder / "metrics.jsonl").string(), [&](const Json& line) {
        const auto step = Int(line, "step");
        if (!step) return;
        log.skipped += line.contains("skipped");
        if (line.contains("eval_loss"))
          log.evals.push_back({*step, {Number(line, "eval_loss")}});
        else
          log.steps.push_back({*step, Numbers(line, RunLog::StepNames())});
      }));
  const std::filesystem::path experts = folder / "experts.jsonl";
  std::error_code error;
  if (!std::filesystem::exists(experts, error)) return log;
  RETURN_IF_ERROR(EachLine(experts.string(), [&](const Json& line) {
    const auto step = Int(line, "step"), layer = Int(line, "layer");
    if (step && layer)
      log.layers.push_back(
          {*step, *layer, Numbers(line, RunLog::LayerNames())});
  }));
  return log;
}

}  // namespace moe::run
