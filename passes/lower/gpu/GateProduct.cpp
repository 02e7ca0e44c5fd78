// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of one token row with the rows of a gate, by one warp.
//
// 32 rows of the gate at a time: lanes lie along k, so that rows are read in
// whole lines; each lane keeps a sum for each of the 32 rows. At the end the 32
// sums of 32 lanes are added and transposed in one: lane l then has row l. The
// order of additions depends on the shape of the gate alone.
#include "passes/lower/gpu/RowEmitter.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::device;

int64_t RowEmitter::stageSize(RoutePermuteOp op) {
  int64_t size = 0;
  op.getBody().walk([&](nn::LinearOp linear) {
    auto type = cast<RankedTensorType>(linear.getW().getType());
    size = std::max(size, registersOf(type.getDimSize(0)) * kWarp);
  });
  return size;
}

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Elements that one lane reads at once.
static int64_t chunkOf(int64_t depth, Type x, Type w) {
  int64_t chunk = x.isF32() && w.isF32() ? 4 : 8;
  while (depth % chunk)
    chunk /= 2;
  return chunk;
}

void RowEmitter::products(nn::LinearOp linear, Value first,
                          int64_t firstIfKnown, int64_t count, int64_t end) {
  BlockArgument rowArgument = op.getBody().getArgument(0);
  Type xType = tensorOf(rowArgument).getElementType(),
       wType = tensorOf(linear.getW()).getElementType();
  int64_t depth = tensorOf(rowArgument).getDimSize(1);
  int64_t chunk = chunkOf(depth, xType, wType), step = kWarp * chunk;
  Value x = e.at(pointerOf(rowArgument), e.mul(token, e.i64(depth)), xType);
  Value w = e.at(pointerOf(linear.getW()), e.mul(first, e.i64(depth)), wType);
  Value mine = e.mul(e.toI64(e.lane()), e.i64(chunk));
  auto part = [&](Value k, ValueRange sums) {
    Registers next(sums.begin(), sums.end());
    Registers xs = e.loadRow(e.at(x, k, xType), xType, chunk);
    Value column = e.at(w, k, wType);
    for (int64_t j = 0; j < count; ++j) {
      // Rows behind the last are not read; nobody looks at their sums.
      int64_t row = firstIfKnown < 0 ? j : std::min(j, end - firstIfKnown - 1);
      Registers ws =
          e.loadRow(e.at(column, e.i64(row * depth), wType), wType, chunk);
      for (int64_t i = 0; i < chunk; ++i)
        next[j] = e.fma(xs[i], ws[i], next[j]);
    }
    return next;
  };
  Registers sums(count, e.f32(0));
  int64_t whole = depth / step * step;
  if (whole)
    sums = e.loop(e.i64(0), e.i64(whole), step, sums,
                  [&](Value k, ValueRange carried) {
                    return part(e.add(k, mine), carried);
                  });
  if (whole < depth) {
    Value k = e.add(e.i64(whole), mine);
    sums = e.ifElse(
        e.cmp(WarpEmitter::kSlt, k, e.i64(depth)),
        [&] { return part(k, sums); }, [&] { return sums; });
  }
  Value at = e.add(first, e.toI64(e.lane()));
  e.store(e.at(stage, at, e.b.getF32Type()), e.b.getF32Type(),
          transposedSum(std::move(sums)));
}

/// Lane l gets the sum over all lanes of |sums|[l % n], n being a power of two.
Value RowEmitter::transposedSum(Registers sums) {
  int32_t count = sums.size();
  // Each step halves the sums that a lane has to care for.
  for (int32_t half = count / 2; half; half /= 2) {
    Value upper =
        e.cmp(WarpEmitter::kNe, e.andI(e.lane(), e.i32(half)), e.i32(0));
    for (int32_t i = 0; i < half; ++i) {
      Value kept = e.select(upper, sums[i + half], sums[i]);
      Value given = e.select(upper, sums[i], sums[i + half]);
      sums[i] = e.addF(kept, e.shuffleXor(given, half));
    }
  }
  Value total = sums[0];
  for (int32_t mask = kWarp / 2; mask >= count; mask /= 2)
    total = e.addF(total, e.shuffleXor(total, mask));
  return total;
}

LogicalResult RowEmitter::linear(nn::LinearOp inner) {
  if (!isTokenRow(inner.getX()))
    return inner.emitOpError("has no code for GPUs on rows that are not those "
                             "of the tokens");
  auto weight = dyn_cast<BlockArgument>(inner.getW());
  Type wType = tensorOf(inner.getW()).getElementType();
  Type xType = tensorOf(op.getX()).getElementType();
  if (!weight || !(wType.isF32() || wType.isBF16()) ||
      !(xType.isF32() || xType.isBF16()))
    return inner.emitOpError("has no code for GPUs with a gate of ")
           << inner.getW().getType() << " on " << op.getX().getType();
  int64_t rows = tensorOf(weight).getDimSize(0), whole = rows / kWarp * kWarp;
  if (whole)
    e.loop(e.i64(0), e.i64(whole), kWarp,
           [&](Value first) { products(inner, first, -1, kWarp, rows); });
  if (whole < rows)
    products(inner, e.i64(whole), whole, llvm::PowerOf2Ceil(rows - whole),
             rows);
  // Each lane reads what it wrote.
  Registers regs;
  Type f32 = e.b.getF32Type();
  for (int64_t r = 0; r < registersOf(rows); ++r)
    regs.push_back(e.load(e.at(stage, e.toI64(e.elementOf(r)), f32), f32));
  if (inner.getBias())
    for (auto [reg, bias] : llvm::zip(regs, value(inner.getBias()).regs))
      reg = e.addF(reg, bias);
  return bind(inner, std::move(regs));
}
