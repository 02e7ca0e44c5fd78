// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/Emitter.h"

using namespace mlir;
using namespace mlir::moe::cpu;

FailureOr<Isa> Isa::get(StringRef name) {
  if (name == "x86-64-v4")
    return Isa{12, 2}; // 24 accumulators of 32 zmm
  if (name == "amx")
    return Isa{12, 2, /*tiles=*/true};
  if (name == "x86-64-v3")
    return Isa{6, 1}; // 12 accumulators (two ymm a vector) of 16
  return failure();
}

int64_t PackedWeight::panelBytes() const {
  if (format == "f32.n32")
    return k * kPanel * 4;
  if (format == "bf16.n32")
    return k * kPanel * 2;
  return (k + 31) / 32 * 32 * kPanel * 2; // bf16.amx
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

Value Emitter::i64(int64_t value) {
  return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
}
Value Emitter::i32(int32_t value) {
  return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
}
Value Emitter::f32(float value) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
}
Value Emitter::splatF32(float value) {
  return arith::ConstantOp::create(b, loc,
                                   DenseElementsAttr::get(vecF32(), value));
}
Value Emitter::splatI32(int32_t value) {
  return arith::ConstantOp::create(b, loc,
                                   DenseElementsAttr::get(vecI32(), value));
}
Value Emitter::splat(Value scalar) {
  return vector::BroadcastOp::create(b, loc, vec(scalar.getType()), scalar);
}

Value Emitter::iota() {
  SmallVector<int32_t> values;
  for (int32_t i = 0; i < kLanes; ++i)
    values.push_back(i);
  return arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(vecI32(), ArrayRef<int32_t>(values)));
}

Value Emitter::tailMask(int64_t count) {
  SmallVector<bool> values;
  for (int64_t i = 0; i < kLanes; ++i)
    values.push_back(i < count);
  return arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(vecI1(), ArrayRef<bool>(values)));
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

int64_t Emitter::bytesOf(Type element) {
  return std::max<int64_t>(1, element.getIntOrFloatBitWidth() / 8);
}

Value Emitter::offsetBytes(Value ptr, Value bytes) {
  return LLVM::GEPOp::create(b, loc, ptrType(), b.getI8Type(), ptr,
                             ArrayRef<LLVM::GEPArg>{bytes});
}

Value Emitter::offset(Value ptr, Value elements, Type storage) {
  Type type = storage.isInteger(1) ? b.getI8Type() : storage;
  return LLVM::GEPOp::create(b, loc, ptrType(), type, ptr,
                             ArrayRef<LLVM::GEPArg>{elements});
}

Value Emitter::address(const Buffer &buffer, Value row, Value column) {
  Value index = buffer.width == 1 ? row : mul(row, i64(buffer.width));
  if (column)
    index = add(index, column);
  return offset(buffer.base, index, buffer.element);
}

Value Emitter::loadPtr(Value ptr) {
  return LLVM::LoadOp::create(b, loc, ptrType(), ptr, 8);
}

static bool isHalf(Type element) { return element.isBF16() || element.isF16(); }

/// i16 lanes or scalar of a half format as f32.
static Value widen(Emitter &e, Value bits, Type element) {
  Type i32 = e.b.getI32Type(), f32 = e.b.getF32Type(), half = element;
  if (auto vector = dyn_cast<VectorType>(bits.getType())) {
    i32 = vector.clone(i32);
    f32 = vector.clone(f32);
    half = vector.clone(half);
  }
  if (element.isF16())
    return arith::ExtFOp::create(
        e.b, e.loc, f32,
        Value(arith::BitcastOp::create(e.b, e.loc, half, bits)));
  Value wide = arith::ExtUIOp::create(e.b, e.loc, i32, bits);
  Value sixteen = isa<VectorType>(i32) ? e.splatI32(16) : e.i32(16);
  return arith::BitcastOp::create(
      e.b, e.loc, f32, arith::ShLIOp::create(e.b, e.loc, wide, sixteen));
}

/// f32 as the 32 bits whose upper half is the nearest bf16, ties to even; NaN stays NaN.
static Value roundBf16(Emitter &e, Value value) {
  bool lanes = isa<VectorType>(value.getType());
  Type i32 = lanes ? Type(e.vecI32()) : e.b.getI32Type();
  auto constant = [&](int32_t c) { return lanes ? e.splatI32(c) : e.i32(c); };
  Value bits = arith::BitcastOp::create(e.b, e.loc, i32, value);
  Value odd = arith::AndIOp::create(
      e.b, e.loc, arith::ShRUIOp::create(e.b, e.loc, bits, constant(16)),
      constant(1));
  Value rounded = e.add(bits, e.add(odd, constant(0x7fff)));
  Value quiet = arith::OrIOp::create(e.b, e.loc, bits, constant(0x400000));
  return e.select(e.cmpF(arith::CmpFPredicate::UNO, value, value), quiet,
                  rounded);
}

Value Emitter::roundTo(Value lanes, Type element) {
  if (element.isF32())
    return lanes;
  bool vector = llvm::isa<VectorType>(lanes.getType());
  if (element.isBF16()) {
    Value high = arith::AndIOp::create(b, loc, roundBf16(*this, lanes),
                                       vector ? splatI32(0xffff0000)
                                              : this->i32(0xffff0000));
    return arith::BitcastOp::create(b, loc, lanes.getType(), high);
  }
  Type half = vector ? Type(vec(element)) : element;
  return arith::ExtFOp::create(
      b, loc, lanes.getType(),
      Value(arith::TruncFOp::create(b, loc, half, lanes)));
}

Value Emitter::loadScalar(Value ptr, Type element) {
  if (isHalf(element))
    return widen(*this, LLVM::LoadOp::create(b, loc, b.getI16Type(), ptr, 2),
                 element);
  if (element.isInteger(1)) {
    Value byte = LLVM::LoadOp::create(b, loc, b.getI8Type(), ptr, 1);
    return arith::TruncIOp::create(b, loc, b.getI1Type(), byte);
  }
  return LLVM::LoadOp::create(b, loc, element, ptr, bytesOf(element));
}

/// The 16 bits of f32 |value| in a half format.
static Value narrow(Emitter &e, Value value, Type element) {
  bool lanes = isa<VectorType>(value.getType());
  Type i16 = lanes ? Type(e.vec(e.b.getI16Type())) : e.b.getI16Type();
  if (element.isF16()) {
    Type half = lanes ? Type(e.vec(element)) : element;
    return arith::BitcastOp::create(
        e.b, e.loc, i16,
        Value(arith::TruncFOp::create(e.b, e.loc, half, value)));
  }
  Value sixteen = lanes ? e.splatI32(16) : e.i32(16);
  return arith::TruncIOp::create(
      e.b, e.loc, i16,
      arith::ShRUIOp::create(e.b, e.loc, roundBf16(e, value), sixteen));
}

void Emitter::storeScalar(Value ptr, Type element, Value value) {
  if (isHalf(element))
    value = narrow(*this, value, element);
  if (element.isInteger(1))
    value = arith::ExtUIOp::create(b, loc, b.getI8Type(), value);
  LLVM::StoreOp::create(b, loc, value, ptr, bytesOf(element));
}

Value Emitter::loadLanes(Value ptr, Type element, Value mask) {
  Type storage = isHalf(element)        ? Type(b.getI16Type())
                 : element.isInteger(1) ? Type(b.getI8Type())
                                        : element;
  VectorType type = vec(storage);
  Value lanes;
  if (mask) {
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
    lanes = LLVM::MaskedLoadOp::create(b, loc, type, ptr, mask, zero,
                                       uint32_t(bytesOf(element)),
                                       /*nontemporal=*/false);
  } else {
    lanes = LLVM::LoadOp::create(b, loc, type, ptr, bytesOf(element));
  }
  if (isHalf(element))
    return widen(*this, lanes, element);
  if (element.isInteger(1))
    return arith::TruncIOp::create(b, loc, vecI1(), lanes);
  return lanes;
}

/// bf16 lanes taken as halves of the 32 bits, not by a truncation: LLVM 22 makes
/// of a truncation and a masked store of one known lane a store of 32 bits.
static Value upperHalves(Emitter &e, Value lanes) {
  Value halves = vector::BitCastOp::create(
      e.b, e.loc, VectorType::get({2 * kLanes}, e.b.getI16Type()),
      roundBf16(e, lanes));
  SmallVector<int64_t> odd;
  for (int64_t lane = 0; lane < kLanes; ++lane)
    odd.push_back(2 * lane + 1);
  return vector::ShuffleOp::create(e.b, e.loc, halves, halves, odd);
}

void Emitter::storeLanes(Value ptr, Type element, Value value, Value mask) {
  if (mask && element.isBF16())
    value = upperHalves(*this, value);
  else if (isHalf(element))
    value = narrow(*this, value, element);
  if (element.isInteger(1))
    value = arith::ExtUIOp::create(b, loc, vec(b.getI8Type()), value);
  if (mask)
    LLVM::MaskedStoreOp::create(b, loc, value, ptr, mask,
                                uint32_t(bytesOf(element)));
  else
    LLVM::StoreOp::create(b, loc, value, ptr, bytesOf(element));
}

Value Emitter::scratch(int64_t bytes) {
  // Where the body of a parallel loop starts, so that outlining takes it along.
  Operation *scope = b.getInsertionBlock()->getParentOp();
  while (scope && !llvm::isa<LLVM::LLVMFuncOp>(scope) &&
         !scope->hasAttr("moe.grain"))
    scope = scope->getParentOp();
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&scope->getRegion(0).front());
  Value size = i64(bytes);
  return LLVM::AllocaOp::create(b, loc, ptrType(), b.getI8Type(), size, 64);
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

void Emitter::loop(Value lower, Value upper, int64_t step,
                   function_ref<void(Value)> body) {
  auto op = scf::ForOp::create(b, loc, lower, upper, i64(step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.getBody());
  body(op.getInductionVar());
}

SmallVector<Value>
Emitter::loop(Value lower, Value upper, int64_t step, ValueRange init,
              function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto op = scf::ForOp::create(b, loc, lower, upper, i64(step), init);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.getBody());
  SmallVector<Value> next = body(op.getInductionVar(), op.getRegionIterArgs());
  scf::YieldOp::create(b, loc, next);
  return SmallVector<Value>(op.getResults());
}

void Emitter::ifThen(Value condition, function_ref<void()> body) {
  auto op = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.thenBlock());
  body();
}

SmallVector<Value> Emitter::ifElse(Value condition,
                                   function_ref<SmallVector<Value>()> yes,
                                   function_ref<SmallVector<Value>()> no) {
  auto op = scf::IfOp::create(
      b, loc, condition,
      [&](OpBuilder &, Location) {
        SmallVector<Value> values = yes();
        scf::YieldOp::create(b, loc, values);
      },
      [&](OpBuilder &, Location) {
        SmallVector<Value> values = no();
        scf::YieldOp::create(b, loc, values);
      });
  return SmallVector<Value>(op.getResults());
}

void Emitter::parallel(Value count, int64_t grain,
                       function_ref<void(Value)> body) {
  auto op = scf::ForOp::create(b, loc, i64(0), count, i64(1));
  op->setAttr("moe.grain", b.getI64IntegerAttr(grain));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.getBody());
  body(op.getInductionVar());
}

void Emitter::lanes(int64_t width, function_ref<void(Value, Value)> body) {
  int64_t whole = width / kLanes * kLanes;
  if (whole == kLanes)
    body(i64(0), Value());
  else if (whole)
    loop(i64(0), i64(whole), kLanes,
         [&](Value column) { body(column, Value()); });
  if (width > whole)
    body(i64(whole), tailMask(width - whole));
}

SmallVector<Value> Emitter::lanes(
    int64_t width, ValueRange init,
    function_ref<SmallVector<Value>(Value, Value, ValueRange)> body) {
  int64_t whole = width / kLanes * kLanes;
  SmallVector<Value> values(init.begin(), init.end());
  if (whole == kLanes)
    values = body(i64(0), Value(), values);
  else if (whole)
    values = loop(i64(0), i64(whole), kLanes, values,
                  [&](Value column, ValueRange carried) {
                    return body(column, Value(), carried);
                  });
  if (width > whole)
    values = body(i64(whole), tailMask(width - whole), values);
  return values;
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

Value Emitter::tree(Value lanes, function_ref<Value(Value, Value)> combine) {
  for (int64_t apart = kLanes / 2; apart >= 1; apart /= 2) {
    SmallVector<int64_t> order;
    for (int64_t i = 0; i < kLanes; ++i)
      order.push_back((i + apart) % kLanes);
    Value turned = vector::ShuffleOp::create(b, loc, lanes, lanes, order);
    lanes = combine(lanes, turned);
  }
  return vector::ExtractOp::create(b, loc, lanes, ArrayRef<int64_t>{0});
}

Value Emitter::sumLanes(Value lanes) {
  return tree(lanes, [&](Value a, Value c) { return addF(a, c); });
}
Value Emitter::maxLanes(Value lanes) {
  return tree(lanes, [&](Value a, Value c) { return maxF(a, c); });
}
Value Emitter::maxLanesI32(Value lanes) {
  return tree(lanes, [&](Value a, Value c) { return maxI(a, c); });
}
Value Emitter::minLanesI32(Value lanes) {
  return tree(lanes, [&](Value a, Value c) { return minI(a, c); });
}

//===----------------------------------------------------------------------===//
// Context and kernels
//===----------------------------------------------------------------------===//

template <typename Map, typename Key>
static const auto &find(const Map &map, Key key) {
  auto it = map.find(key);
  assert(it != map.end() && "value was not emitted before its user");
  return it->second;
}

const Buffer &EntryContext::buffer(Value tensor) const {
  return find(buffers, tensor);
}
const PlanBuffers &EntryContext::plan(Value plan) const {
  return find(plans, plan);
}
Value EntryContext::scratch(Operation *op) const { return find(scratches, op); }
Value EntryContext::cache(Value cache) const { return find(scalars, cache); }
Value EntryContext::layer(Value index) const { return find(scalars, index); }
PackedWeight EntryContext::weight(Value tensor) const {
  return find(weights, tensor);
}

const llvm::StringMap<KernelEntry> &moe::cpu::kernels() {
  static const llvm::StringMap<KernelEntry> table = [] {
    llvm::StringMap<KernelEntry> map;
    addMatmulKernels(map);
    addElementwiseKernels(map);
    addMovementKernels(map);
    addNormKernels(map);
    addRopeKernels(map);
    addAttentionKernels(map);
    addRoutingKernels(map);
    addSequenceKernels(map);
    addExchangeKernels(map);
    addMatmulGradKernels(map);
    addAttentionGradKernels(map);
    addRowGradKernels(map);
    addTrainingKernels(map);
    return map;
  }();
  return table;
}
