// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sizes of a model, before any weight is at hand.
#include "passes/entry/Passes.h"

namespace mlir::moe::entry {
#define GEN_PASS_DEF_REPORTPARAMETERS
#include "passes/entry/Passes.h.inc"
} // namespace mlir::moe::entry

using namespace mlir;
using namespace mlir::moe;

namespace {
/// Counts of one module.
class Report {
public:
  explicit Report(ModuleOp module) : module(module), symbols(module) {}

  void count() {
    module.walk([&](LayerOp layer) {
      auto router = symbols.lookup<RouterOp>(layer.getRouter());
      int64_t k = router ? cast<PlanType>(router.getResultTypes()[0]).getK()
                         : layer.getExperts();
      for (auto name : layer.getExpertParams().getAsRange<FlatSymbolRefAttr>())
        chosen[name.getAttr()] = {k, int64_t(layer.getExperts())};
    });
    // Experts outside of layers, such as those of attention.
    module.walk([&](ExpertsOp experts) {
      PlanType plan = experts.getPlan().getType();
      for (Value value : experts.getParams())
        if (auto get = value.getDefiningOp<nn::ParamGetOp>())
          chosen[get.getParamAttr().getAttr()] = {plan.getK(),
                                                  plan.getExperts()};
    });
    for (auto param : module.getOps<nn::ParamOp>())
      add(param);
  }

  double total = 0, active = 0;

private:
  void add(nn::ParamOp param) {
    // Tied weights are one tensor under two names.
    if (!sources.insert(param.getSourcesAttr()).second)
      return;
    auto layers = param.getLayers();
    double size = double(param.getTensorType().getNumElements()) *
                  (layers ? (*layers)[1] - (*layers)[0] : 1);
    total += size;
    auto expert = chosen.find(param.getSymNameAttr());
    active += expert == chosen.end()
                  ? size
                  : size * expert->second.first / expert->second.second;
  }

  ModuleOp module;
  SymbolTable symbols;
  DenseMap<StringAttr, std::pair<int64_t, int64_t>> chosen; // K of E
  DenseSet<Attribute> sources;
};

struct ReportParameters : entry::impl::ReportParametersBase<ReportParameters> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Report report(module);
    report.count();
    for (auto model : module.getOps<nn::ModelOp>()) {
      auto name = module->getAttrOfType<StringAttr>("moe.name");
      llvm::errs() << (name ? name.getValue() : model.getSymName()) << ": "
                   << uint64_t(report.total) << " parameters, "
                   << uint64_t(report.active) << " active for a token\n";
    }
    markAllAnalysesPreserved();
  }
};
} // namespace
