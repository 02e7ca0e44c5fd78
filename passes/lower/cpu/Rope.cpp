// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rotary positions.
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// 16 of |values| from |first|, zeros behind the last.
Value constantLanes(Emitter &e, ArrayRef<float> values, int64_t first) {
  SmallVector<float> lanes(values.drop_front(first).take_front(kLanes));
  lanes.resize(kLanes, 0.0f);
  return arith::ConstantOp::create(
      e.b, e.loc, DenseElementsAttr::get(e.vecF32(), ArrayRef<float>(lanes)));
}

LogicalResult emitRopeTable(EntryContext &c, Operation *op) {
  auto table = cast<nn::RopeTableOp>(op);
  Emitter &e = c.e;
  ArrayRef<float> frequencies = table.getInvFreq();
  int64_t half = frequencies.size();
  float scale = table.getScale().convertToDouble();
  const Buffer &positions = c.buffer(table.getPositions());
  Buffer y = asRows(c, table.getY(), 2 * half);
  e.parallel(y.rows, Emitter::grainFor(32 * half), [&](Value row) {
    Value position = e.loadScalar(
        e.offset(positions.base, row, positions.element), positions.element);
    Value lanes = e.splat(
        arith::SIToFPOp::create(e.b, e.loc, e.b.getF32Type(), position));
    for (int64_t at = 0; at < half; at += kLanes) {
      Value mask = half - at < kLanes ? e.tailMask(half - at) : Value();
      auto [sine, cosine] =
          e.sinCos(e.mulF(lanes, constantLanes(e, frequencies, at)));
      e.store(y, row, e.i64(at), e.mulF(cosine, e.splatF32(scale)), mask);
      e.store(y, row, e.i64(half + at), e.mulF(sine, e.splatF32(scale)), mask);
    }
  });
  return success();
}

/// Rotates the dimensions of one head of one token.
class HeadRotation {
public:
  HeadRotation(Emitter &e, const Buffer &x, const Buffer &y,
               const Buffer &table, Value row, Value token, int64_t start)
      : e(e), x(x), y(y), table(table), row(row), token(token), start(start),
        half(table.width / 2) {}

  void halves() {
    e.lanes(half, [&](Value column, Value mask) {
      Value low = e.add(column, e.i64(start)),
            high = e.add(column, e.i64(start + half));
      auto [a, b] = rotated(e.load(x, row, low, mask),
                            e.load(x, row, high, mask), column, mask);
      e.store(y, row, low, a, mask);
      e.store(y, row, high, b, mask);
    });
  }

  void interleaved() {
    e.lanes(half, [&](Value column, Value mask) {
      // 16 pairs are 32 neighbours.
      int64_t pairs = mask ? half % kLanes : kLanes;
      Value first = e.add(e.mul(column, e.i64(2)), e.i64(start)),
            second = e.add(first, e.i64(kLanes));
      bool both = 2 * pairs > kLanes;
      Value lowMask = maskOf(2 * pairs), highMask = maskOf(2 * pairs - kLanes);
      Value low = e.load(x, row, first, lowMask);
      Value high = both ? e.load(x, row, second, highMask) : e.splatF32(0);
      SmallVector<int64_t> even, odd, front, back;
      for (int64_t i = 0; i < kLanes; ++i) {
        even.push_back(2 * i);
        odd.push_back(2 * i + 1);
        front.push_back(i / 2 + i % 2 * kLanes);
        back.push_back((i + kLanes) / 2 + i % 2 * kLanes);
      }
      auto [a, b] = rotated(shuffle(low, high, even), shuffle(low, high, odd),
                            column, mask);
      e.store(y, row, first, shuffle(a, b, front), lowMask);
      if (both)
        e.store(y, row, second, shuffle(a, b, back), highMask);
    });
  }

  void copyOthers() {
    copy(0, start);
    copy(start + 2 * half, x.width);
  }

private:
  std::pair<Value, Value> rotated(Value a, Value b, Value column, Value mask) {
    Value cosine = e.load(table, token, column, mask),
          sine = e.load(table, token, e.add(column, e.i64(half)), mask);
    return {e.subF(e.mulF(a, cosine), e.mulF(b, sine)),
            e.addF(e.mulF(b, cosine), e.mulF(a, sine))};
  }
  Value maskOf(int64_t lanes) {
    return lanes > 0 && lanes < kLanes ? e.tailMask(lanes) : Value();
  }
  Value shuffle(Value a, Value b, ArrayRef<int64_t> order) {
    return vector::ShuffleOp::create(e.b, e.loc, a, b, order);
  }
  void copy(int64_t from, int64_t to) {
    e.lanes(to - from, [&](Value column, Value mask) {
      Value at = e.add(column, e.i64(from));
      e.store(y, row, at, e.load(x, row, at, mask), mask);
    });
  }

  Emitter &e;
  const Buffer &x, &y, &table;
  Value row, token;
  int64_t start, half;
};

LogicalResult emitRope(EntryContext &c, Operation *op) {
  auto rope = cast<nn::RopeOp>(op);
  Emitter &e = c.e;
  int64_t heads = tensorOf(rope.getX()).getDimSize(1),
          dims = lastDim(rope.getX());
  Buffer x = asRows(c, rope.getX(), dims), y = asRows(c, rope.getY(), dims),
         table = asRows(c, rope.getTable(), lastDim(rope.getTable()));
  e.parallel(table.rows, Emitter::grainFor(heads * dims), [&](Value token) {
    Value first = e.mul(token, e.i64(heads));
    e.loop(e.i64(0), e.i64(heads), 1, [&](Value head) {
      HeadRotation rotation(e, x, y, table, e.add(first, head), token,
                            rope.getStart());
      if (rope.getPairing() == nn::RopePairing::Half)
        rotation.halves();
      else
        rotation.interleaved();
      rotation.copyOthers();
    });
  });
  return success();
}
} // namespace

void moe::cpu::addRopeKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::RopeTableOp::getOperationName()] = {emitRopeTable};
  table[nn::RopeOp::getOperationName()] = {emitRope};
}
