// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/train/Backward.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::train;

Activity::Activity(Block &block, ArrayRef<Value> sources) {
  for (Value source : sources)
    mark(source, true);
  visit(block);
}

bool Activity::mark(Value value, bool because) {
  return because && nn::isDifferentiable(value.getType()) &&
         active.insert(value).second;
}

void Activity::visit(Block &block) {
  for (Operation &op : block) {
    if (auto loop = dyn_cast<nn::LayersOp>(op)) {
      visit(loop);
      continue;
    }
    if (isa<StopGradientOp>(op) || !llvm::any_of(op.getOperands(), *this))
      continue;
    for (Value result : op.getResults())
      mark(result, true);
  }
}

void Activity::visit(nn::LayersOp loop) {
  Block &body = loop.getBody().front();
  auto carried = body.getArguments().slice(1, loop.getInits().size());
  auto sliced = body.getArguments().drop_front(1 + carried.size());
  for (auto [argument, init] : llvm::zip(carried, loop.getInits()))
    mark(argument, (*this)(init));
  for (auto [argument, slice] : llvm::zip(sliced, loop.getSlices()))
    mark(argument, (*this)(slice));
  auto yielded = body.getTerminator()->getOperands();
  // What one layer makes active is active in the next.
  bool news = true;
  while (news) {
    visit(body);
    news = false;
    for (auto [argument, value] : llvm::zip(carried, yielded))
      news |= mark(argument, (*this)(value));
  }
  for (auto [result, value] : llvm::zip(loop.getResults(), yielded))
    mark(result, (*this)(value));
  for (auto [result, argument] : llvm::zip(loop.getResults(), carried))
    mark(result, (*this)(argument));
}

Value train::sum(OpBuilder &b, Location loc, Value x, Value y) {
  auto bits = [](Value value) {
    return getElementTypeOrSelf(value.getType()).getIntOrFloatBitWidth();
  };
  Type type = bits(x) < bits(y) ? y.getType() : x.getType();
  return arith::AddFOp::create(b, loc, nn::castElement(b, loc, x, type),
                               nn::castElement(b, loc, y, type));
}

void train::eraseDead(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op))
      op.erase();
}

void BlockGradients::add(Value value, Value term) {
  Value &gradient = gradients[value];
  gradient = gradient ? sum(builder, term.getLoc(), gradient, term) : term;
}

LogicalResult BlockGradients::run(Block &block) {
  SmallVector<Operation *> ops;
  for (Operation &op : block.without_terminator())
    ops.push_back(&op);
  for (Operation *op : llvm::reverse(ops))
    if (failed(step(op)))
      return failure();
  return success();
}

LogicalResult BlockGradients::step(Operation *op) {
  if (!llvm::any_of(op->getResults(), active))
    return success();
  if (auto loop = dyn_cast<nn::LayersOp>(op))
    return differentiateLoop(loop, *this);
  SmallVector<Value> of;
  for (Value result : op->getResults()) {
    Value gradient = active(result) ? this->of(result) : Value();
    of.push_back(gradient ? nn::castElement(builder, op->getLoc(), gradient,
                                            result.getType())
                          : Value());
  }
  if (llvm::none_of(of, [](Value gradient) { return bool(gradient); }))
    return success();
  if (auto read = dyn_cast<nn::ParamGetOp>(op)) {
    reads.push_back({read, this->of(read.getValue())});
    return success();
  }
  // A source inside of a block, such as a parameter that was read before.
  if (!llvm::any_of(op->getOperands(), active))
    return success();
  auto rule = dyn_cast<nn::DifferentiableOpInterface>(op);
  if (!rule)
    return op->emitOpError(
        "is reached by a gradient and is not differentiable");
  SmallVector<Value> terms(op->getNumOperands());
  if (failed(rule.buildVjp(builder, of, terms)))
    return failure();
  for (auto [operand, term] : llvm::zip(op->getOperands(), terms))
    if (term && active(operand))
      add(operand, term);
  return success();
}
