// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One pass over memory per elementwise operation:
//   %y = arith.mulf %a, %b : tensor<?x128xbf16>
// loads lanes of both as f32, multiplies, and stores them rounded.
#include "passes/lower/cpu/Views.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

/// The type of lanes that hold elements of |tensor|, or null.
static VectorType lanesOfTensor(Emitter &e, Type tensor) {
  auto type = dyn_cast<RankedTensorType>(tensor);
  if (!type)
    return {};
  Type element = type.getElementType();
  if (element.isF32() || element.isBF16() || element.isF16())
    return e.vecF32();
  if (element.isInteger(32) || element.isInteger(1))
    return e.vec(element);
  return {};
}

/// Operations that mean the same on lanes.
static bool worksOnLanes(Operation *op) {
  return isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp,
             arith::NegFOp, arith::MaximumFOp, arith::MinimumFOp,
             arith::MaxNumFOp, arith::MinNumFOp, arith::CmpFOp, arith::SelectOp,
             arith::SIToFPOp, arith::FPToSIOp, arith::AddIOp, arith::SubIOp,
             arith::MulIOp, arith::CmpIOp, arith::AndIOp, arith::OrIOp,
             arith::XOrIOp, arith::MaxSIOp, arith::MinSIOp, math::AbsFOp,
             math::FmaOp>(op);
}

/// What |op| makes of lanes of its operands, or null for an unknown operation.
static Value onLanes(Emitter &e, Operation *op, ArrayRef<Value> x) {
  if (isa<arith::ExtFOp, arith::TruncFOp>(op))
    return x[0];
  if (isa<math::ExpOp>(op))
    return e.exp(x[0]);
  if (isa<math::LogOp>(op))
    return e.log(x[0]);
  if (isa<math::SqrtOp>(op))
    return e.sqrt(x[0]);
  if (isa<math::RsqrtOp>(op))
    return e.rsqrt(x[0]);
  if (isa<math::TanhOp>(op))
    return e.tanh(x[0]);
  if (isa<math::ErfOp>(op))
    return e.erf(x[0]);
  if (isa<math::SinOp>(op))
    return e.sinCos(x[0]).first;
  if (isa<math::CosOp>(op))
    return e.sinCos(x[0]).second;
  if (!worksOnLanes(op))
    return {};
  IRMapping map;
  map.map(op->getOperands(), x);
  Operation *copy = e.b.clone(*op, map);
  copy->getResult(0).setType(lanesOfTensor(e, op->getResult(0).getType()));
  return copy->getResult(0);
}

static bool isKnown(Operation *op) {
  return worksOnLanes(op) ||
         isa<arith::ExtFOp, arith::TruncFOp, math::ExpOp, math::LogOp,
             math::SqrtOp, math::RsqrtOp, math::TanhOp, math::ErfOp,
             math::SinOp, math::CosOp>(op);
}

LogicalResult moe::cpu::emitElementwise(EntryContext &c, Operation *op) {
  if (!isKnown(op))
    return op->emitOpError("has no code for this target");
  Emitter &e = c.e;
  Value result = op->getResult(0);
  for (Type type :
       llvm::concat<const Type>(op->getOperandTypes(), op->getResultTypes()))
    if (!lanesOfTensor(e, type))
      return op->emitOpError("has no code for elements of ") << type;
  if (!isRows(result))
    return op->emitOpError(
               "has no code for a tensor of more than one dynamic dimension: ")
           << result.getType();
  const Buffer &y = c.result(op);
  parallelElements(c, result, [&](Value index, Value mask) {
    SmallVector<Value> lanes;
    for (Value operand : op->getOperands()) {
      auto before = llvm::find(op->getOperands(), operand);
      if (size_t at = before - op->operand_begin(); at < lanes.size())
        lanes.push_back(lanes[at]);
      else if (TypedAttr splat = splatOf(operand))
        lanes.push_back(splatLanes(e, splat));
      else
        lanes.push_back(loadAt(e, c.buffer(operand), index, mask));
    }
    storeAt(e, y, index, onLanes(e, op, lanes), mask);
  });
  return success();
}

namespace {
LogicalResult emitActivate(EntryContext &c, Operation *op) {
  auto activate = cast<nn::ActivateOp>(op);
  Emitter &e = c.e;
  const Buffer &x = c.buffer(activate.getX()), &y = c.result(op);
  parallelElements(c, activate.getY(), [&](Value index, Value mask) {
    storeAt(e, y, index,
            e.activation(activate.getAct(), loadAt(e, x, index, mask)), mask);
  });
  return success();
}

LogicalResult emitCopy(EntryContext &c, Operation *op) {
  Emitter &e = c.e;
  const Buffer &x = c.buffer(op->getOperand(0)), &y = c.result(op);
  parallelElements(c, op->getResult(0), [&](Value index, Value mask) {
    storeAt(e, y, index, loadAt(e, x, index, mask), mask);
  });
  return success();
}

LogicalResult emitGlu(EntryContext &c, Operation *op) {
  auto glu = cast<nn::GluOp>(op);
  Emitter &e = c.e;
  int64_t width = lastDim(glu.getY());
  Buffer x = asRows(c, glu.getX(), 2 * width), y = asRows(c, glu.getY(), width);
  float limit = glu.getLimit().convertToDouble(),
        shift = glu.getShift().convertToDouble();
  e.parallel(y.rows, Emitter::grainFor(2 * width), [&](Value row) {
    e.lanes(width, [&](Value column, Value mask) {
      Value gate = e.load(x, row, column, mask);
      Value up = e.load(x, row, e.add(column, e.i64(width)), mask);
      if (limit > 0) {
        Value most = e.splatF32(limit);
        gate = e.minF(gate, most);
        up = e.maxF(e.minF(up, most), e.splatF32(-limit));
      }
      if (shift != 0)
        up = e.addF(up, e.splatF32(shift));
      gate = e.activation(glu.getAct(), gate);
      e.store(y, row, column, e.mulF(e.roundTo(gate, x.element), up), mask);
    });
  });
  return success();
}
} // namespace

void moe::cpu::addElementwiseKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::ActivateOp::getOperationName()] = {emitActivate};
  table[nn::GluOp::getOperationName()] = {emitGlu};
  table[StopGradientOp::getOperationName()] = {emitCopy};
  // Where the operand lies in a buffer of the caller or among the parameters.
  table[nn::ReshapeOp::getOperationName()] = {emitCopy};
}
