// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of bf16 in the tile registers of AMX. Rows come to the stack in
// blocks of 16 by 32 values of k, as many as stay in the second-level cache;
// then each panel of 32 columns takes three of these blocks at a time, six tiles
// of sums over all of k. The order within a tile product (even values of k, odd
// ones, their sum) is that of the vectors in Matmul.cpp, so both give the same
// bits.
#include "passes/lower/cpu/Product.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Rows of a tile, values of k in one of its rows, bytes of a tile.
constexpr int64_t kTileRows = 16, kTileTerms = 32, kTileBytes = 1024;
/// Row blocks that share the weights of a panel; with two tiles of columns six
/// of the eight registers hold sums.
constexpr int64_t kTall = 3;
/// Rows kept on the stack: no more than pay, and half of a second-level cache.
constexpr int64_t kMostRows = 192, kMostBytes = 768 * 1024;
/// Cache lines of a panel for each 32 values of k.
constexpr int64_t kPanelLines = 32;

int64_t stepsOf(const PackedWeight &w) {
  return llvm::divideCeil(w.k, kTileTerms);
}
/// Rows of which all k fit; at least one block of 16 or none.
int64_t mostRows(const PackedWeight &w) {
  int64_t blocks = kMostBytes / (stepsOf(w) * kTileBytes);
  blocks = blocks < kTall ? blocks : blocks / kTall * kTall;
  return std::min(kMostRows, blocks * kTileRows);
}

class TileEmitter {
public:
  TileEmitter(Emitter &e, const Product &p, Value panels, Value column,
              Value count)
      : e(e), p(p), panels(panels), column(column), count(count),
        steps(stepsOf(p.w)) {
    rowsOnStack = e.scratch(mostRows(p.w) * steps * kTileTerms * 2);
    sums = e.scratch(kTall * kTileRows * kPanel * 4);
    zeros = e.scratch(2 * kTall * 64);
  }

  void run() {
    for (int64_t i = 0; i < 2 * kTall; ++i)
      e.storeLanes(e.offsetBytes(zeros, e.i64(64 * i)), e.b.getF32Type(),
                   e.splatF32(0));
    // Passes of nearly equal size.
    Value most = e.i64(mostRows(p.w)), one = e.i64(1);
    Value passes = e.udiv(e.add(p.rows, e.sub(most, one)), most);
    Value each = roundUp(e.udiv(e.add(p.rows, e.sub(passes, one)), passes));
    e.loop(e.i64(0), passes, 1, [&](Value pass) {
      first = e.mul(pass, each);
      rows = e.minI(e.sub(p.rows, first), each);
      blocks = e.udiv(e.add(rows, e.i64(kTileRows - 1)), e.i64(kTileRows));
      copyRows();
      e.loop(e.i64(0), count, 1, [&](Value panel) { onePanel(panel); });
    });
  }

private:
  Value roundUp(Value n) {
    Value size = e.i64(kTileRows);
    return e.mul(e.udiv(e.add(n, e.i64(kTileRows - 1)), size), size);
  }
  Value tileOfRows(Value block) {
    return e.offsetBytes(rowsOnStack, e.mul(block, e.i64(steps * kTileBytes)));
  }

  /// The rows of the pass as [block][k / 32][16][32]; rows past the last one are
  /// that one again, values past the last of k are 0.
  void copyRows() {
    Type words = e.b.getI32Type();
    int64_t whole = p.w.k / kTileTerms, rest = p.w.k % kTileTerms;
    e.loop(e.i64(0), blocks, 1, [&](Value block) {
      Value to = tileOfRows(block), start = e.mul(block, e.i64(kTileRows));
      SmallVector<Value> from;
      for (int64_t i = 0; i < kTileRows; ++i) {
        Value row = e.minI(e.add(start, e.i64(i)), e.sub(rows, e.i64(1)));
        from.push_back(p.x(e.add(first, row)));
      }
      auto copy = [&](Value step, bool last) {
        Value tile = e.offsetBytes(to, e.mul(step, e.i64(kTileBytes)));
        Value behind = e.mul(step, e.i64(kTileTerms * 2));
        for (int64_t i = 0; i < kTileRows; ++i) {
          Value at = e.offsetBytes(from[i], behind);
          Value lanes = last ? tail(at, rest) : e.loadLanes(at, words);
          e.storeLanes(e.offsetBytes(tile, e.i64(64 * i)), words, lanes);
        }
      };
      if (whole)
        e.loop(e.i64(0), e.i64(whole), 1,
               [&](Value step) { copy(step, false); });
      if (rest)
        copy(e.i64(whole), true);
    });
  }

  /// |rest| values of bf16 at |at| in words, zeros behind.
  Value tail(Value at, int64_t rest) {
    Value lanes = e.loadLanes(at, e.b.getI32Type(), e.tailMask(rest / 2));
    if (rest % 2 == 0)
      return lanes;
    Type i16 = e.b.getIntegerType(16);
    Value last = LLVM::LoadOp::create(
        e.b, e.loc, i16, e.offsetBytes(at, e.i64(2 * (rest - 1))), 2);
    last = arith::ExtUIOp::create(e.b, e.loc, e.b.getI32Type(), last);
    Value here = e.cmp(arith::CmpIPredicate::eq, e.iota(),
                       e.splatI32(int32_t(rest / 2)));
    return e.select(here, e.splat(last), lanes);
  }

  /// Three blocks of rows at a time, then one or two. While the sums of a panel
  /// keep the unit busy, the next panel comes nearer: all of it, or a half or a
  /// quarter beside each three.
  void onePanel(Value i) {
    panel = e.offsetBytes(panels, e.mul(i, e.i64(p.w.panelBytes())));
    at = e.add(column, e.mul(i, e.i64(kPanel)));
    Value threes = e.udiv(blocks, e.i64(kTall));
    Value done = e.mul(threes, e.i64(kTall));
    auto is = [&](Value count, int64_t n) {
      return e.cmp(arith::CmpIPredicate::eq, count, e.i64(n));
    };
    auto both = [&](Value a, Value b) -> Value {
      return arith::AndIOp::create(e.b, e.loc, a, b);
    };
    static_assert(kMostRows == 4 * kTall * kTileRows);
    auto tall = [&](int64_t parts) {
      for (int64_t part = 0; part < parts; ++part)
        block(kTall, e.i64(part * kTall), kPanelLines / parts, part);
    };
    Value none = is(threes, 0), three = is(threes, 3);
    e.ifThen(is(threes, 1), [&] { tall(1); });
    e.ifThen(arith::OrIOp::create(e.b, e.loc, is(threes, 2), three),
             [&] { tall(2); });
    e.ifThen(three, [&] { block(kTall, e.i64(2 * kTall), 0, 0); });
    e.ifThen(is(threes, 4), [&] { tall(4); });
    Value left = e.sub(blocks, done);
    Value some = e.cmp(arith::CmpIPredicate::sgt, threes, e.i64(0));
    for (int64_t rest = 1; rest < kTall; ++rest) {
      Value here = is(left, rest);
      e.ifThen(both(here, none), [&] { block(rest, done, kPanelLines, 0); });
      e.ifThen(both(here, some), [&] { block(rest, done, 0, 0); });
    }
  }

  Type tileType() { return LLVM::LLVMX86AMXType::get(e.b.getContext()); }
  Value i16(int64_t value) {
    return arith::ConstantOp::create(e.b, e.loc,
                                     e.b.getI16IntegerAttr(int16_t(value)));
  }
  Value loadTile(Value from, int64_t stride) {
    return LLVM::CallIntrinsicOp::create(
               e.b, e.loc, tileType(),
               e.b.getStringAttr("llvm.x86.tileloadd64.internal"),
               ValueRange{i16(kTileRows), i16(64), from, e.i64(stride)})
        .getResult(0);
  }
  void storeTile(Value to, Value tile) {
    LLVM::CallIntrinsicOp::create(
        e.b, e.loc, e.b.getStringAttr("llvm.x86.tilestored64.internal"),
        ValueRange{i16(kTileRows), i16(64), to, e.i64(kPanel * 4), tile});
  }
  Value product(Value sum, Value a, Value b) {
    return LLVM::CallIntrinsicOp::create(
               e.b, e.loc, tileType(),
               e.b.getStringAttr("llvm.x86.tdpbf16ps.internal"),
               ValueRange{i16(kTileRows), i16(64), i16(64), sum, a, b})
        .getResult(0);
  }

  /// |tall| blocks of rows from block |from| by the panel; per 32 values of k
  /// |lines| lines of the next one from line part·lines on.
  void block(int64_t tall, Value from, int64_t lines, int64_t part) {
    SmallVector<Value> start, a;
    for (int64_t i = 0; i < 2 * tall; ++i)
      start.push_back(loadTile(e.offsetBytes(zeros, e.i64(64 * i)), 0));
    for (int64_t i = 0; i < tall; ++i)
      a.push_back(tileOfRows(e.add(from, e.i64(i))));
    SmallVector<Value> totals = e.loop(
        e.i64(0), e.i64(steps), 1, start, [&](Value step, ValueRange sums) {
          Value rowsAt = e.mul(step, e.i64(kTileBytes));
          Value b = e.offsetBytes(panel, e.mul(step, e.i64(2 * kTileBytes)));
          Value next =
              e.offsetBytes(b, e.i64(p.w.panelBytes() + part * lines * 64));
          for (int64_t line = 0; line < lines; ++line)
            LLVM::Prefetch::create(e.b, e.loc,
                                   e.offsetBytes(next, e.i64(64 * line)),
                                   /*rw=*/0, /*hint=*/2, /*cache=*/1);
          // There and back: the last block of rows serves both columns, the
          // others are loaded once more.
          SmallVector<Value> result(sums.begin(), sums.end());
          Value left = loadTile(b, 64), last;
          for (int64_t i = 0; i < tall; ++i) {
            last = loadTile(e.offsetBytes(a[i], rowsAt), 64);
            result[2 * i] = product(result[2 * i], last, left);
          }
          Value right = loadTile(e.offsetBytes(b, e.i64(kTileBytes)), 64);
          for (int64_t i = tall; i-- > 0;) {
            if (i + 1 < tall)
              last = loadTile(e.offsetBytes(a[i], rowsAt), 64);
            result[2 * i + 1] = product(result[2 * i + 1], last, right);
          }
          return result;
        });
    for (int64_t i = 0; i < tall; ++i)
      for (int64_t half = 0; half < 2; ++half)
        storeTile(e.offsetBytes(sums, e.i64(i * kTileRows * kPanel * 4 +
                                            half * kLanes * 4)),
                  totals[2 * i + half]);
    finish(from, tall);
  }

  void finish(Value from, int64_t tall) {
    Type f32 = e.b.getF32Type();
    Value start = e.mul(from, e.i64(kTileRows));
    Value many = e.minI(e.sub(rows, start), e.i64(tall * kTileRows));
    e.loop(e.i64(0), many, 1, [&](Value row) {
      Value y = p.y(e.add(first, e.add(start, row)));
      Value sum = e.offset(sums, e.mul(row, e.i64(kPanel)), f32);
      SmallVector<Value> lanes;
      for (int64_t v = 0; v < kPanel; v += kLanes)
        lanes.push_back(e.loadLanes(e.offset(sum, e.i64(v), f32), f32));
      for (auto [v, lane] : llvm::enumerate(lanes))
        p.finish(e, y, v ? e.add(at, e.i64(v * kLanes)) : at, lane);
    });
  }

  Emitter &e;
  const Product &p;
  Value panels, column, count;
  int64_t steps;
  Value rowsOnStack, sums, zeros; // on the stack
  Value first, rows, blocks;      // of the pass
  Value panel, at;                // the current one, its first column
};
} // namespace

bool moe::cpu::inTiles(const Isa &isa, const PackedWeight &w) {
  return isa.tiles && w.format == "bf16.amx" && mostRows(w) > 0;
}

void moe::cpu::emitTiles(Emitter &e, const Product &p, Value panels,
                         Value column, Value count) {
  TileEmitter(e, p, panels, column, count).run();
}
