// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the program itself knows about its operations, as JSON for coverage.py:
//   op-registries MODEL.mlir…
//   {"f32": [names with an f32 handler of the interpreter], "f64": […],
//    "kernels": [names with a CPU kernel],
//    "removed": {"moe.layer": "moe-expand-sugar", …}}
// `removed` is observed: each model goes through all passes down to the LLVM
// dialect, and an operation that is there before a pass and gone behind it was
// removed by that pass. Cleaning up counts only if nothing else removed it.
#include <map>
#include <set>

#include "lib/driver/pipelines.h"
#include "lib/driver/register.h"
#include "lib/interpreter/machine.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "mlir/Pass/PassManager.h"
#include "passes/fuse/Passes.h"
#include "passes/lower/cpu/Emitter.h"

using namespace mlir;

namespace {
using Names = std::set<std::string>;

Names namesIn(Operation* root) {
  Names names;
  root->walk(
      [&](Operation* op) { names.insert(op->getName().getStringRef().str()); });
  return names;
}

/// Notes which pass removed the last operation of a name.
class Removals : public PassInstrumentation {
 public:
  explicit Removals(std::map<std::string, std::string>& removed)
      : removed(removed) {}

  void runBeforePass(Pass* pass, Operation* op) override {
    if (isa<ModuleOp>(op)) before = namesIn(op);
  }
  void runAfterPass(Pass* pass, Operation* op) override {
    if (!isa<ModuleOp>(op)) return;
    std::string by = pass->getArgument().str();
    bool cleans = by == "canonicalize" || by == "cse";
    Names after = namesIn(op);
    for (const std::string& name : before)
      if (!after.count(name) && !(cleans && removed.count(name)))
        removed[name] = by;
  }

 private:
  std::map<std::string, std::string>& removed;
  Names before;
};
}  // namespace

static LogicalResult lower(MLIRContext& context, StringRef path,
                           std::map<std::string, std::string>& removed) {
  auto module = parseSourceFile<ModuleOp>(path, &context);
  if (!module) return failure();
  PassManager passes(&context);
  passes.addInstrumentation(std::make_unique<Removals>(removed));
  mlir::moe::PipelineOptions options;
  options.functions = module->getOps<nn::ModelOp>().empty();
  mlir::moe::addToFused(passes, options);
  passes.addPass(mlir::moe::fuse::createFuseRouting());
  passes.addPass(mlir::moe::fuse::createUnfuseRouting());
  mlir::moe::addLayouts(passes);
  mlir::moe::addFusedToCpu(passes, options.isa);
  return passes.run(*module);
}

template <typename Range>
static llvm::json::Array sorted(Range&& names) {
  Names all;
  for (StringRef name : names) all.insert(name.str());
  llvm::json::Array array;
  for (const std::string& name : all) array.push_back(name);
  return array;
}

int main(int argc, char** argv) {
  DialectRegistry registry;
  mlir::moe::registerEverything(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  std::map<std::string, std::string> removed;
  for (int i = 1; i < argc; ++i)
    if (failed(lower(context, argv[i], removed))) {
      llvm::errs() << "op-registries: " << argv[i] << " does not compile\n";
      return 1;
    }
  llvm::json::Object by;
  for (const auto& [name, pass] : removed) by[name] = pass;
  llvm::json::Object result{
      {"f32", sorted(mlir::moe::handlers<float>().names())},
      {"f64", sorted(mlir::moe::handlers<double>().names())},
      {"kernels", sorted(mlir::moe::cpu::kernels().keys())},
      {"removed", std::move(by)}};
  llvm::outs() << llvm::json::Value(std::move(result)) << "\n";
  return 0;
}
