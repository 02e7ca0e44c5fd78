// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Entries that make plain rows of quantised tensors:
//   pack.f8e4m3.c7168.128x128.bf16 (numbers, rows, scales)
// reads numbers f8e4m3 of a matrix of 7168 columns with a scale for each block
// of 128 x 128 and writes their products in bf16, one row behind another. Dims:
// rows, columns, the first number, strides of rows and columns.
#include "dialect/nn/NnParams.h"
#include "passes/lower/cpu/ModuleTable.h"
#include "passes/lower/cpu/Pack.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
class ScaledRows {
public:
  ScaledRows(Emitter &e, nn::SourceAttr source, Type element)
      : e(e), scaled(source.getScaled()), columns(nn::scaledColumns(source)),
        element(element) {}

  void emit(Value buffers, Value dims) {
    auto buffer = [&](int64_t i) {
      return e.loadPtr(e.offsetBytes(buffers, e.i64(8 * i)));
    };
    auto dim = [&](int64_t i) -> Value {
      return LLVM::LoadOp::create(e.b, e.loc, e.i64Type(),
                                  e.offsetBytes(dims, e.i64(8 * i)), 8);
    };
    Value numbers = buffer(0), rows = buffer(1), scales = buffer(2);
    Value count = dim(0), width = dim(1), first = dim(2), rowStride = dim(3),
          columnStride = dim(4);
    e.parallel(count, 16, [&](Value n) {
      Value source = e.add(first, e.mul(n, rowStride));
      Value target = e.offset(rows, e.mul(n, width), element);
      e.loop(e.i64(0), width, 1, [&](Value k) {
        Value at = e.add(source, e.mul(k, columnStride));
        Value product = e.mulF(number(numbers, at), scaleOf(scales, at));
        e.storeScalar(e.offset(target, k, element), element, product);
      });
    });
  }

private:
  bool isF8() const { return scaled.getStored().getIntOrFloatBitWidth() == 8; }
  Type f32() { return e.b.getF32Type(); }

  Value byte(Value base, Value at) {
    Value value = LLVM::LoadOp::create(e.b, e.loc, e.b.getI8Type(),
                                       e.offsetBytes(base, at), 1);
    return arith::ExtUIOp::create(e.b, e.loc, e.b.getI32Type(), value);
  }
  Value both(Value x, int32_t mask) {
    return arith::AndIOp::create(e.b, e.loc, x, e.i32(mask));
  }
  Value left(Value x, int32_t by) {
    return arith::ShLIOp::create(e.b, e.loc, x, e.i32(by));
  }
  Value right(Value x, Value by) {
    return arith::ShRUIOp::create(e.b, e.loc, x, by);
  }
  Value is(Value x, int32_t value) {
    return e.cmp(arith::CmpIPredicate::eq, x, e.i32(value));
  }
  Value asFloat(Value bits) {
    return arith::BitcastOp::create(e.b, e.loc, f32(), bits);
  }
  Value asBits(Value value) {
    return arith::BitcastOp::create(e.b, e.loc, e.b.getI32Type(), value);
  }

  /// A float of |mantissa| bits behind |exponent| bits, the sign in front; with
  /// exponent 0 it is the mantissa times |least|.
  Value smallFloat(Value bits, int32_t exponent, int32_t mantissa,
                   float least) {
    int32_t magnitude = (1 << (exponent + mantissa)) - 1;
    int32_t bias = 127 - ((1 << (exponent - 1)) - 1);
    Value low = both(bits, magnitude),
          fraction = both(bits, (1 << mantissa) - 1);
    Value normal = arith::AddIOp::create(e.b, e.loc, left(low, 23 - mantissa),
                                         e.i32(bias << 23));
    Value small = e.mulF(arith::UIToFPOp::create(e.b, e.loc, f32(), fraction),
                         e.f32(least));
    Value tiny = e.cmp(arith::CmpIPredicate::ult, low, e.i32(1 << mantissa));
    Value value = e.select(tiny, asBits(small), normal);
    if (isF8())
      value = e.select(is(low, magnitude), e.i32(0x7fc00000), value);
    Value sign = left(right(bits, e.i32(exponent + mantissa)), 31);
    return asFloat(arith::OrIOp::create(e.b, e.loc, value, sign));
  }

  Value number(Value base, Value at) {
    if (isF8())
      return smallFloat(byte(base, at), 4, 3, 0x1p-9f);
    Value pair = byte(base, e.udiv(at, e.i64(2)));
    Value half = e.toI32(e.mul(e.urem(at, e.i64(2)), e.i64(4)));
    return smallFloat(both(right(pair, half), 15), 2, 1, 0.5f);
  }

  Value scaleOf(Value base, Value at) {
    ArrayRef<int64_t> block = scaled.getBlock();
    int64_t across = llvm::divideCeil(columns, block[1]);
    Value row = e.udiv(at, e.i64(columns * block[0])),
          column = e.udiv(e.urem(at, e.i64(columns)), e.i64(block[1]));
    Value place = e.add(e.mul(row, e.i64(across)), column);
    if (isF8())
      return e.loadScalar(e.offset(base, place, f32()), f32());
    Value exponent = byte(base, place);
    return asFloat(
        e.select(is(exponent, 255), e.i32(0x7fc00000), left(exponent, 23)));
  }

  Emitter &e;
  nn::ScaledAttr scaled;
  int64_t columns;
  Type element;
};
} // namespace

void cpu::addScaledEntries(ModuleOp module, Isa isa,
                           SmallVectorImpl<std::string> &names) {
  for (auto param : module.getOps<nn::ParamOp>()) {
    if (!param->hasAttr("nn.format"))
      continue;
    Type element = param.getTensorType().getElementType();
    for (auto source : param.getSources().getAsRange<nn::SourceAttr>()) {
      std::string name = nn::scaledEntry(source, element);
      if (name.empty() || llvm::is_contained(names, name))
        continue;
      names.push_back(name);
      OpBuilder b(module.getContext());
      b.setInsertionPointToEnd(module.getBody());
      Emitter e(b, module.getLoc(), isa);
      Type ptr = e.ptrType();
      auto function = LLVM::LLVMFuncOp::create(
          b, e.loc, "moe_entry_" + name,
          LLVM::LLVMFunctionType::get(b.getI32Type(), {ptr, ptr, ptr, ptr}));
      Block *block = function.addEntryBlock(b);
      b.setInsertionPointToStart(block);
      ScaledRows(e, source, element)
          .emit(block->getArgument(2), block->getArgument(3));
      LLVM::ReturnOp::create(b, e.loc, ValueRange{e.i32(0)});
    }
  }
}
