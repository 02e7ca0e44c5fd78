// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a tool does when code below it crashes: one line on stderr, a file that
// reproduces the crash, exit code 70.
//
//   installCrashHandlers("moe-opt");
//   setReproducer(text, "moe-opt --run-reproducer");
//   setCrashStep("pass 'moe-distribute-experts'");
//
// A crash then prints
//   moe-opt: error[MOE-I001]: bug in pass 'moe-distribute-experts'.
//   Reproducer: repro-4f2a.mlir. Run: moe-opt --run-reproducer repro-4f2a.mlir
// as one line. The state is that of the process, because signal handlers can
// reach nothing else.
#ifndef MOE_LIB_DRIVER_CRASH_H
#define MOE_LIB_DRIVER_CRASH_H

#include "llvm/ADT/StringRef.h"

#include <memory>
#include <string>

namespace mlir::moe {

/// Catches the signals of crashes (also where the stack of this thread has run
/// out), LLVM's fatal errors, and memory that cannot be had (R101, exit 4). A
/// pipe that nobody reads and a file that may not grow become errors of writing
/// instead of signals. Once per process, from the main thread; |tool| is
/// copied.
void installCrashHandlers(llvm::StringRef tool);

/// From now on a crash writes |text| (copied) to repro-….mlir in the current
/// folder, else in the system's temporary folder. |command| and |more| are what
/// stands in front of and behind the file's name in the line to run. Not while
/// other threads may crash.
void setReproducer(llvm::StringRef text, llvm::StringRef command,
                   llvm::StringRef more = "");

/// Names what this thread does now, in the words "bug in …".
void setCrashStep(llvm::StringRef step);

/// The trailer that makes MLIR text run |pipeline| under --run-reproducer.
std::string reproducerTrailer(llvm::StringRef pipeline);

/// Room for the handler while this thread has no stack left. Threads other than
/// the main one make their own.
class CrashStack {
public:
  CrashStack();
  ~CrashStack();
  CrashStack(const CrashStack &) = delete;

private:
  std::unique_ptr<char[]> memory;
};

} // namespace mlir::moe

#endif
