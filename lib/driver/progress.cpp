// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/progress.h"

#include "lib/driver/crash.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::moe;
using Clock = std::chrono::steady_clock;

Progress::Progress(LogLine log, bool verbose)
    : log(std::move(log)), verbose(verbose), watcher([this] { watch(); }) {}

Progress::~Progress() {
  {
    std::lock_guard lock(mutex);
    done = true;
  }
  changed.notify_all();
  watcher.join();
}

void Progress::line(const std::string &text) {
  std::lock_guard lock(mutex);
  if (log)
    log(text);
}

void Progress::watch() {
  std::unique_lock lock(mutex);
  while (!done) {
    changed.wait_for(lock, std::chrono::milliseconds(250));
    for (Running &step : running)
      if (Clock::now() >= step.next) {
        step.next = Clock::now() + std::chrono::seconds(30);
        if (log)
          log(step.name + " ...");
      }
  }
}

Progress::Step::Step(Progress &progress, std::string name)
    : progress(progress), name(std::move(name)), start(Clock::now()) {
  setCrashStep(this->name);
  std::lock_guard lock(progress.mutex);
  progress.running.push_back(
      {this, this->name, start + std::chrono::seconds(1)});
}

Progress::Step::~Step() {
  std::lock_guard lock(progress.mutex);
  llvm::erase_if(progress.running,
                 [&](const Running &other) { return other.step == this; });
  std::chrono::duration<double> seconds = Clock::now() - start;
  if (progress.verbose && progress.log)
    progress.log(llvm::formatv("{0}: {1:f3} s", name, seconds.count()).str());
}
