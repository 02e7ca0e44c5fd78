// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Completes the entries of training:
//   func.func @grad(…) -> (objective, loss, aux_loss)
// gets the gradients of the objective as results, "grad." and the name of the
// parameter, and beside it stand
//   func.func @grad_norm(%grads…) -> sum_squares
//   func.func @update(%hyper, for each parameter: %param, %grad, %m, %v)
//       -> (for each parameter: next.param, next.m, next.v)
// A parameter that is not f32 has a master copy that is: `master.` and its name
// among the arguments and results of @update, where it is a result alone.
#include "passes/train/Passes.h"

#include "passes/train/Gradient.h"

namespace mlir::moe::train {
#define GEN_PASS_DEF_DERIVETRAINING
#include "passes/train/Passes.h.inc"
} // namespace mlir::moe::train

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::train;

/// Whether a step moves |param|: integers are tables.
static bool isTrainable(nn::ParamOp param) {
  return isa<FloatType>(param.getTensorType().getElementType());
}

/// All layers of |param| in f32.
static RankedTensorType masterType(nn::ParamOp param) {
  RankedTensorType type = param.getTensorType();
  SmallVector<int64_t> shape(type.getShape());
  if (auto layers = param.getLayers())
    shape.insert(shape.begin(), (*layers)[1] - (*layers)[0]);
  return RankedTensorType::get(shape, Float32Type::get(type.getContext()));
}

/// Whether AdamW decays |param|: what is a matrix in the checkpoint, as is
/// usual; norms and biases are not.
static bool decays(nn::ParamOp param) {
  return llvm::any_of(
      param.getSources().getAsRange<nn::SourceAttr>(),
      [](nn::SourceAttr source) { return source.getShape().size() > 1; });
}

/// Whether two parameters of one pattern hold the same layer.
static bool shareLayers(nn::ParamOp a, nn::ParamOp b) {
  auto x = a.getLayers(), y = b.getLayers();
  return !x || !y || ((*x)[0] < (*y)[1] && (*y)[0] < (*x)[1]);
}

namespace {
/// A function with named arguments and results.
class Entry {
public:
  Entry(ModuleOp module, StringRef name)
      : b(module.getBodyRegion()), name(name), loc(module.getLoc()) {
    b.setInsertionPointToEnd(module.getBody());
    function = func::FuncOp::create(b, loc, name, b.getFunctionType({}, {}));
    function->setAttr("nn.entry", b.getStringAttr(name));
    b.setInsertionPointToStart(function.addEntryBlock());
  }
  Value argument(Type type, const Twine &argument) {
    names.push_back(named(argument));
    return function.getBody().front().addArgument(type, loc);
  }
  void result(Value value, const Twine &result) {
    results.push_back(value);
    resultNames.push_back(named(result));
  }
  void finish() {
    func::ReturnOp::create(b, loc, results);
    Block &block = function.getBody().front();
    function.setFunctionType(b.getFunctionType(block.getArgumentTypes(),
                                               ValueRange(results).getTypes()));
    function.setArgAttrsAttr(b.getArrayAttr(names));
    function.setResAttrsAttr(b.getArrayAttr(resultNames));
  }

  OpBuilder b;

private:
  Attribute named(const Twine &text) {
    return b.getDictionaryAttr(
        b.getNamedAttr("nn.name", b.getStringAttr(text)));
  }

  StringRef name;
  Location loc;
  func::FuncOp function;
  SmallVector<Attribute> names, resultNames;
  SmallVector<Value> results;
};

struct DeriveTraining : train::impl::DeriveTrainingBase<DeriveTraining> {
  using DeriveTrainingBase::DeriveTrainingBase;

  void deriveNorm(ArrayRef<nn::ParamOp> params) {
    Entry entry(getOperation(), "grad_norm");
    SmallVector<Value> grads;
    for (nn::ParamOp param : params)
      grads.push_back(
          entry.argument(masterType(param), "grad." + param.getSymName()));
    entry.result(
        nn::SumSquaresOp::create(entry.b, getOperation().getLoc(), grads),
        "sum_squares");
    entry.finish();
  }

  void deriveUpdate(ArrayRef<nn::ParamOp> params) {
    Entry entry(getOperation(), "update");
    Location loc = getOperation().getLoc();
    Value hyper = entry.argument(
        RankedTensorType::get({8}, entry.b.getF32Type()), "hyper");
    for (nn::ParamOp param : params) {
      RankedTensorType type = masterType(param);
      StringRef name = param.getSymName();
      Type stored = param.getTensorType().getElementType();
      StringRef kind = stored.isF32() ? "param." : "master.";
      Value w = entry.argument(type, kind + name),
            grad = entry.argument(type, "grad." + name),
            m = entry.argument(type, "m." + name),
            v = entry.argument(type, "v." + name);
      auto step = nn::AdamwOp::create(entry.b, loc, w, grad, m, v, hyper,
                                      decays(param));
      entry.result(step.getNewW(), "next." + kind + name);
      entry.result(step.getNewM(), "next.m." + name);
      entry.result(step.getNewV(), "next.v." + name);
      if (!stored.isF32())
        entry.result(
            nn::castElement(entry.b, loc, step.getNewW(), type.clone(stored)),
            "next.param." + name);
    }
    entry.finish();
  }

  /// Parameters that are one tensor of the checkpoint become one; what shares
  /// a part of a tensor cannot be trained apart.
  LogicalResult joinTied() {
    SmallVector<nn::ParamOp> params(getOperation().getOps<nn::ParamOp>());
    DenseMap<std::pair<Attribute, int64_t>, SmallVector<nn::ParamOp>> readers;
    for (nn::ParamOp param : params) {
      nn::ParamOp tied;
      for (auto source : param.getSources().getAsRange<nn::SourceAttr>())
        for (nn::ParamOp other :
             readers[{source.getPattern(), source.getOffset()}])
          if (shareLayers(param, other))
            tied = other;
      if (tied) {
        if (tied.getSources() != param.getSources() ||
            tied.getType() != param.getType() ||
            tied.getLayersAttr() != param.getLayersAttr())
          return param.emitOpError("shares a part of a tensor with ")
                 << tied.getSymNameAttr() << ", which training cannot split";
        if (failed(SymbolTable::replaceAllSymbolUses(
                param, tied.getSymNameAttr(), getOperation())))
          return failure();
        param.erase();
        continue;
      }
      for (auto source : param.getSources().getAsRange<nn::SourceAttr>())
        readers[{source.getPattern(), source.getOffset()}].push_back(param);
    }
    return success();
  }

  LogicalResult deriveAll(func::FuncOp grad) {
    SmallVector<Recompute> policies;
    for (const std::string &text : recompute) {
      std::optional<Recompute> policy = parseRecompute(text);
      if (!policy)
        return grad.emitOpError("expects recompute none, selective or full, "
                                "got ")
               << text;
      policies.push_back(*policy);
    }
    if (policies.empty())
      policies.push_back(Recompute::Selective);
    if (failed(joinTied()))
      return failure();
    // The first policy is that of @grad.
    SmallVector<func::FuncOp> gradients{grad};
    for (size_t i = 1; i < policies.size(); ++i) {
      std::string name = "grad_" + recompute[i];
      if (getOperation().lookupSymbol(name))
        return grad.emitOpError("is derived twice with recompute ")
               << recompute[i];
      func::FuncOp other = grad.clone();
      other.setName(name);
      other->setAttr("nn.entry", StringAttr::get(&getContext(), name));
      getOperation().insert(std::next(gradients.back()->getIterator()), other);
      gradients.push_back(other);
    }
    for (auto [function, policy] : llvm::zip(gradients, policies))
      if (failed(derive(function, policy)))
        return failure();
    return success();
  }

  LogicalResult derive(func::FuncOp grad, Recompute policy) {
    // Lets verify-step tell a gradient from an entry that was fused too early.
    grad->setAttr("nn.gradient_of", FlatSymbolRefAttr::get(grad));
    SmallVector<std::string> trainable;
    for (auto param : getOperation().getOps<nn::ParamOp>())
      if (isTrainable(param) && !SymbolTable::symbolKnownUseEmpty(param, grad))
        trainable.push_back(param.getSymName().str());
    if (trainable.empty())
      return grad.emitOpError("reads no parameter that can be trained");
    Gradient gradient(grad, policy);
    if (failed(gradient.chooseParams(trainable)) ||
        failed(gradient.build(/*seeded=*/true)))
      return failure();
    grad->setAttr(kRecompute,
                  StringAttr::get(&getContext(), stringifyRecompute(policy)));
    if (getOperation().lookupSymbol("update"))
      return success();
    deriveNorm(gradient.getParams());
    deriveUpdate(gradient.getParams());
    return success();
  }

  void runOnOperation() override {
    auto grad = getOperation().lookupSymbol<func::FuncOp>("grad");
    if (grad && grad->hasAttr("nn.entry") && grad.getNumResults() >= 3 &&
        grad.getResultAttr(0, "nn.name") ==
            StringAttr::get(&getContext(), "objective") &&
        failed(deriveAll(grad)))
      signalPassFailure();
  }
};
} // namespace
