// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes the gradient of an entry:
//   func.func @f(%x: tensor<?x8xf32>) -> tensor<?x4xf32>
// becomes, beside it, with of=0,
//   func.func @f_grad(%x: tensor<?x8xf32>, %dy: tensor<?x4xf32>)
//       -> (tensor<?x4xf32>, tensor<?x8xf32>, tensor<4x8xf32>)
#include "passes/train/Passes.h"

#include "passes/train/Gradient.h"

namespace mlir::moe::train {
#define GEN_PASS_DEF_DIFFERENTIATE
#include "passes/train/Passes.h.inc"
} // namespace mlir::moe::train

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::train;

namespace {
struct Differentiate : train::impl::DifferentiateBase<Differentiate> {
  using DifferentiateBase::DifferentiateBase;

  void runOnOperation() override {
    if (failed(differentiate()))
      signalPassFailure();
  }

  LogicalResult differentiate() {
    ModuleOp module = getOperation();
    auto primal = module.lookupSymbol<func::FuncOp>(entry);
    if (!primal)
      return module.emitError("expects a function @")
             << entry << " to differentiate";
    std::string name = entry + "_grad";
    if (module.lookupSymbol(name))
      return primal.emitOpError("has a gradient @") << name << " already";
    if (primal.isExternal() || !primal.getBody().hasOneBlock())
      return primal.emitOpError("expects a body of one block");
    if (primal.getNumResults() == 0 ||
        !nn::isDifferentiable(primal.getResultTypes()[0]))
      return primal.emitOpError(
          "expects a first result of floating-point numbers");
    func::FuncOp gradient = primal.clone();
    gradient.setName(name);
    // Lets verify-step tell a gradient from an entry that was fused too early.
    gradient->setAttr("nn.gradient_of",
                      FlatSymbolRefAttr::get(primal.getSymNameAttr()));
    if (gradient->hasAttr("nn.entry"))
      gradient->setAttr("nn.entry", StringAttr::get(&getContext(), name));
    module.insert(std::next(primal->getIterator()), gradient);
    std::optional<Recompute> policy = parseRecompute(recompute);
    if (!policy)
      return primal.emitOpError("expects recompute none, selective or full, "
                                "got ")
             << recompute;
    Gradient builder(gradient, *policy);
    if (failed(builder.chooseArguments(llvm::to_vector(of))) ||
        failed(builder.chooseParams(llvm::to_vector(wrt))))
      return failure();
    return builder.build();
  }
};
} // namespace
