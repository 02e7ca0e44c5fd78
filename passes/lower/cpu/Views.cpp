// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

static int64_t product(ArrayRef<int64_t> sizes) {
  int64_t all = 1;
  for (int64_t size : sizes)
    all *= size;
  return all;
}

bool moe::cpu::isRows(Value tensor) {
  auto type = tensorOf(tensor);
  return !type.getRank() ||
         !llvm::any_of(type.getShape().drop_front(), ShapedType::isDynamic);
}

Buffer moe::cpu::asRows(EntryContext &c, Value tensor, int64_t width) {
  auto type = tensorOf(tensor);
  Buffer buffer = c.buffer(tensor);
  if (!type.getRank() || !type.isDynamicDim(0)) {
    buffer.rows = c.e.i64(product(type.getShape()) / width);
  } else if (int64_t times = product(type.getShape().drop_front()) / width;
             times != 1) {
    buffer.rows = c.e.mul(buffer.rows, c.e.i64(times));
    buffer.bound = buffer.bound.times(times);
  }
  buffer.width = width;
  return buffer;
}

FailureOr<AxisView> AxisView::get(EntryContext &c, Operation *op, Value tensor,
                                  int64_t axis) {
  if (!isRows(tensor))
    return op->emitOpError(
               "has no code for a tensor of more than one dynamic dimension: ")
           << tensor.getType();
  ArrayRef<int64_t> shape = tensorOf(tensor).getShape();
  bool dynamic = ShapedType::isDynamic(shape[0]);
  AxisView view;
  view.size = axis == 0 && dynamic ? -1 : shape[axis];
  view.inner = product(shape.drop_front(axis + 1));
  view.n = view.size < 0 ? c.buffer(tensor).rows : c.e.i64(view.size);
  if (axis > 0 && dynamic)
    view.outer = c.e.mul(c.buffer(tensor).rows,
                         c.e.i64(product(shape.slice(1, axis - 1))));
  else
    view.outer = c.e.i64(product(shape.take_front(axis)));
  return view;
}

TypedAttr moe::cpu::splatOf(Value tensor) {
  Operation *op = tensor.getDefiningOp();
  while (isa_and_nonnull<nn::BroadcastOp, nn::ReshapeOp>(op))
    op = op->getOperand(0).getDefiningOp();
  if (auto fill = dyn_cast_or_null<nn::FillOp>(op)) {
    Type element = tensorOf(fill.getY()).getElementType();
    if (isa<FloatType>(element))
      return FloatAttr::get(element, fill.getNumber());
    return IntegerAttr::get(element, int64_t(fill.getNumber()));
  }
  auto constant = dyn_cast_or_null<arith::ConstantOp>(op);
  auto elements = constant ? dyn_cast<DenseElementsAttr>(constant.getValue())
                           : DenseElementsAttr();
  return elements && elements.isSplat() ? elements.getSplatValue<TypedAttr>()
                                        : TypedAttr();
}

Value moe::cpu::splatLanes(Emitter &e, TypedAttr value) {
  if (auto number = dyn_cast<FloatAttr>(value)) {
    APFloat narrow = number.getValue();
    bool lost;
    narrow.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven, &lost);
    return e.splatF32(narrow.convertToFloat());
  }
  int64_t integer = cast<IntegerAttr>(value).getValue().getSExtValue();
  if (value.getType().isInteger(1))
    return arith::ConstantOp::create(
        e.b, e.loc, DenseElementsAttr::get(e.vecI1(), integer != 0));
  return e.splatI32(integer);
}

Value moe::cpu::constantF(Emitter &e, Value like, float value) {
  return isa<VectorType>(like.getType()) ? e.splatF32(value) : e.f32(value);
}

Value moe::cpu::constantI(Emitter &e, Value like, int32_t value) {
  return isa<VectorType>(like.getType()) ? e.splatI32(value) : e.i32(value);
}

Value moe::cpu::lanesBefore(Emitter &e, Value at, Value end) {
  Value left = e.toI32(e.minI(e.sub(end, at), e.i64(kLanes)));
  return e.cmp(arith::CmpIPredicate::slt, e.iota(), e.splat(left));
}

SmallVector<Value> moe::cpu::lanesOf(
    Emitter &e, int64_t size, Value n, ValueRange init,
    function_ref<SmallVector<Value>(Value, Value, ValueRange)> body) {
  if (size >= 0)
    return e.lanes(size, init, body);
  return e.loop(e.i64(0), n, kLanes, init,
                [&](Value column, ValueRange carried) {
                  return body(column, lanesBefore(e, column, n), carried);
                });
}

void moe::cpu::lanesOf(Emitter &e, int64_t size, Value n,
                       function_ref<void(Value, Value)> body) {
  if (size >= 0)
    return e.lanes(size, body);
  e.loop(e.i64(0), n, kLanes,
         [&](Value column) { body(column, lanesBefore(e, column, n)); });
}

SmallVector<Value> moe::cpu::shortLanes(
    Emitter &e, int64_t width, ValueRange init,
    function_ref<SmallVector<Value>(Value, Value, ValueRange)> body) {
  if (width > 16 * kLanes)
    return e.lanes(width, init, body);
  SmallVector<Value> values = llvm::to_vector(init);
  for (int64_t column = 0; column < width; column += kLanes)
    values = body(
        e.i64(column),
        width - column < kLanes ? e.tailMask(width - column) : Value(), values);
  return values;
}

void moe::cpu::parallelElements(EntryContext &c, Value tensor,
                                function_ref<void(Value, Value)> body) {
  Emitter &e = c.e;
  auto type = tensorOf(tensor);
  int64_t width = type.getRank() ? product(type.getShape().drop_front()) : 1;
  if (width >= 64 || width % kLanes == 0) {
    e.parallel(asRows(c, tensor, width).rows, Emitter::grainFor(width),
               [&](Value row) {
                 Value start = e.mul(row, e.i64(width));
                 e.lanes(width, [&](Value column, Value mask) {
                   body(e.add(start, column), mask);
                 });
               });
    return;
  }
  // Short rows fill lanes together.
  Value count = asRows(c, tensor, 1).rows;
  Value chunks = e.udiv(e.add(count, e.i64(kLanes - 1)), e.i64(kLanes));
  e.parallel(chunks, Emitter::grainFor(kLanes), [&](Value chunk) {
    Value index = e.mul(chunk, e.i64(kLanes));
    body(index, lanesBefore(e, index, count));
  });
}
