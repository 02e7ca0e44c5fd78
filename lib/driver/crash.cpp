// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/crash.h"

#include "lib/core/errors.h"
#include "lib/core/hash.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <unistd.h>
#include <utility>

using llvm::StringRef;

namespace {
struct Reproducer {
  std::string text, name, fallback, command, more;
};
} // namespace

// All that the handler reads exists before the crash.
static char toolName[64];
static Reproducer *reproducer;
static thread_local char step[160] = "its start";

static constexpr int crashSignals[] = {SIGSEGV, SIGBUS,  SIGILL, SIGFPE,
                                       SIGABRT, SIGTRAP, SIGSYS};
static constexpr size_t stackBytes = 128 * 1024;

static void put(int file, StringRef text) {
  while (!text.empty()) {
    ssize_t written = write(file, text.data(), text.size());
    if (written <= 0)
      return;
    text = text.drop_front(size_t(written));
  }
}

/// Writes the reproducer; null if there is none or it cannot be written.
static const std::string *writeReproducer() {
  if (!reproducer)
    return nullptr;
  for (const std::string *path : {&reproducer->name, &reproducer->fallback}) {
    int file =
        open(path->c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
    if (file < 0)
      continue;
    put(file, reproducer->text);
    close(file);
    return path;
  }
  return nullptr;
}

[[noreturn]] static void report(StringRef reason) {
  put(STDERR_FILENO, toolName);
  put(STDERR_FILENO, ": error[MOE-I001]: bug in ");
  put(STDERR_FILENO, step);
  if (!reason.empty()) {
    put(STDERR_FILENO, " (");
    put(STDERR_FILENO, reason.take_front(120));
    put(STDERR_FILENO, ")");
  }
  put(STDERR_FILENO, ".");
  if (const std::string *path = writeReproducer()) {
    put(STDERR_FILENO, " Reproducer: ");
    put(STDERR_FILENO, *path);
    put(STDERR_FILENO, ". Run: ");
    put(STDERR_FILENO, reproducer->command);
    put(STDERR_FILENO, " ");
    put(STDERR_FILENO, *path);
    put(STDERR_FILENO, reproducer->more);
  }
  put(STDERR_FILENO, "\n");
  _exit(::moe::kExitBug);
}

static void handleSignal(int signal) {
  // A second crash, in here or in another thread, must not start over.
  for (int other : crashSignals)
    std::signal(other, SIG_DFL);
  report(signal == SIGSEGV || signal == SIGABRT ? "" : strsignal(signal));
}

/// LLVM's streams give up when they cannot write, which is no bug.
[[noreturn]] static void reportUnwritten(StringRef why) {
  bool full = why.contains("No space") || why.contains("too large");
  put(STDERR_FILENO, toolName);
  put(STDERR_FILENO, full ? ": error[MOE-F201]" : ": error[MOE-R107]");
  put(STDERR_FILENO, ": standard output: could not write: ");
  put(STDERR_FILENO, why);
  put(STDERR_FILENO, ".\n");
  _exit(full ? ::moe::kExitResources : ::moe::kExitFailed);
}

static void handleFatalError(void *, const char *reason, bool) {
  StringRef why = reason;
  if (why.consume_front("IO failure on output stream: "))
    reportUnwritten(why);
  static char line[120];
  size_t length = 0;
  for (; reason[length] && length < sizeof line; ++length)
    line[length] = reason[length] == '\n' ? ' ' : reason[length];
  report(StringRef(line, length).trim());
}

[[noreturn]] static void handleOutOfMemory() {
  put(STDERR_FILENO, toolName);
  put(STDERR_FILENO, ": error[MOE-R101]: not enough memory for ");
  put(STDERR_FILENO, step);
  put(STDERR_FILENO, "\n");
  _exit(::moe::kExitResources);
}

void mlir::moe::installCrashHandlers(StringRef tool) {
  size_t length = std::min(tool.size(), sizeof toolName - 1);
  memcpy(toolName, tool.data(), length);
  static CrashStack mainStack;
  struct sigaction action{};
  action.sa_handler = handleSignal;
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (int signal : crashSignals)
    sigaction(signal, &action, nullptr);
  for (int signal : {SIGPIPE, SIGXFSZ})
    std::signal(signal, SIG_IGN);
  llvm::install_fatal_error_handler(handleFatalError);
  llvm::install_bad_alloc_error_handler(
      [](void *, const char *, bool) { handleOutOfMemory(); });
  std::set_new_handler(handleOutOfMemory);
}

void mlir::moe::setReproducer(StringRef text, StringRef command,
                              StringRef more) {
  std::string hex = ::moe::HashText(text.str()).Hex();
  std::string name = "repro-" + hex.substr(0, 8) + ".mlir";
  llvm::SmallString<128> temporary;
  llvm::sys::path::system_temp_directory(/*ErasedOnReboot=*/true, temporary);
  llvm::sys::path::append(temporary, name);
  auto *next = new Reproducer{text.str(), name, std::string(temporary),
                              command.str(), more.str()};
  delete std::exchange(reproducer, next);
}

void mlir::moe::setCrashStep(StringRef name) {
  size_t length = std::min(name.size(), sizeof step - 1);
  memcpy(step, name.data(), length);
  step[length] = 0;
}

std::string mlir::moe::reproducerTrailer(StringRef pipeline) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << "\n{-#\n  external_resources: {\n    mlir_reproducer: {\n"
         << "      pipeline: \"";
  llvm::printEscapedString(pipeline, stream);
  stream << "\",\n      disable_threading: true,\n      verify_each: true\n"
         << "    }\n  }\n#-}\n";
  return text;
}

mlir::moe::CrashStack::CrashStack() : memory(new char[stackBytes]) {
  stack_t stack{};
  stack.ss_sp = memory.get();
  stack.ss_size = stackBytes;
  sigaltstack(&stack, nullptr);
}

mlir::moe::CrashStack::~CrashStack() {
  stack_t stack{};
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, nullptr);
}
