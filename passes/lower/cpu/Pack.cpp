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
/// Whether the runtime has packed |weight|.
static bool isPacked(Value weight) {
  auto get = weight.getDefiningOp<nn::ParamGetOp>();
  if (!get)
    return false;
  auto param = SymbolTable::lookupNearestSymbolFrom<nn::ParamOp>(
      get, get.getParamAttr());
  auto format =
      param ? param->getAttrOfType<StringAttr>("nn.format") : StringAttr();
  return !format || format.getValue() != "raw";
}

Extent moe::cpu::packScratch(Value rows, Value weight) {
  auto type = cast<RankedTensorType>(weight.getType());
  if (isPacked(weight) || !type.hasStaticShape())
    return {};
  return {0, 0, bytesOf(shapeOf(type, packedFormat(rows, type)))};
}

FailureOr<PackedWeight> moe::cpu::packedWeight(EntryContext &c, Operation *op,
                                               Value rows, Value weight) {
  if (!cast<RankedTensorType>(weight.getType()).hasStaticShape())
    return op->emitOpError("has no code for CPUs with a weight of dynamic "
                           "shape: ")
           << weight.getType();
  if (isPacked(weight))
    return c.weight(weight);
  Emitter &e = c.e;
  auto type = cast<RankedTensorType>(weight.getType());
  PackedWeight w = shapeOf(type, packedFormat(rows, type));
  w.base = c.scratch(op);
  const Buffer &from = c.buffer(weight);
  packGroups(e, w, from.base, from.element);
  return w;
}

SmallVector<Value> moe::cpu::transposed(Emitter &e, ArrayRef<Value> rows) {
  // Pairs of rows by steps within quarters of 4 lanes, then of whole quarters.
  SmallVector<Value> from(rows), to(kLanes);
  auto step = [&](int64_t apart, ArrayRef<int64_t> low,
                  ArrayRef<int64_t> high) {
    for (int64_t i = 0; i < kLanes; ++i) {
      if (i & apart)
        continue;
      Value a = from[i], b = from[i + apart];
      to[i] = vector::ShuffleOp::create(e.b, e.loc, a, b, low);
      to[i + apart] = vector::ShuffleOp::create(e.b, e.loc, a, b, high);
    }
    from = to;
  };
  auto inQuarters = [](std::array<int64_t, 4> lanes) {
    SmallVector<int64_t> all;
    for (int64_t quarter = 0; quarter < kLanes; quarter += 4)
      for (int64_t lane : lanes)
        all.push_back(quarter + lane);
    return all;
  };
  auto ofQuarters = [](std::array<int64_t, 4> quarters) {
    SmallVector<int64_t> all;
    for (int64_t quarter : quarters)
      for (int64_t lane = 0; lane < 4; ++lane)
        all.push_back(quarter * 4 + lane);
    return all;
  };
  step(1, inQuarters({0, 16, 1, 17}), inQuarters({2, 18, 3, 19}));
  step(2, inQuarters({0, 1, 16, 17}), inQuarters({2, 3, 18, 19}));
  step(4, ofQuarters({0, 4, 2, 6}), ofQuarters({1, 5, 3, 7}));
  step(8, ofQuarters({0, 1, 4, 5}), ofQuarters({2, 3, 6, 7}));
  for (int64_t i = 0; i < kLanes; i += 4)
    std::swap(from[i + 1], from[i + 2]);
  return from;
}

namespace {
/// Packs one panel of f32.n32, bf16.n32 or bf16.amx, 16 columns by 16 words of
/// 32 bits at a time. A word of bf16.amx is a pair of values of k.
class PanelPacker {
public:
  PanelPacker(Emitter &e, const PackedWeight &w, Type element)
      : e(e), w(w), element(element), pairs(w.format == "bf16.amx") {}

  /// |row| is the first of the group, |column| the first of the panel.
  void run(Value row, Value column, Value panel) {
    int64_t step = pairs ? 32 : 16, whole = w.k / step * step;
    e.loop(e.i64(0), e.i64(kPanel), kLanes, [&](Value half) {
      SmallVector<Value> rows;
      for (int64_t i = 0; i < kLanes; ++i) {
        Value n = e.add(e.add(column, half), e.i64(i));
        n = e.minI(n, e.i64(w.n - 1));
        rows.push_back(e.offset(row, e.mul(n, e.i64(w.k)), element));
      }
      if (whole)
        e.loop(e.i64(0), e.i64(whole), step,
               [&](Value k) { block(rows, k, step, half, panel); });
      if (w.k > whole)
        block(rows, e.i64(whole), w.k - whole, half, panel);
    });
  }

private:
  void block(ArrayRef<Value> rows, Value k, int64_t count, Value half,
             Value panel) {
    SmallVector<Value> words;
    for (Value row : rows)
      words.push_back(pairs ? pairsOf(row, k, count) : load(row, k, count));
    words = transposed(e, words);
    if (pairs) {
      Value to = e.add(e.mul(k, e.i64(64)), e.mul(half, e.i64(64)));
      for (int64_t i = 0; i < kLanes; ++i)
        e.storeLanes(e.offsetBytes(panel, e.add(to, e.i64(64 * i))),
                     e.b.getI32Type(), words[i]);
      return;
    }
    Type stored =
        w.format == "f32.n32" ? Type(e.b.getF32Type()) : e.b.getBF16Type();
    for (int64_t i = 0; i < count; ++i) {
      Value at = e.add(e.mul(e.add(k, e.i64(i)), e.i64(kPanel)), half);
      e.storeLanes(e.offset(panel, at, stored), stored, words[i]);
    }
  }

  /// The values [k, k + count) of a row, zeros behind, at most 16.
  Value load(Value row, Value k, int64_t count) {
    if (count <= 0)
      return e.splatF32(0);
    return e.loadLanes(e.offset(row, k, element), element,
                       count < kLanes ? e.tailMask(count) : Value());
  }

  Value pairsOf(Value row, Value k, int64_t count) {
    if (element.isBF16() && count == 32)
      return e.loadLanes(e.offset(row, k, element), e.b.getI32Type());
    Value low = rounded(load(row, k, count)),
          high = rounded(load(row, e.add(k, e.i64(kLanes)), count - kLanes));
    SmallVector<int64_t> even, odd;
    for (int64_t i = 0; i < kLanes; ++i) {
      even.push_back(2 * i);
      odd.push_back(2 * i + 1);
    }
    Value first = vector::ShuffleOp::create(e.b, e.loc, low, high, even),
          second = vector::ShuffleOp::create(e.b, e.loc, low, high, odd);
    first = arith::ShRUIOp::create(e.b, e.loc, first, e.splatI32(16));
    return arith::OrIOp::create(e.b, e.loc, first, second);
  }

  /// bf16 in the upper half of a word whose lower half is 0.
  Value rounded(Value lanes) {
    return arith::BitcastOp::create(e.b, e.loc, e.vecI32(),
                                    e.roundTo(lanes, e.b.getBF16Type()));
  }

  Emitter &e;
  const PackedWeight &w;
  Type element;
  bool pairs;
};
} // namespace

void moe::cpu::packGroups(Emitter &e, const PackedWeight &w, Value source,
                          Type element) {
  int64_t grain = std::max<int64_t>(1, 16384 / (w.k * kPanel));
  e.parallel(e.i64(w.groups * w.panels()), grain, [&](Value item) {
    bool one = w.groups == 1;
    Value group = one ? e.i64(0) : e.udiv(item, e.i64(w.panels()));
    Value panel = one ? item : e.urem(item, e.i64(w.panels()));
    Value row = e.offset(source, e.mul(group, e.i64(w.n * w.k)), element);
    PanelPacker(e, w, element)
        .run(row, e.mul(panel, e.i64(kPanel)),
             e.offsetBytes(w.base, e.mul(item, e.i64(w.panelBytes()))));
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
