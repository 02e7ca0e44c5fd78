// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The gradient of a layers loop:
//   %y = nn.layers 0 to L (%x) { ^bb0(%i, %h): %w = nn.param_get @w[%i] … yield %n }
// becomes
//   %y, %hs = nn.layers 0 to L (%x) { … yield %n, %h }
//   %dx, %dws = nn.layers 0 to L reverse (%dy) slices(%hs) {
//   ^bb0(%i, %dn, %h): %w = nn.param_get @w[%i] … yield %dh, %dw }
#include "passes/train/Backward.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::train;

namespace {
class LoopBackward {
public:
  LoopBackward(nn::LayersOp loop, BlockGradients &outer)
      : loop(loop), outer(outer), loc(loop.getLoc()),
        forward(loop.getBody().front()), builder(loop.getContext()),
        inner(builder, outer.active, outer.recompute) {
    region.push_back(new Block());
    body = &region.front();
    builder.setInsertionPointToEnd(body);
  }

  LogicalResult run() {
    takeResults();
    if (failed(inner.run(forward)))
      return failure();
    yieldCarried();
    yieldCaptured();
    carried = yields.size();
    yieldSlices();
    if (failed(yieldParams()))
      return failure();
    nn::YieldOp::create(builder, loc, yields);
    weighInside(*body);
    eraseDead(*body);
    yields = llvm::to_vector(body->getTerminator()->getOperands());
    keep();
    return finish();
  }

private:
  /// Gradients of carried values are carried, those of stacked results sliced.
  void takeResults() {
    Operation *end = forward.getTerminator();
    body->addArgument(builder.getIndexType(), loc);
    for (auto [i, init] : llvm::enumerate(loop.getInits())) {
      Value argument = forward.getArgument(1 + i);
      if (!outer.active(argument))
        continue;
      Value result = loop.getResult(i), gradient = outer.of(result);
      Type type = result.getType();
      inits.push_back(gradient
                          ? nn::castElement(outer.builder, loc, gradient, type)
                          : nn::splat(outer.builder, loc, type, result, 0));
      inner.add(end->getOperand(i), body->addArgument(type, loc));
      carriedInits.push_back(init);
    }
    for (OpResult result : loop.getStacked()) {
      Value gradient = outer.of(result);
      if (!gradient || !outer.active(result))
        continue;
      slices.push_back(
          nn::castElement(outer.builder, loc, gradient, result.getType()));
      Value value = end->getOperand(result.getResultNumber());
      inner.add(value, body->addArgument(value.getType(), loc));
    }
  }

  void yieldCarried() {
    for (Value argument :
         forward.getArguments().slice(1, loop.getInits().size())) {
      if (!outer.active(argument))
        continue;
      Value gradient = inner.of(argument);
      Type type = argument.getType();
      Value like = body->getArgument(1 + yields.size());
      yields.push_back(gradient ? nn::castElement(builder, loc, gradient, type)
                                : nn::splat(builder, loc, type, like, 0));
    }
  }

  /// Gradients of values of the outside, and of parameters that loops inside
  /// read, are added up from layer to layer.
  void yieldCaptured() {
    llvm::SetVector<Value> values;
    getUsedValuesDefinedAbove(loop.getBody(), values);
    for (Value value : values) {
      Value term = outer.active(value) ? inner.of(value) : Value();
      if (!term)
        continue;
      Type type = nn::accumulatorType(value.getType());
      Value before = outer.of(value);
      accumulate(before ? nn::castElement(outer.builder, loc, before, type)
                        : nn::splat(outer.builder, loc, type, value, 0),
                 term);
      captured.push_back(value);
    }
    for (const ParamStack &stack : inner.stacks)
      accumulate(
          nn::splat(outer.builder, loc, stack.gradients.getType(), Value(), 0),
          stack.gradients);
  }

  /// Carries a sum that starts as |init| and gets |term| in each layer.
  void accumulate(Value init, Value term) {
    inits.push_back(init);
    Value sofar = body->insertArgument(1 + yields.size(), init.getType(), loc);
    yields.push_back(sum(builder, loc, sofar, term));
  }

  void yieldSlices() {
    unsigned first = 1 + loop.getInits().size();
    for (auto [i, slice] : llvm::enumerate(loop.getSlices())) {
      Value argument = forward.getArgument(first + i);
      Value gradient = outer.active(argument) ? inner.of(argument) : Value();
      if (!gradient)
        continue;
      yields.push_back(
          nn::castElement(builder, loc, gradient, argument.getType()));
      sliced.push_back(slice);
    }
  }

  LogicalResult yieldParams() {
    for (ParamRead read : inner.reads) {
      if (read.op.getLayer() != loop.getLayerIndex())
        return read.op.emitOpError("has a gradient only at the layer of its "
                                   "loop");
      Value &gradient = params[read.op.getParamAttr().getAttr()];
      Value term =
          nn::castElement(builder, loc, read.gradient,
                          nn::accumulatorType(read.op.getValue().getType()));
      gradient = gradient ? sum(builder, loc, gradient, term) : term;
    }
    for (auto &[param, gradient] : params)
      yields.push_back(gradient);
    return success();
  }

  /// Values of the forward loop that the backward loop reads are kept or
  /// computed again.
  void keep() {
    Value layer = loop.getLayerIndex();
    map.map(layer, body->getArgument(0));
    SmallVector<OpOperand *> reads;
    SmallVector<Value> needed;
    body->walk([&](Operation *op) {
      for (OpOperand &operand : op->getOpOperands())
        if (operand.get().getParentBlock() == &forward) {
          reads.push_back(&operand);
          if (operand.get() != layer)
            needed.push_back(operand.get());
        }
    });
    for (Value value : valuesToKeep(forward, needed, outer.recompute)) {
      kept.push_back(value);
      map.map(value, body->addArgument(value.getType(), loc));
    }
    OpBuilder front(&body->front());
    for (OpOperand *read : reads)
      read->set(here(read->get(), front));
    for (Operation *op : llvm::reverse(again))
      sink(op);
  }

  /// |value| of the forward loop in the backward loop.
  Value here(Value value, OpBuilder &front) {
    if (value.getParentBlock() != &forward || map.contains(value))
      return map.lookupOrDefault(value);
    Operation *op = value.getDefiningOp();
    for (Value operand : op->getOperands())
      here(operand, front);
    again.push_back(front.clone(*op, map));
    return map.lookup(value);
  }

  /// Moves |op| to its first reader, so that nothing waits in memory.
  void sink(Operation *op) {
    Operation *first = nullptr;
    for (Operation *user : op->getUsers()) {
      Operation *own = body->findAncestorOpInBlock(*user);
      if (!first || own->isBeforeInBlock(first))
        first = own;
    }
    op->moveBefore(first);
  }

  LogicalResult finish() {
    keepForward();
    SmallVector<Type> types;
    for (auto [i, value] : llvm::enumerate(yields))
      types.push_back(i < carried ? value.getType()
                                  : nn::LayersOp::stackedType(
                                        loop.getNumLayers(), value.getType()));
    auto backward = nn::LayersOp::create(
        outer.builder, loc, types, loop.getLowerAttr(), loop.getUpperAttr(),
        loop.getReverse() ? UnitAttr() : builder.getUnitAttr(), inits, slices);
    backward.getBody().takeBody(region);
    // Sums of captured values hold what there was before, so they come before
    // terms of the same values.
    auto results = backward.getResults().begin() + carriedInits.size();
    for (Value value : captured)
      outer.set(value, *results++);
    for (const ParamStack &stack : inner.stacks)
      outer.stacks.push_back(
          {stack.param, stack.lower, stack.upper, *results++});
    for (Value slice : sliced)
      outer.add(slice, *results++);
    for (auto &[param, gradient] : params)
      outer.stacks.push_back({param, int64_t(loop.getLower()),
                              int64_t(loop.getUpper()), *results++});
    for (auto [init, gradient] :
         llvm::zip_first(carriedInits, backward.getResults()))
      outer.add(init, gradient);
    return success();
  }

  /// Lets the forward loop keep what the backward loop slices, unless it does
  /// so already.
  void keepForward() {
    Operation *end = forward.getTerminator();
    unsigned first = loop.getInits().size();
    SmallVector<Value> yielded(end->getOperands());
    SmallVector<Type> types(loop.getResultTypes());
    SmallVector<unsigned> places;
    for (Value value : kept) {
      auto *place = llvm::find(llvm::drop_begin(yielded, first), value);
      places.push_back(place - yielded.begin());
      if (place != yielded.end())
        continue;
      yielded.push_back(value);
      types.push_back(
          nn::LayersOp::stackedType(loop.getNumLayers(), value.getType()));
    }
    end->setOperands(yielded);
    OpBuilder at(loop);
    auto wider = nn::LayersOp::create(
        at, loc, types, loop.getLowerAttr(), loop.getUpperAttr(),
        loop.getReverseAttr(), loop.getInits(), loop.getSlices());
    wider.getBody().takeBody(loop.getBody());
    ValueBytes bytes;
    for (Value value : kept) {
      bytes.token += bytesOf(value).token;
      bytes.fixed += bytesOf(value).fixed;
    }
    wider->setAttr(kKeptBytes,
                   at.getDenseI64ArrayAttr({bytes.token, bytes.fixed}));
    loop.replaceAllUsesWith(
        wider.getResults().take_front(loop.getNumResults()));
    loop.erase();
    loop = wider;
    for (unsigned place : places)
      slices.push_back(wider.getResult(place));
  }

  nn::LayersOp loop;
  BlockGradients &outer;
  Location loc;
  Block &forward;
  Region region;
  Block *body;
  OpBuilder builder;
  BlockGradients inner;

  /// Operands of the backward loop, and what its body yields: |carried| values,
  /// then those to stack.
  SmallVector<Value> inits, slices, yields;
  size_t carried = 0;
  /// Values of the outside whose gradients the body yields.
  SmallVector<Value> carriedInits, captured, sliced;
  llvm::MapVector<StringAttr, Value> params;
  SmallVector<Value> kept;
  SmallVector<Operation *> again;
  IRMapping map;
};
} // namespace

LogicalResult train::differentiateLoop(nn::LayersOp loop,
                                       BlockGradients &outer) {
  bool reached = llvm::any_of(
      loop.getResults(), [&](Value result) { return bool(outer.of(result)); });
  return reached ? LoopBackward(loop, outer).run() : success();
}
