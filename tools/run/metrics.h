// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a training run says: RUN/metrics.jsonl, and lines for people.

#ifndef MOE_TOOLS_RUN_METRICS_H_
#define MOE_TOOLS_RUN_METRICS_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/json.h"
#include "runtime/train/trainer.h"

namespace moe::run {

// Movable.
class Metrics {
 public:
  // Appends to the file of the folder |run|, which is made if it is not there. Lines of
  // steps behind |step| go: they are computed again. F2xx.
  static absl::StatusOr<Metrics> Open(const std::string& run,
                                      const Json& identity, int64_t step);

  absl::Status Step(const StepReport& report, double seconds);
  absl::Status Eval(int64_t step, double loss);
  // Everything said is on disk.
  absl::Status Sync();

 private:
  struct Close {
    void operator()(FILE* file) const { fclose(file); }
  };
  absl::Status Write(const Json& line);

  std::string path_;
  std::unique_ptr<FILE, Close> file_;
};

// On a terminal a line that is written over; else one every 30 seconds.
class ProgressLine {
 public:
  explicit ProgressLine(int64_t steps);
  ~ProgressLine();
  void Tell(const StepReport& report, double seconds);

 private:
  int64_t steps_;
  bool terminal_;
  bool open_ = false;
  double last_ = -1;
  double rate_ = 0;  // seconds of a step, smoothed
};

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_METRICS_H_
