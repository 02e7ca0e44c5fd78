// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/gpu/WarpEmitter.h"

using namespace mlir;
using namespace mlir::moe::device;

static constexpr unsigned kGlobal = 1, kShared = 3;
static constexpr int32_t kAllLanes = -1;

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

LLVM::LLVMFuncOp WarpEmitter::kernel(StringRef name, ArrayRef<Access> pointers,
                                     int64_t integers, int64_t threads) {
  auto ptr = LLVM::LLVMPointerType::get(b.getContext(), kGlobal);
  SmallVector<Type> types(pointers.size(), ptr);
  types.append(integers, i64Type());
  current = LLVM::LLVMFuncOp::create(
      b, loc, name,
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                  types));
  current->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  current->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                   b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  for (auto [i, access] : llvm::enumerate(pointers)) {
    current.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(),
                       b.getUnitAttr());
    current.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                       b.getI64IntegerAttr(16));
    if (access == Access::Read)
      current.setArgAttr(i, LLVM::LLVMDialect::getReadonlyAttrName(),
                         b.getUnitAttr());
  }
  Block *entry = current.addEntryBlock(b);
  b.setInsertionPointToStart(entry);
  arguments.assign(entry->args_begin(), entry->args_end());
  threadId = NVVM::ThreadIdXOp::create(b, loc, b.getI32Type());
  laneId = andI(threadId, i32(kWarp - 1));
  warpId = shr(threadId, i32(5));
  return current;
}

void WarpEmitter::finish() { LLVM::ReturnOp::create(b, loc, ValueRange()); }

Value WarpEmitter::shared(StringRef name, Type element, int64_t count) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(current);
  std::string symbol = (current.getName() + "_" + name).str();
  auto global = LLVM::GlobalOp::create(
      b, loc, LLVM::LLVMArrayType::get(element, count), /*isConstant=*/false,
      LLVM::Linkage::Internal, symbol, Attribute(), /*alignment=*/16, kShared);
  b.setInsertionPointToStart(&current.getBody().front());
  return LLVM::AddressOfOp::create(b, loc, global);
}

Value WarpEmitter::block() {
  return toI64(NVVM::BlockIdXOp::create(b, loc, b.getI32Type()));
}

void WarpEmitter::barrier() { NVVM::Barrier0Op::create(b, loc); }

void WarpEmitter::syncWarp() {
  NVVM::SyncWarpOp::create(b, loc, i32(kAllLanes));
}

void WarpEmitter::overThreads(int64_t count, function_ref<void(Value)> body) {
  auto size = current->getAttrOfType<DenseI32ArrayAttr>(
      NVVM::NVVMDialect::getReqntidAttrName());
  loop(toI64(threadId), i64(count), size[0], body);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value WarpEmitter::at(Value base, Value index, Type element) {
  return LLVM::GEPOp::create(b, loc, base.getType(), element, base,
                             ArrayRef<LLVM::GEPArg>{index});
}

SmallVector<Value> WarpEmitter::loadRow(Value ptr, Type element,
                                        int64_t count) {
  if (count == 1)
    return {load(ptr, element)};
  SmallVector<Value> row;
  auto part = [&](Value from, Type storage, int64_t size) {
    auto type = VectorType::get({size}, storage);
    Value all = LLVM::LoadOp::create(b, loc, type, from, 4 * size);
    for (int64_t i = 0; i < size; ++i)
      row.push_back(LLVM::ExtractElementOp::create(b, loc, all, i32(i)));
  };
  if (element.isF32()) {
    for (int64_t i = 0; i < count; i += 4)
      part(at(ptr, i64(i), element), element, std::min<int64_t>(count - i, 4));
    return row;
  }
  // Two bf16 to a word, the first in its lower half.
  part(ptr, b.getI32Type(), count / 2);
  SmallVector<Value> values;
  for (Value word : row) {
    values.push_back(number(shl(word, i32(16))));
    values.push_back(number(andI(word, i32(int32_t(0xffff0000)))));
  }
  return values;
}

//===----------------------------------------------------------------------===//
// Lanes
//===----------------------------------------------------------------------===//

Value WarpEmitter::shuffle(Value value, Value offset, NVVM::ShflKind kind) {
  // The clamp of `up` is the first lane, of the others the last.
  Value clamp = i32(kind == NVVM::ShflKind::up ? 0 : kWarp - 1);
  return NVVM::ShflOp::create(b, loc, value.getType(), i32(kAllLanes), value,
                              offset, clamp, kind, UnitAttr());
}

Value WarpEmitter::shuffleXor(Value value, int32_t mask) {
  return shuffle(value, i32(mask), NVVM::ShflKind::bfly);
}

Value WarpEmitter::shuffleUp(Value value, int32_t by) {
  return shuffle(value, i32(by), NVVM::ShflKind::up);
}

Value WarpEmitter::shuffleFrom(Value value, Value lane) {
  return shuffle(value, lane, NVVM::ShflKind::idx);
}

Value WarpEmitter::maxOfWarpI(Value value) {
  return NVVM::ReduxOp::create(b, loc, value.getType(), value,
                               NVVM::ReduxKind::MAX, i32(kAllLanes));
}

Value WarpEmitter::minOfWarpI(Value value) {
  return NVVM::ReduxOp::create(b, loc, value.getType(), value,
                               NVVM::ReduxKind::MIN, i32(kAllLanes));
}

Value WarpEmitter::butterfly(Value value,
                             function_ref<Value(Value, Value)> combine) {
  for (int32_t mask = kWarp / 2; mask; mask /= 2)
    value = combine(value, shuffleXor(value, mask));
  return value;
}

Value WarpEmitter::sumOfWarp(Value value) {
  return butterfly(value, [&](Value a, Value c) { return addF(a, c); });
}

Value WarpEmitter::maxOfWarp(Value value) {
  return butterfly(value, [&](Value a, Value c) { return maxF(a, c); });
}

Value WarpEmitter::minOfWarp(Value value) {
  return butterfly(value, [&](Value a, Value c) { return minF(a, c); });
}

Value WarpEmitter::lanesLike(Value value) {
  return NVVM::MatchSyncOp::create(b, loc, b.getI32Type(), i32(kAllLanes),
                                   value, NVVM::MatchSyncKind::any);
}

Value WarpEmitter::elementOf(int64_t reg) {
  return reg ? add(laneId, i32(reg * kWarp)) : laneId;
}

Value WarpEmitter::bits(Value f32) {
  return arith::BitcastOp::create(b, loc, b.getI32Type(), f32);
}

Value WarpEmitter::number(Value i32) {
  return arith::BitcastOp::create(b, loc, b.getF32Type(), i32);
}
