// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What metrics.jsonl and experts.jsonl of a training run hold, read back.

#ifndef MOE_TOOLS_RUN_RUN_LOG_H_
#define MOE_TOOLS_RUN_RUN_LOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace moe::run {

// Numbers of a step, in the order of the names; NaN where the line has none.
struct LogLine {
  int64_t step = 0;
  std::vector<double> values;
};

struct LayerLine {
  int64_t step = 0, layer = 0;
  std::vector<double> values;
};

struct RunLog {
  static const std::vector<std::string>& StepNames();
  static const std::vector<std::string>& LayerNames();

  std::vector<LogLine> steps;
  std::vector<LogLine> evals;     // one value each, the loss
  std::vector<LayerLine> layers;  // by step, then layer
  int64_t skipped = 0;            // steps without an update
};

// Place of a name among those of RunLog; the name must be there.
size_t StepColumn(const std::string& name);
size_t LayerColumn(const std::string& name);

// F1xx if the folder has no metrics.jsonl; J1xx for a line that is no JSON, the
// last apart, which a crash may have cut.
absl::StatusOr<RunLog> ReadRunLog(const std::string& run);

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_RUN_LOG_H_
