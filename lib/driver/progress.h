// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tells the user what takes time.
#ifndef MOE_LIB_DRIVER_PROGRESS_H
#define MOE_LIB_DRIVER_PROGRESS_H

#include "lib/driver/input.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace mlir::moe {

/// Names each step that runs for more than a second, and again every 30 s;
/// with |verbose| also the time of each step that ended. Lines of several
/// threads do not mix.
class Progress {
public:
  explicit Progress(LogLine log, bool verbose);
  ~Progress();
  Progress(const Progress &) = delete;

  /// A step from construction to destruction, also named to crash.h.
  class Step {
  public:
    Step(Progress &progress, std::string name);
    ~Step();
    Step(const Step &) = delete;

  private:
    Progress &progress;
    std::string name;
    std::chrono::steady_clock::time_point start;
  };

  /// Thread-safe.
  void line(const std::string &text);

private:
  struct Running {
    const Step *step;
    std::string name;
    std::chrono::steady_clock::time_point next;
  };
  void watch();

  LogLine log;
  bool verbose;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Running> running;
  bool done = false;
  std::thread watcher;
};

} // namespace mlir::moe

#endif
