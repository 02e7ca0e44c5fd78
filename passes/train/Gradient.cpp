// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/train/Gradient.h"

#include "passes/fuse/Passes.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::train;

/// The `nn.name` of an argument or result, or |kind| and its number.
static std::string nameOf(DictionaryAttr attributes, StringRef kind,
                          unsigned i) {
  auto name = attributes ? attributes.getAs<StringAttr>("nn.name") : nullptr;
  return name ? name.str() : (kind + Twine(i)).str();
}

LogicalResult Gradient::chooseArguments(ArrayRef<std::string> chosen) {
  for (const std::string &name : chosen) {
    unsigned i = 0, count = function.getNumArguments();
    if (StringRef(name).getAsInteger(10, i))
      while (i < count && nameOf(function.getArgAttrDict(i), "", i) != name)
        ++i;
    if (i >= count)
      return function.emitOpError("has no argument ") << name;
    if (!nn::isDifferentiable(function.getArgumentTypes()[i]))
      return function.emitOpError("expects floating-point numbers in argument ")
             << name << ", got " << function.getArgumentTypes()[i];
    arguments.push_back(i);
  }
  return success();
}

LogicalResult Gradient::chooseParams(ArrayRef<std::string> chosen) {
  llvm::DenseSet<StringAttr> read;
  function.walk(
      [&](nn::ParamGetOp op) { read.insert(op.getParamAttr().getAttr()); });
  bool all = chosen.empty() || chosen == ArrayRef<std::string>("params");
  bool none = chosen == ArrayRef<std::string>("none");
  for (auto param : function->getParentOfType<ModuleOp>().getOps<nn::ParamOp>())
    if (read.contains(param.getSymNameAttr()) && !none &&
        (all || llvm::is_contained(chosen, param.getSymName())))
      params.push_back(param);
  if (all || none)
    return success();
  for (const std::string &name : chosen)
    if (llvm::none_of(params, [&](nn::ParamOp param) {
          return param.getSymName() == name;
        }))
      return function.emitOpError("reads no parameter ") << name;
  return success();
}

/// Bodies of experts become grouped operations, and parameters are read outside
/// of loops that do not count their layers.
LogicalResult Gradient::prepare() {
  SmallVector<ExpertsOp> experts;
  function.walk([&](ExpertsOp op) { experts.push_back(op); });
  for (ExpertsOp op : experts)
    if (failed(fuse::distribute(op)))
      return failure();
  function.walk([&](nn::ParamGetOp op) {
    Block *home = op.getLayer() ? op.getLayer().getParentBlock() : &block;
    if (op->getBlock() != home)
      op->moveBefore(home->findAncestorOpInBlock(*op));
  });
  return success();
}

LogicalResult Gradient::build(bool seeded) {
  if (failed(prepare()))
    return failure();
  SmallVector<Value> sources;
  for (unsigned i : arguments)
    sources.push_back(block.getArgument(i));
  function.walk([&](nn::ParamGetOp op) {
    if (llvm::any_of(params, [&](nn::ParamOp param) {
          return param.getSymName() == op.getParam();
        }))
      sources.push_back(op.getValue());
  });
  Activity active(block, sources);
  Operation *end = block.getTerminator();
  builder.setInsertionPoint(end);
  Value y = end->getOperand(0);
  Value dy = seeded ? nn::splat(builder, loc, y.getType(), y, 1)
                    : Value(block.addArgument(y.getType(), loc));
  BlockGradients gradients(builder, active, recompute);
  gradients.add(y, dy);
  if (failed(gradients.run(block)))
    return failure();
  for (unsigned i : arguments) {
    Value x = block.getArgument(i), dx = gradients.of(x);
    addResult(dx ? nn::castElement(builder, loc, dx, x.getType())
                 : nn::splat(builder, loc, x.getType(), x, 0),
              nameOf(function.getArgAttrDict(i), "arg", i));
  }
  if (failed(addParams(gradients, seeded)))
    return failure();
  finish(seeded);
  return success();
}

LogicalResult Gradient::addParams(const BlockGradients &gradients,
                                  bool reachedOnly) {
  auto isReached = [&](nn::ParamOp param) {
    StringAttr symbol = param.getSymNameAttr();
    return llvm::any_of(gradients.reads,
                        [&](ParamRead read) {
                          return read.op.getParamAttr().getAttr() == symbol;
                        }) ||
           llvm::any_of(gradients.stacks, [&](const ParamStack &stack) {
             return stack.param == symbol;
           });
  };
  if (reachedOnly)
    llvm::erase_if(params,
                   [&](nn::ParamOp param) { return !isReached(param); });
  for (nn::ParamOp param : params) {
    StringAttr symbol = param.getSymNameAttr();
    auto type =
        cast<RankedTensorType>(nn::accumulatorType(param.getTensorType()));
    Value total;
    for (ParamRead read : gradients.reads) {
      if (read.op.getParamAttr().getAttr() != symbol)
        continue;
      if (read.op.getLayer())
        return read.op.emitOpError("has a gradient only at the layer of its "
                                   "loop");
      Value term = nn::castElement(builder, loc, read.gradient, type);
      total = total ? sum(builder, loc, total, term) : term;
    }
    if (param.getLayers()) {
      SmallVector<ParamStack> stacks;
      for (const ParamStack &stack : gradients.stacks)
        if (stack.param == symbol)
          stacks.push_back(stack);
      FailureOr<Value> layers = joined(param, stacks);
      if (failed(layers))
        return failure();
      total = *layers;
    }
    addResult(total ? total : zeros(type), param.getSymName());
  }
  return success();
}

/// The gradients of all layers of |param|, 0 for those that no loop read.
FailureOr<Value> Gradient::joined(nn::ParamOp param,
                                  SmallVector<ParamStack> stacks) {
  int64_t next = (*param.getLayers())[0], end = (*param.getLayers())[1];
  auto type =
      cast<RankedTensorType>(nn::accumulatorType(param.getTensorType()));
  SmallVector<Value> parts;
  auto skipTo = [&](int64_t layer) {
    if (next < layer)
      parts.push_back(zeros(cast<RankedTensorType>(
          nn::LayersOp::stackedType(layer - next, type))));
    next = layer;
  };
  llvm::stable_sort(stacks, [](const ParamStack &a, const ParamStack &b) {
    return a.lower < b.lower;
  });
  const ParamStack *last = nullptr;
  for (const ParamStack &stack : stacks) {
    if (last && stack.lower == last->lower && stack.upper == last->upper) {
      parts.back() = sum(builder, loc, parts.back(), stack.gradients);
      continue;
    }
    if (stack.lower < next || stack.upper > end)
      return param.emitOpError("is read by loops that overlap, at layer ")
             << stack.lower;
    skipTo(stack.lower);
    parts.push_back(stack.gradients);
    next = stack.upper;
    last = &stack;
  }
  skipTo(end);
  return Value(nn::JoinLayersOp::create(builder, loc, parts));
}

/// Signature, names and terminator.
void Gradient::finish(bool seeded) {
  Operation *end = block.getTerminator();
  unsigned kept = end->getNumOperands(), last = function.getNumArguments();
  end->insertOperands(kept, results);
  SmallVector<Attribute> arguments, attributes;
  auto present = [&](DictionaryAttr given) {
    return given ? given : builder.getDictionaryAttr({});
  };
  for (unsigned i = 0; i < last; ++i)
    arguments.push_back(present(function.getArgAttrDict(i)));
  if (!seeded)
    arguments.push_back(builder.getDictionaryAttr(builder.getNamedAttr(
        "nn.name",
        builder.getStringAttr(
            "grad." + nameOf(function.getResultAttrDict(0), "result", 0)))));
  for (unsigned i = 0; i < kept; ++i)
    attributes.push_back(present(function.getResultAttrDict(i)));
  for (const std::string &name : names)
    attributes.push_back(builder.getDictionaryAttr(
        builder.getNamedAttr("nn.name", builder.getStringAttr(name))));
  weighInside(block);
  function.setFunctionType(builder.getFunctionType(block.getArgumentTypes(),
                                                   end->getOperandTypes()));
  function.setArgAttrsAttr(builder.getArrayAttr(arguments));
  function.setResAttrsAttr(builder.getArrayAttr(attributes));
  eraseDead(block);
}
