// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a training run says: RUN/metrics.jsonl and RUN/experts.jsonl, and lines
// for people.

#ifndef MOE_TOOLS_RUN_METRICS_H_
#define MOE_TOOLS_RUN_METRICS_H_

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/core/json.h"
#include "runtime/train/router_health.h"
#include "runtime/train/train_loop.h"

namespace moe::run {

// A file of JSON values, one a line, of which the first says what follows.
// Movable.
class JsonLines {
 public:
  // Appends to |path|. Lines of steps behind |step| go: they are computed
  // again. F2xx.
  static absl::StatusOr<JsonLines> Open(const std::string& path,
                                        const Json& first, int64_t step);

  // Each is seen by readers when this returns.
  absl::Status Write(std::span<const Json> lines);
  // Everything written is on disk.
  absl::Status Sync();

 private:
  struct Close {
    void operator()(FILE* file) const { fclose(file); }
  };

  std::string path_;
  std::unique_ptr<FILE, Close> file_;
};

// The worst of all layers.
struct RouterSummary {
  double max = 0, cv = 0;
  int64_t dead = 0;  // in all layers together
};

// Movable.
class Metrics {
 public:
  // In the folder |run|, which is made if it is not there. |counts| makes
  // experts.jsonl.
  static absl::StatusOr<Metrics> Open(const std::string& run,
                                      const Json& identity, int64_t step,
                                      bool counts);

  absl::Status Step(const StepReport& report, double seconds);
  // One line for each layer; |top_k| experts take each token, 0 if that is not
  // fixed.
  absl::StatusOr<RouterSummary> Experts(const StepReport& report,
                                        std::span<const LayerLoad> loads,
                                        int64_t top_k);
  absl::Status Eval(int64_t step, double loss);
  // Everything said is on disk.
  absl::Status Sync();

 private:
  explicit Metrics(JsonLines metrics) : metrics_(std::move(metrics)) {}

  JsonLines metrics_;
  std::optional<JsonLines> experts_;
  std::vector<Json> lines_;
};

// On a terminal a line that is written over; else one every 30 seconds.
class ProgressLine {
 public:
  explicit ProgressLine(int64_t steps);
  ~ProgressLine();
  void Tell(const StepReport& report, double seconds,
            const std::optional<RouterSummary>& routers);

 private:
  int64_t steps_;
  bool terminal_;
  bool open_ = false;
  double last_ = -1;
  double rate_ = 0;  // seconds of a step, smoothed
};

}  // namespace moe::run

#endif  // MOE_TOOLS_RUN_METRICS_H_
