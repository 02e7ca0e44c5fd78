// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "lib/driver/compile.h"

#include "lib/backend/link.h"
#include "lib/backend/manifest.h"
#include "lib/core/errors.h"
#include "lib/core/hash.h"
#include "lib/core/module_file.h"
#include "lib/core/status_macros.h"
#include "lib/driver/crash.h"
#include "lib/driver/diagnostics.h"
#include "lib/driver/pipelines.h"
#include "lib/driver/progress.h"
#include "passes/partition/Mesh.h"

#include "llvm/ADT/StringSwitch.h"

#include <future>

using namespace mlir;
using namespace mlir::moe;
using ::moe::Code;
using ::moe::Error;
using ::moe::Quoted;

std::optional<Phase> mlir::moe::parsePhase(StringRef name) {
  return llvm::StringSwitch<std::optional<Phase>>(name)
      .Case("model", Phase::Model)
      .Case("step", Phase::Step)
      .Case("local", Phase::Local)
      .Case("fused", Phase::Fused)
      .Case("target", Phase::Target)
      .Default(std::nullopt);
}

namespace {
/// One run of the compiler: the program and where it is.
class Compilation {
public:
  Compilation(MLIRContext &context, const CompileOptions &options)
      : context(context), options(options),
        progress(options.log, options.verbose) {}

  absl::Status load();
  absl::Status run(Phase phase);
  absl::Status assignLayouts();
  /// A copy of the fused program in the LLVM dialect.
  absl::StatusOr<OwningOpRef<ModuleOp>> lower(CpuLevel level);
  absl::StatusOr<std::string> pack();

  SmallVector<CpuLevel> levels() {
    ArrayRef<CpuLevel> asked = options.levels;
    SmallVector<CpuLevel> sorted(asked.empty() ? allCpuLevels() : asked);
    llvm::sort(sorted);
    sorted.erase(llvm::unique(sorted), sorted.end());
    // Code in f32 is the same with tiles and without.
    if (sorted.size() > 1 && sorted.back() == CpuLevel::Amx &&
        !computesInBF16())
      sorted.pop_back();
    return sorted;
  }

  OwningOpRef<ModuleOp> module;

private:
  bool computesInBF16() {
    auto isBF16 = [](Type type) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      return tensor && tensor.getElementType().isBF16();
    };
    auto walk = (*module)->walk([&](Operation *op) {
      bool computed = !isa<nn::ParamGetOp>(op) &&
                      llvm::any_of(op->getResultTypes(), isBF16);
      return computed ? WalkResult::interrupt() : WalkResult::advance();
    });
    return walk.wasInterrupted();
  }

  using LinkedObject = std::future<absl::StatusOr<llvm::SmallVector<char>>>;

  absl::Status selectEntries();
  absl::Status selectFunctions();
  absl::Status refuseTraining();
  absl::Status runPasses(ModuleOp on, StringRef name,
                         llvm::function_ref<void(OpPassManager &)> add);
  void prepareReproducer();
  LogLine logger() {
    return [this](const std::string &text) { progress.line(text); };
  }

  MLIRContext &context;
  const CompileOptions &options;
  Progress progress;
  PipelineOptions pipeline;
  std::string sourceHash;
};
} // namespace

/// U104 for a text that is no mesh, K111 for one that is not supported.
static absl::Status checkMesh(const std::string &text) {
  auto mesh = partition::parseMesh(text);
  if (!mesh)
    return Error(Code::U104, "--mesh: expects ", partition::kMeshForm.str(),
                 "; got ", Quoted(text));
  if (!partition::isSupported(*mesh))
    return Error(Code::K111, "--mesh ", text, ": ",
                 partition::kMeshSupport.str());
  return absl::OkStatus();
}

absl::Status Compilation::load() {
  RETURN_IF_ERROR(checkMesh(options.mesh));
  Progress::Step step(progress, "reading the program");
  ASSIGN_OR_RETURN(module, loadProgram(context, options.input, logger()));
  if (!options.router.empty())
    RETURN_IF_ERROR(replaceRouters(*module, options.router, logger()));
  pipeline.compute = options.compute;
  pipeline.mesh = options.mesh;
  pipeline.recompute = options.recompute;
  pipeline.dropout = options.dropout;
  pipeline.balance = options.balance;
  RETURN_IF_ERROR(selectEntries());
  prepareReproducer();
  return absl::OkStatus();
}

/// What is asked for gradients, where there are none.
absl::Status Compilation::refuseTraining() {
  const std::pair<StringRef, bool> asked[] = {
      {"--balance", options.balance != 0},
      {"--dropout", options.dropout != 0},
      {"--recompute", !options.recompute.empty()}};
  for (auto [flag, given] : asked)
    if (given)
      return Error(Code::U104, flag.str(),
                   " is for training: add train to --entries");
  return absl::OkStatus();
}

/// Which entries the pipeline makes of the model.
absl::Status Compilation::selectEntries() {
  auto models = module->getOps<nn::ModelOp>();
  if (models.empty() || !llvm::is_contained(options.entries, "train"))
    RETURN_IF_ERROR(refuseTraining());
  if (models.empty()) {
    pipeline.functions = true;
    return selectFunctions();
  }
  auto *context = module->getContext();
  if (!(*module)->hasAttr("moe.name"))
    (*module)->setAttr(
        "moe.name", StringAttr::get(context, (*models.begin()).getSymName()));
  for (StringRef group : options.entries) {
    SmallVector<std::string> names;
    if (group == "score")
      names = {"score"};
    else if (group == "generate")
      names = {"prefill", "decode"};
    else if (group == "train")
      names = {"eval_step", "grad"};
    else
      return Error(Code::K108, "--entries: no group ", Quoted(group.str()),
                   "; there are score, generate and train");
    for (const std::string &name : names)
      if (!llvm::is_contained(pipeline.entries, name))
        pipeline.entries.push_back(name);
  }
  return absl::OkStatus();
}

/// Keeps the functions asked for, as entries.
absl::Status Compilation::selectFunctions() {
  if (!options.compute.empty())
    return Error(Code::U104, "--compute is for models, and ",
                 ::moe::ShownPath(options.input), " has none");
  std::string names;
  for (auto function : module->getOps<func::FuncOp>())
    names += (names.empty() ? "'" : ", '") + function.getName().str() + "'";
  if (names.empty())
    return Error(Code::K110, ::moe::ShownPath(options.input),
                 ": has neither an nn.model nor a function");
  for (const std::string &name : options.entries)
    if (!module->lookupSymbol<func::FuncOp>(name))
      return Error(Code::K110, ::moe::ShownPath(options.input),
                   ": no function ", Quoted(name), "; it has ", names);
  for (auto function :
       llvm::make_early_inc_range(module->getOps<func::FuncOp>())) {
    StringRef name = function.getName();
    if (options.entries.empty() || llvm::is_contained(options.entries, name))
      function->setAttr("nn.entry", function.getSymNameAttr());
    else
      function.erase();
  }
  return absl::OkStatus();
}

/// The program as it is now reproduces what happens to it.
void Compilation::prepareReproducer() {
  std::string text, flags;
  llvm::raw_string_ostream(text) << *module;
  sourceHash = ::moe::HashText(text).Hex();
  llvm::raw_string_ostream stream(flags);
  stream << "builtin.module(moe-to-cpu{isa=" << cpuLevelName(levels().front());
  if (!pipeline.entries.empty())
    stream << " entries=" << llvm::join(pipeline.entries, ",");
  if (!pipeline.compute.empty())
    stream << " compute=" << pipeline.compute;
  if (!pipeline.mesh.empty())
    stream << " mesh=" << pipeline.mesh;
  if (!pipeline.recompute.empty())
    stream << " recompute=" << llvm::join(pipeline.recompute, ",");
  if (pipeline.balance > 0)
    stream << " balance=" << pipeline.balance;
  if (pipeline.dropout > 0)
    stream << " dropout=" << pipeline.dropout;
  stream << (pipeline.functions ? " functions" : "") << "})";
  setReproducer(text + reproducerTrailer(flags), "moe-opt --run-reproducer");
}

absl::Status
Compilation::runPasses(ModuleOp on, StringRef name,
                       llvm::function_ref<void(OpPassManager &)> add) {
  Progress::Step step(progress, name.str());
  PassManager passes(&context);
  add(passes);
  PassTracker tracker(passes);
  DiagnosticCollector diagnostics(context, logger());
  if (succeeded(passes.run(on)))
    return absl::OkStatus();
  return diagnostics.error(codeOfPass(tracker.failed()), options.input);
}

absl::Status Compilation::run(Phase phase) {
  switch (phase) {
  case Phase::Model:
    return runPasses(*module, "model phase", [&](OpPassManager &passes) {
      addToModel(passes, pipeline);
    });
  case Phase::Step:
    return runPasses(*module, "step phase", [&](OpPassManager &passes) {
      addToStep(passes, pipeline);
    });
  case Phase::Local:
    return runPasses(*module, "local phase", [&](OpPassManager &passes) {
      addToLocal(passes, pipeline);
    });
  case Phase::Fused:
  case Phase::Target:
    return runPasses(*module, "fused phase", [&](OpPassManager &passes) {
      addToFused(passes, pipeline);
    });
  }
  llvm_unreachable("all phases handled");
}

absl::Status Compilation::assignLayouts() {
  return runPasses(*module, "weight layouts", addLayouts);
}

absl::StatusOr<OwningOpRef<ModuleOp>> Compilation::lower(CpuLevel level) {
  OwningOpRef<ModuleOp> copy = module->clone();
  StringRef isa = cpuLevelName(level);
  RETURN_IF_ERROR(
      runPasses(*copy, ("lowering for " + isa).str(),
                [&](OpPassManager &passes) { addFusedToCpu(passes, isa); }));
  return copy;
}

absl::StatusOr<std::string> Compilation::pack() {
  ASSIGN_OR_RETURN(::moe::Json manifest,
                   makeManifest(*module, {.sourceHash = sourceHash}));
  ASSIGN_OR_RETURN(std::string linker, findLinker());
  ::moe::ModuleWriter writer;
  writer.SetManifest(manifest);
  // Code generation of one level runs while the next one is lowered.
  std::vector<std::pair<CpuLevel, LinkedObject>> objects;
  for (CpuLevel level : levels()) {
    ASSIGN_OR_RETURN(OwningOpRef<ModuleOp> lowered, lower(level));
    ASSIGN_OR_RETURN(NativeModule code, translate(*lowered, level));
    auto work = [this, linker, code = std::move(code)]() mutable
        -> absl::StatusOr<llvm::SmallVector<char>> {
      CrashStack stack;
      StringRef name = cpuLevelName(code.level);
      Progress::Step step(progress, ("code for " + name).str());
      ASSIGN_OR_RETURN(auto object, emit(std::move(code), NativeForm::Object));
      return linkSharedObject(object, linker);
    };
    objects.emplace_back(level,
                         std::async(std::launch::async, std::move(work)));
  }
  std::vector<llvm::SmallVector<char>> linked;
  for (auto &[level, future] : objects) {
    ASSIGN_OR_RETURN(auto object, future.get());
    linked.push_back(std::move(object));
  }
  for (size_t i = 0; i < linked.size(); ++i)
    writer.AddSection(cpuLevelSection(objects[i].first).str(),
                      std::as_bytes(std::span(linked[i])));
  return writer.Serialize();
}

absl::StatusOr<OwningOpRef<ModuleOp>>
mlir::moe::compileTo(MLIRContext &context, Phase phase,
                     const CompileOptions &options) {
  Compilation compilation(context, options);
  RETURN_IF_ERROR(compilation.load());
  RETURN_IF_ERROR(compilation.run(phase));
  if (phase != Phase::Target)
    return std::move(compilation.module);
  RETURN_IF_ERROR(compilation.assignLayouts());
  return compilation.lower(compilation.levels().front());
}

absl::StatusOr<llvm::SmallVector<char>>
mlir::moe::compileNative(MLIRContext &context, NativeForm form,
                         const CompileOptions &options) {
  ASSIGN_OR_RETURN(auto lowered, compileTo(context, Phase::Target, options));
  CpuLevel level = options.levels.empty() ? allCpuLevels().front()
                                          : *llvm::min_element(options.levels);
  setCrashStep("code generation");
  ASSIGN_OR_RETURN(NativeModule code, translate(*lowered, level));
  return emit(std::move(code), form);
}

absl::StatusOr<std::string>
mlir::moe::compileModule(MLIRContext &context, const CompileOptions &options) {
  Compilation compilation(context, options);
  RETURN_IF_ERROR(compilation.load());
  RETURN_IF_ERROR(compilation.run(Phase::Fused));
  RETURN_IF_ERROR(compilation.assignLayouts());
  return compilation.pack();
}
