// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/diagnostics.h"

#include "lib/driver/crash.h"

#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassInstrumentation.h"

using namespace mlir;
using namespace mlir::moe;
using ::moe::Code;
using ::moe::Error;

std::string mlir::moe::shownPlace(Location location) {
  auto file = location->findInstanceOf<FileLineColRange>();
  if (!file)
    return {};
  std::string place = ::moe::ShownPath(file.getFilename().str());
  // The module as a whole is on line 0.
  if (file.getStartLine() > 0)
    place += ":" + std::to_string(file.getStartLine());
  return place;
}

DiagnosticCollector::DiagnosticCollector(
    MLIRContext &context, std::function<void(const std::string &)> warn)
    : handler(&context, [this, warn](Diagnostic &diagnostic) {
        std::string text = diagnostic.str(),
                    at = shownPlace(diagnostic.getLocation());
        if (diagnostic.getSeverity() == DiagnosticSeverity::Error) {
          if (message.empty())
            message = text, place = at;
        } else if (diagnostic.getSeverity() == DiagnosticSeverity::Warning &&
                   warn) {
          warn((at.empty() ? "" : at + ": ") + text);
        }
        return success();
      }) {}

absl::Status DiagnosticCollector::error(Code code, StringRef where) const {
  if (message.empty())
    return Error(Code::I002, where.str(), ": failed without saying why");
  StringRef line = StringRef(message).split('\n').first;
  return Error(code, place.empty() ? ::moe::ShownPath(where.str()) : place,
               ": ", line.str());
}

static std::string nameOf(Pass *pass) {
  StringRef argument = pass->getArgument();
  return (argument.empty() ? pass->getName() : argument).str();
}

namespace {
struct Tracking : PassInstrumentation {
  explicit Tracking(std::string &failed) : failed(failed) {}
  void runBeforePass(Pass *pass, Operation *) override {
    setCrashStep("pass '" + nameOf(pass) + "'");
  }
  void runAfterPassFailed(Pass *pass, Operation *) override {
    // Adaptors that run nested passes fail after the pass that did.
    if (failed.empty())
      failed = nameOf(pass);
  }
  std::string &failed;
};
} // namespace

PassTracker::PassTracker(PassManager &passes) {
  passes.addInstrumentation(std::make_unique<Tracking>(failedPass));
}

Code mlir::moe::codeOfPass(StringRef pass) {
  if (pass == "verify-model" || pass == "verify-step")
    return Code::K103;
  if (pass.starts_with("verify-"))
    return Code::I003;
  if (pass == "moe-set-compute" || pass == "moe-derive-entries" ||
      pass == "moe-expand-sugar" || pass == "moe-inline-routers" ||
      pass == "moe-settle-random" || pass == "moe-balance-routers")
    return Code::K102;
  return Code::K109;
}
