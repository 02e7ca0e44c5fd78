// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows of one token: elementwise operations, softmax, reductions, broadcasts.
#include "passes/lower/gpu/RowEmitter.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/TypeSwitch.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::device;

static constexpr float kInf = std::numeric_limits<float>::infinity();

/// Elements of a row of |type|; 0 for one value per token.
static int64_t widthOf(RankedTensorType type) {
  if (type.getRank() == 2)
    return type.getDimSize(1);
  return type.getRank() == 1 && !type.isDynamicDim(0) ? type.getDimSize(0) : 0;
}

/// The type of a register with elements of |type|, or null.
static Type registerType(RankedTensorType type) {
  Type element = type.getElementType();
  if (element.isF32() || element.isBF16())
    return Float32Type::get(type.getContext());
  return element.isInteger(32) || element.isInteger(1) ? element : Type();
}

static bool isRow(RankedTensorType type) {
  return type.getRank() <= 2 && widthOf(type) >= 0 &&
         widthOf(type) <= kMaxExperts;
}

LogicalResult RowEmitter::run(Value row) {
  token = row;
  values.clear();
  Block &body = op.getBody().front();
  for (auto [argument, pointer] : llvm::zip(body.getArguments(), pointers)) {
    auto type = cast<RankedTensorType>(argument.getType());
    if (type.getRank() == 1 && type.hasStaticShape() && registerType(type) &&
        isRow(type))
      values[argument] = {loadVector(pointer, type), widthOf(type)};
  }
  for (Operation &inner : body.without_terminator())
    if (failed(emit(&inner)))
      return failure();
  return success();
}

LogicalResult RowEmitter::emit(Operation *inner) {
  // The token row stays in memory until a product reads it.
  if (llvm::all_of(inner->getResults(), [&](Value v) { return isTokenRow(v); }))
    return success();
  for (Type type : inner->getResultTypes())
    if (auto tensor = cast<RankedTensorType>(type);
        !registerType(tensor) || !isRow(tensor))
      return inner->emitOpError("has no code for GPUs with a result of ")
             << type;
  // Products read memory; of what a broadcast is like, the shape alone matters.
  auto linear = dyn_cast<nn::LinearOp>(inner);
  auto isShape = [&](OpOperand &operand) {
    return isa<nn::FillOp>(inner) ||
           (isa<nn::BroadcastOp>(inner) && operand.getOperandNumber() == 1);
  };
  for (OpOperand &use : inner->getOpOperands())
    if (Value operand = use.get();
        !values.contains(operand) && !isShape(use) &&
        !(linear && (operand == linear.getX() || operand == linear.getW())))
      return inner->emitOpError("has no code for GPUs with an operand of ")
             << use.get().getType() << " from memory";
  return llvm::TypeSwitch<Operation *, LogicalResult>(inner)
      .Case([&](nn::LinearOp o) { return this->linear(o); })
      .Case([&](nn::SoftmaxOp o) { return softmax(o); })
      .Case([&](nn::ReduceOp o) { return reduce(o); })
      .Case([&](nn::BroadcastOp o) { return broadcast(o); })
      .Case([&](arith::ConstantOp o) { return constant(o); })
      .Case([&](nn::FillOp o) { return fill(o); })
      .Case([&](SelectOp o) { return select(o); })
      .Case([&](MaskChoicesOp o) { return maskChoices(o); })
      .Case([&](PickOp o) { return pick(o); })
      .Case([&](ScatterPickOp o) { return scatterPick(o); })
      .Case([&](GroupMaskOp o) { return groupMask(o); })
      .Default([&](Operation *o) { return elementwise(o); });
}

LogicalResult RowEmitter::bind(Operation *inner, Registers regs) {
  auto type = cast<RankedTensorType>(inner->getResult(0).getType());
  if (isa<FloatType>(type.getElementType()))
    for (Value &reg : regs)
      reg = e.roundTo(reg, type.getElementType());
  values[inner->getResult(0)] = {std::move(regs), widthOf(type)};
  return success();
}

bool RowEmitter::isTokenRow(Value tensor) {
  if (auto extended = tensor.getDefiningOp<arith::ExtFOp>())
    tensor = extended.getIn();
  return tensor == op.getBody().getArgument(0);
}

RowEmitter::Registers RowEmitter::loadVector(Value pointer,
                                             RankedTensorType type) {
  Registers regs;
  for (int64_t r = 0; r < registersOf(widthOf(type)); ++r) {
    Value index = e.minI(e.elementOf(r), e.i32(widthOf(type) - 1));
    regs.push_back(e.load(e.at(pointer, e.toI64(index), type.getElementType()),
                          type.getElementType()));
  }
  return regs;
}

//===----------------------------------------------------------------------===//
// Element by element
//===----------------------------------------------------------------------===//

/// What |op| makes of registers, or null for an unknown operation.
static Value onRegisters(WarpEmitter &e, Operation *op, ArrayRef<Value> x) {
  if (isa<arith::ExtFOp, arith::TruncFOp, StopGradientOp>(op))
    return x[0];
  if (auto activate = dyn_cast<nn::ActivateOp>(op))
    return e.activation(activate.getAct(), x[0]);
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
  if (!isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp,
           arith::NegFOp, arith::MaximumFOp, arith::MinimumFOp, arith::CmpFOp,
           arith::SelectOp, arith::SIToFPOp, arith::FPToSIOp, arith::AddIOp,
           arith::SubIOp, arith::MulIOp, arith::CmpIOp, arith::AndIOp,
           arith::OrIOp, arith::XOrIOp, arith::MaxSIOp, arith::MinSIOp,
           math::AbsFOp, math::FmaOp>(op))
    return {};
  IRMapping map;
  map.map(op->getOperands(), x);
  // Every use of an operand is the same tensor, hence the same register.
  Operation *copy = e.b.clone(*op, map);
  copy->getResult(0).setType(
      registerType(cast<RankedTensorType>(op->getResult(0).getType())));
  return copy->getResult(0);
}

LogicalResult RowEmitter::elementwise(Operation *inner) {
  Registers regs;
  size_t count = inner->getNumOperands() ? operand(inner, 0).regs.size() : 0;
  for (size_t r = 0; r < count; ++r) {
    Registers x;
    for (unsigned i = 0; i < inner->getNumOperands(); ++i)
      x.push_back(operand(inner, i).regs[r]);
    regs.push_back(onRegisters(e, inner, x));
  }
  if (regs.empty() || !regs.front())
    return inner->emitOpError("has no code for GPUs");
  return bind(inner, std::move(regs));
}

LogicalResult RowEmitter::constant(arith::ConstantOp inner) {
  auto dense = dyn_cast<DenseElementsAttr>(inner.getValue());
  if (!dense || !dense.isSplat())
    return inner.emitOpError("has no code for GPUs with different elements");
  auto type = cast<RankedTensorType>(inner.getType());
  Value value;
  if (isa<FloatType>(type.getElementType()))
    value = e.f32(dense.getSplatValue<APFloat>().convertToDouble());
  else
    value = arith::ConstantOp::create(
        e.b, e.loc,
        e.b.getIntegerAttr(type.getElementType(),
                           dense.getSplatValue<APInt>()));
  int64_t count = std::max<int64_t>(1, registersOf(widthOf(type)));
  return bind(inner, Registers(count, value));
}

LogicalResult RowEmitter::fill(nn::FillOp inner) {
  auto type = cast<RankedTensorType>(inner.getY().getType());
  Value value = isa<FloatType>(type.getElementType())
                    ? e.f32(inner.getNumber())
                    : e.i32(int32_t(inner.getNumber()));
  int64_t count = std::max<int64_t>(1, registersOf(widthOf(type)));
  return bind(inner, Registers(count, value));
}

LogicalResult RowEmitter::broadcast(nn::BroadcastOp inner) {
  const RowValue &x = value(inner.getX());
  int64_t width = widthOf(cast<RankedTensorType>(inner.getY().getType()));
  if (x.width == width)
    return bind(inner, x.regs);
  return bind(inner, Registers(registersOf(width), x.regs[0]));
}

//===----------------------------------------------------------------------===//
// Over a row
//===----------------------------------------------------------------------===//

Value RowEmitter::inside(int64_t width, int64_t reg, Value value, Value other) {
  int64_t end = width - reg * kWarp;
  return end >= kWarp ? value : e.select(e.isBefore(end), value, other);
}

Value RowEmitter::sum(const RowValue &row) {
  Value zero = e.f32(0), total;
  for (auto [r, reg] : llvm::enumerate(row.regs)) {
    Value term = inside(row.width, r, reg, zero);
    total = total ? e.addF(total, term) : term;
  }
  return e.sumOfWarp(total);
}

Value RowEmitter::largest(const RowValue &row) {
  Value best;
  for (auto [r, reg] : llvm::enumerate(row.regs)) {
    Value own = inside(row.width, r, reg, e.f32(-kInf));
    best = best ? e.maxF(best, own) : own;
  }
  return e.maxOfWarp(best);
}

Value RowEmitter::smallest(const RowValue &row) {
  Value best;
  for (auto [r, reg] : llvm::enumerate(row.regs)) {
    Value own = inside(row.width, r, reg, e.f32(kInf));
    best = best ? e.minF(best, own) : own;
  }
  return e.minOfWarp(best);
}

LogicalResult RowEmitter::softmax(nn::SoftmaxOp inner) {
  const RowValue &x = value(inner.getX());
  Value most = largest(x);
  RowValue powers{{}, x.width};
  for (Value reg : x.regs)
    powers.regs.push_back(e.exp(e.subF(reg, most)));
  Value total = sum(powers), inverse = e.divF(e.f32(1), total);
  Value negated = arith::NegFOp::create(e.b, e.loc, total);
  // Markstein's division: the rounding of a true quotient without the branches
  // of one, as the sum lies between 1 and the number of experts.
  for (Value &reg : powers.regs) {
    Value quotient = e.mulF(reg, inverse);
    Value rest = e.fma(negated, quotient, reg);
    reg = e.fma(rest, inverse, quotient);
  }
  return bind(inner, std::move(powers.regs));
}

LogicalResult RowEmitter::reduce(nn::ReduceOp inner) {
  const RowValue &x = value(inner.getX());
  switch (inner.getKind()) {
  case nn::ReduceKind::Sum:
    return bind(inner, {sum(x)});
  case nn::ReduceKind::Mean:
    return bind(inner, {e.divF(sum(x), e.f32(x.width))});
  case nn::ReduceKind::Max:
    return bind(inner, {largest(x)});
  case nn::ReduceKind::Min:
    return bind(inner, {smallest(x)});
  }
  llvm_unreachable("a reduction");
}
