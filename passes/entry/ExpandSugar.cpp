// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Expands the sugar of the model phase:
//   %y = moe.layer %x router(@r, [@gate]) experts(8, …, [@up, @down]) body {…}
// becomes
//   %plan, %w = moe.route @r(%x, %gate)
//   %rows = moe.dispatch %x, %plan
//   %out = moe.experts %rows, %plan params(%up, %down) {…}
//   %y = moe.combine %out, %plan, %w
#include "passes/entry/Passes.h"

#include "mlir/IR/IRMapping.h"

namespace mlir::moe::entry {
#define GEN_PASS_DEF_EXPANDSUGAR
#include "passes/entry/Passes.h.inc"
} // namespace mlir::moe::entry

using namespace mlir;
using namespace mlir::moe;

Value entry::getParam(OpBuilder &builder, Operation *user,
                      FlatSymbolRefAttr name, Value layer) {
  auto param = SymbolTable::lookupNearestSymbolFrom<nn::ParamOp>(user, name);
  return nn::ParamGetOp::create(builder, user->getLoc(), param.getTensorType(),
                                name, param.getLayers() ? layer : Value());
}

static Value expandMlp(OpBuilder &b, nn::MlpOp op) {
  Location loc = op.getLoc();
  auto get = [&](FlatSymbolRefAttr name) {
    return name ? entry::getParam(b, op, name, op.getLayer()) : Value();
  };
  Value n = nn::RmsNormOp::create(b, loc, op.getX(), get(op.getNormAttr()),
                                  op.getEpsAttr());
  Value h = nn::LinearOp::create(b, loc, n, get(op.getGateUpAttr()),
                                 get(op.getGateUpBiasAttr()));
  Value g =
      nn::GluOp::create(b, loc, h, op.getAct(), APFloat(0.0), APFloat(0.0));
  Value d = nn::LinearOp::create(b, loc, g, get(op.getDownAttr()),
                                 get(op.getDownBiasAttr()));
  return arith::AddFOp::create(b, loc, op.getX(), d);
}

static Value toF32(OpBuilder &b, Location loc, Value x) {
  auto type = cast<RankedTensorType>(x.getType());
  if (type.getElementType().isF32())
    return x;
  return arith::ExtFOp::create(b, loc, type.clone(b.getF32Type()), x);
}

static Value expandHead(OpBuilder &b, nn::HeadOp op) {
  Location loc = op.getLoc();
  Value n = nn::RmsNormOp::create(b, loc, op.getX(),
                                  entry::getParam(b, op, op.getNormAttr(), {}),
                                  op.getEpsAttr());
  Value logits = nn::LinearOp::create(
      b, loc, n, entry::getParam(b, op, op.getWeightAttr(), {}), Value());
  return toF32(b, loc, logits);
}

/// The key of the layer of |op| where there is none: entries that have one put
/// it in the place of the constant (passes/entry/Random.h).
static Value noKey(moe::LayerOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto type = RankedTensorType::get({6}, b.getI32Type());
  Value zeros = arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(type, b.getI32IntegerAttr(0)));
  Value layer = op.getLayer();
  if (!layer)
    layer = arith::ConstantIndexOp::create(b, loc, 0);
  return LayerKeyOp::create(b, loc, zeros, layer, /*offset=*/0);
}

/// The operands of |router| behind x: inputs of the model where an argument is
/// marked as one, parameters in their order elsewhere.
static FailureOr<SmallVector<Value>>
routerOperands(moe::LayerOp op, RouterOp router, ArrayRef<Value> params) {
  auto model = op->getParentOfType<nn::ModelOp>();
  SmallVector<Value> operands;
  for (unsigned i = 1; i < router.getNumArguments(); ++i) {
    StringAttr input = router.getInput(i);
    if (!input) {
      if (params.empty())
        return op.emitOpError("expects a parameter for argument ")
               << i << " of " << op.getRouterAttr();
      operands.push_back(params.front());
      params = params.drop_front();
      continue;
    }
    if (input == "key") {
      operands.push_back(noKey(op));
      continue;
    }
    if (!model)
      return op.emitOpError("routes by ")
             << op.getRouterAttr() << ", which needs the " << input
             << " of a model";
    Block &block = model.getBody().front();
    operands.push_back(block.getArgument(input == "ids"         ? 0
                                         : input == "positions" ? 1
                                                                : 2));
  }
  if (!params.empty())
    return op.emitOpError("has ")
           << params.size() << " parameters more than " << op.getRouterAttr();
  return operands;
}

static FailureOr<Value> expandLayer(OpBuilder &b, moe::LayerOp op) {
  Location loc = op.getLoc();
  auto gather = [&](ArrayAttr names) {
    SmallVector<Value> values;
    for (auto name : names.getAsRange<FlatSymbolRefAttr>())
      values.push_back(entry::getParam(b, op, name, op.getLayer()));
    return values;
  };
  Value x = op.getX();
  auto router =
      SymbolTable::lookupNearestSymbolFrom<RouterOp>(op, op.getRouterAttr());
  auto plan = dyn_cast<PlanType>(router.getResultTypes()[0]);
  if (!plan)
    return op.emitOpError("expects ")
           << op.getRouterAttr() << " to give a plan; it is dense";
  if (plan.getExperts() != int64_t(op.getExperts()))
    return op.emitOpError("expects ")
           << op.getRouterAttr() << " to route to " << op.getExperts()
           << " experts, got " << plan.getExperts();
  SmallVector<Value> params = gather(op.getRouterParams());
  auto operands = routerOperands(op, router, params);
  if (failed(operands))
    return failure();
  // Losses and states have the type of the router; rows are those of x.
  SmallVector<Type> types(router.getResultTypes());
  types[1] = RankedTensorType::get(
      {cast<RankedTensorType>(x.getType()).getDimSize(0), plan.getK()},
      b.getF32Type());
  auto route = RouteOp::create(b, loc, types, op.getRouterAttr(),
                               toF32(b, loc, x), *operands);
  Value rows = DispatchOp::create(b, loc, x, route.getPlan());
  auto experts =
      ExpertsOp::create(b, loc, op.getY().getType(), rows, route.getPlan(),
                        gather(op.getExpertParams()));
  experts.getBody().takeBody(op.getBody());
  b.setInsertionPointAfter(experts);
  Value y = CombineOp::create(b, loc, experts.getY(), route.getPlan(),
                              route.getWeights());
  if (op.getShared().empty())
    return y;
  IRMapping map;
  SmallVector<Value> args{x};
  llvm::append_range(args, gather(op.getSharedParams()));
  Block &block = op.getShared().front();
  if (block.getNumArguments() != args.size())
    return op.emitOpError("expects a shared body of ")
           << args.size() << " arguments, got " << block.getNumArguments();
  map.map(block.getArguments(), args);
  for (Operation &inner : block.without_terminator())
    b.clone(inner, map);
  Value shared = map.lookupOrDefault(block.getTerminator()->getOperand(0));
  return Value(arith::AddFOp::create(b, loc, y, shared));
}

namespace {
struct ExpandSugar : entry::impl::ExpandSugarBase<ExpandSugar> {
  void runOnOperation() override {
    SmallVector<Operation *> sugar;
    getOperation().walk([&](Operation *op) {
      if (isa<nn::AttentionOp, nn::LatentAttentionOp, nn::MlpOp, nn::HeadOp,
              moe::LayerOp>(op))
        sugar.push_back(op);
    });
    for (Operation *op : sugar) {
      if (failed(entry::checkSugar(op)))
        return signalPassFailure();
      OpBuilder b(op);
      FailureOr<Value> value = failure();
      if (auto attention = dyn_cast<nn::AttentionOp>(op))
        value = entry::expandAttention(b, attention);
      else if (auto latent = dyn_cast<nn::LatentAttentionOp>(op))
        value = entry::expandLatentAttention(b, latent);
      else if (auto mlp = dyn_cast<nn::MlpOp>(op))
        value = expandMlp(b, mlp);
      else if (auto head = dyn_cast<nn::HeadOp>(op))
        value = expandHead(b, head);
      else
        value = expandLayer(b, cast<moe::LayerOp>(op));
      if (failed(value))
        return signalPassFailure();
      op->getResult(0).replaceAllUsesWith(*value);
      op->erase();
    }
  }
};
} // namespace
