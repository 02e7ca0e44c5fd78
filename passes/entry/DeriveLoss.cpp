// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Makes the entries of training from the model:
//   nn.model @m(%ids, %positions, %seqs) -> logits
// becomes
//   func.func @eval_step(%ids, %positions, %seqs, %targets, %loss_weight, %aux_weight)
//       -> (objective, loss, aux_loss)
// objective = loss + aux_weight·aux_loss, loss = loss_weight·Σ cross-entropy, and
// aux_loss the sum of what routers call losses, over all layers.
#include "passes/entry/DeriveLoss.h"

using namespace mlir;
using namespace mlir::moe;

static RankedTensorType scalarType(OpBuilder &b) {
  return RankedTensorType::get({}, b.getF32Type());
}
static Value add(OpBuilder &b, Location loc, Value x, Value y) {
  return x ? Value(arith::AddFOp::create(b, loc, x, y)) : y;
}

/// The sum of the losses of the routers that |block| itself applies, or null.
static Value lossesOf(Block &block) {
  Value total;
  for (RouteOp route : block.getOps<RouteOp>()) {
    auto router = SymbolTable::lookupNearestSymbolFrom<RouterOp>(
        route, route.getRouterAttr());
    for (unsigned i = 0; i < router.getNumResults(); ++i) {
      if (!router.getResultAttr(i, "moe.loss"))
        continue;
      OpBuilder b(block.getTerminator());
      total = add(b, route.getLoc(), total, route.getResult(i));
    }
  }
  return total;
}

/// Lets |loop| carry |start| plus the losses of its layers; gives the sum, or
/// null where its layers have none.
static Value carryLosses(nn::LayersOp loop, Value start) {
  Block &body = loop.getBody().front();
  Value term = lossesOf(body);
  if (!term)
    return {};
  Location loc = loop.getLoc();
  unsigned carried = loop.getInits().size();
  Value before = body.insertArgument(1 + carried, start.getType(), loc);
  Operation *end = body.getTerminator();
  OpBuilder b(end);
  end->insertOperands(carried, add(b, loc, before, term));
  SmallVector<Type> types(loop.getResultTypes());
  types.insert(types.begin() + carried, start.getType());
  SmallVector<Value> inits(loop.getInits());
  inits.push_back(start);
  b.setInsertionPoint(loop);
  auto wider = nn::LayersOp::create(b, loc, types, loop.getLowerAttr(),
                                    loop.getUpperAttr(), loop.getReverseAttr(),
                                    inits, loop.getSlices());
  wider.getBody().takeBody(loop.getBody());
  for (unsigned i = 0; i < loop.getNumResults(); ++i)
    loop.getResult(i).replaceAllUsesWith(
        wider.getResult(i < carried ? i : i + 1));
  loop.erase();
  return wider.getResult(carried);
}

/// The losses of all layers.
static Value auxiliaryLoss(Block &block, Location loc) {
  OpBuilder b = OpBuilder::atBlockBegin(&block);
  Value total = nn::splat(b, loc, scalarType(b), Value(), 0);
  SmallVector<nn::LayersOp> loops(block.getOps<nn::LayersOp>());
  for (nn::LayersOp loop : loops)
    if (Value sum = carryLosses(loop, total))
      total = sum;
  if (Value outside = lossesOf(block)) {
    OpBuilder end(block.getTerminator());
    total = add(end, loc, total, outside);
  }
  return total;
}

void entry::deriveLoss(func::FuncOp function) {
  Block &block = function.getBody().front();
  Operation *end = block.getTerminator();
  Location loc = end->getLoc();
  Value aux = auxiliaryLoss(block, loc);
  OpBuilder b(end);
  Value targets = block.getArgument(3), lossWeight = block.getArgument(4),
        auxWeight = block.getArgument(5);
  Value each = nn::CrossEntropyOp::create(b, loc, end->getOperand(0), targets);
  Value sum = nn::ReduceOp::create(b, loc, each, nn::ReduceKind::Sum, 0);
  Value loss = arith::MulFOp::create(b, loc, sum, lossWeight);
  Value weighted = arith::MulFOp::create(b, loc, aux, auxWeight);
  Value objective = arith::AddFOp::create(b, loc, loss, weighted);
  end->setOperands({objective, loss, aux});
  SmallVector<Attribute> names;
  for (StringRef name : {"objective", "loss", "aux_loss"})
    names.push_back(
        b.getDictionaryAttr(b.getNamedAttr("nn.name", b.getStringAttr(name))));
  function.setFunctionType(
      b.getFunctionType(function.getArgumentTypes(), end->getOperandTypes()));
  function.setResAttrsAttr(b.getArrayAttr(names));
}

SmallVector<std::pair<StringRef, Type>>
entry::lossArguments(MLIRContext *context) {
  OpBuilder b(context);
  return {{"targets",
           RankedTensorType::get({ShapedType::kDynamic}, b.getI32Type())},
          {"loss_weight", scalarType(b)},
          {"aux_weight", scalarType(b)}};
}
