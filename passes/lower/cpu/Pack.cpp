// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/Pack.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

/// Byte offset of element (n, k) of a packed group.
static Value packedOffset(Emitter &e, StringRef format, Value n, Value k,
                          Value columns) {
  Value panel = e.udiv(n, e.i64(kPanel)), lane = e.urem(n, e.i64(kPanel));
  if (format != "bf16.amx") {
    int64_t bytes = format == "f32.n32" ? 4 : 2;
    Value element =
        e.add(e.mul(e.add(e.mul(panel, columns), k), e.i64(kPanel)), lane);
    return e.mul(element, e.i64(bytes));
  }
  // [panel][block of 32 k][tile of 16 columns][pair of k][column][k & 1]
  Value blocks = e.udiv(e.add(columns, e.i64(31)), e.i64(32));
  Value block = e.add(e.mul(panel, blocks), e.udiv(k, e.i64(32)));
  Value inBlock = e.urem(k, e.i64(32));
  Value at = e.mul(block, e.i64(2048));
  at = e.add(at, e.mul(e.udiv(lane, e.i64(16)), e.i64(1024)));
  at = e.add(at, e.mul(e.udiv(inBlock, e.i64(2)), e.i64(64)));
  at = e.add(at, e.mul(e.urem(lane, e.i64(16)), e.i64(4)));
  return e.add(at, e.mul(e.urem(inBlock, e.i64(2)), e.i64(2)));
}

void moe::cpu::packRow(Emitter &e, const Panels &panels, Value n, Value row,
                       Type source, Value stride) {
  Type stored =
      panels.format == "f32.n32" ? Type(e.b.getF32Type()) : e.b.getBF16Type();
  e.loop(e.i64(0), panels.columns, 1, [&](Value k) {
    Value value = e.loadScalar(e.offset(row, e.mul(k, stride), source), source);
    if (source.isF64())
      value = arith::TruncFOp::create(e.b, e.loc, e.b.getF32Type(), value);
    Value at = packedOffset(e, panels.format, n, k, panels.columns);
    e.storeScalar(e.offsetBytes(panels.base, at), stored, value);
  });
}

StringRef moe::cpu::packedFormat(Value rows, RankedTensorType weight) {
  if (cast<RankedTensorType>(rows.getType()).getElementType().isBF16())
    return "bf16.amx";
  return weight.getElementType().isBF16() ? "bf16.n32" : "f32.n32";
}

/// The shape of |weight|, [N, K] or [groups, N, K], in |format|.
static PackedWeight shapeOf(RankedTensorType weight, StringRef format) {
  int64_t rank = weight.getRank();
  return {Value(), format, rank == 3 ? weight.getDimSize(0) : 1,
          weight.getDimSize(rank - 2), weight.getDimSize(rank - 1)};
}
static int64_t bytesOf(const PackedWeight &w) {
  return w.groups * w.panels() * w.panelBytes();
}
static bool isParameter(Value weight) {
  return weight.getDefiningOp<nn::ParamGetOp>() != nullptr;
}

Extent moe::cpu::packScratch(Value rows, Value weight) {
  auto type = cast<RankedTensorType>(weight.getType());
  if (isParameter(weight) || !type.hasStaticShape())
    return {};
  return {0, 0, bytesOf(shapeOf(type, packedFormat(rows, type)))};
}

FailureOr<PackedWeight> moe::cpu::packedWeight(EntryContext &c, Operation *op,
                                               Value rows, Value weight) {
  if (!cast<RankedTensorType>(weight.getType()).hasStaticShape())
    return op->emitOpError("has no code for CPUs with a weight of dynamic "
                           "shape: ")
           << weight.getType();
  if (isParameter(weight))
    return c.weight(weight);
  Emitter &e = c.e;
  auto type = cast<RankedTensorType>(weight.getType());
  PackedWeight w = shapeOf(type, packedFormat(rows, type));
  w.base = c.scratch(op);
  const Buffer &from = c.buffer(weight);
  packGroups(e, w, from.base, from.element);
  return w;
}

void moe::cpu::packGroups(Emitter &e, const PackedWeight &w, Value source,
                          Type element) {
  if (w.n % kPanel || w.k % 32) {
    Value end = e.i64(bytesOf(w) / 64);
    e.parallel(end, 256, [&](Value line) {
      e.storeLanes(e.offsetBytes(w.base, e.mul(line, e.i64(64))),
                   e.b.getF32Type(), e.splatF32(0));
    });
  }
  e.parallel(e.i64(w.groups * w.n), 16, [&](Value row) {
    Value group = e.udiv(row, e.i64(w.n)), n = e.urem(row, e.i64(w.n));
    Value base =
        e.offsetBytes(w.base, e.mul(group, e.i64(w.panels() * w.panelBytes())));
    Value at = e.offset(source, e.mul(row, e.i64(w.k)), element);
    packRow(e, {w.format, e.i64(w.k), base}, n, at, element, e.i64(1));
  });
}

static PackedWeight segmentShape(Value rows, Value weights) {
  auto type = cast<RankedTensorType>(weights.getType());
  return {Value(), packedFormat(rows, type), 1, type.getDimSize(1),
          type.getDimSize(2)};
}

PackedWeight moe::cpu::segmentWeight(EntryContext &c, Operation *op, Value rows,
                                     Value weights) {
  PackedWeight w = segmentShape(rows, weights);
  w.base = c.scratch(op);
  return w;
}

Extent moe::cpu::segmentScratch(Value rows, Value weights) {
  return {0, 0, bytesOf(segmentShape(rows, weights))};
}
