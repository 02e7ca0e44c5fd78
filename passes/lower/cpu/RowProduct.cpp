// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "passes/lower/cpu/RowProduct.h"
#include "passes/lower/cpu/Pack.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Terms of a block: a panel of b, 16 KiB, stays in the first-level cache beside
/// the rows of a.
constexpr int64_t kTerms = 128;
/// Rows of a block: its parts of a and y stay in the second-level cache, and
/// copying b costs little beside the rows that use it. Fewer where sums are kept
/// on the stack.
constexpr int64_t kRows = 192, kRowsOfSums = 96;
/// Panels of an item, with many groups and with few.
constexpr int64_t kManyPanels = 12, kFewPanels = 6;
constexpr int64_t kVectors = kPanel / kLanes;

struct Tile {
  int64_t rows, vectors;
};

/// Pieces of equal size, rounded up to |multiple|, of at most |most|.
int64_t evenSize(int64_t size, int64_t most, int64_t multiple = 1) {
  int64_t pieces = llvm::divideCeil(size, most);
  int64_t even = llvm::divideCeil(size, std::max<int64_t>(pieces, 1));
  return std::max(multiple, int64_t(llvm::alignTo(even, multiple)));
}
int64_t panelsOf(int64_t columns) { return llvm::divideCeil(columns, kPanel); }

/// What one block of rows does with one block of terms.
class RowEmitter {
public:
  RowEmitter(Emitter &e, const RowProduct &p, const RowBlock &block)
      : e(e), p(p), block(block), a(p.a) {
    bool wide = e.isa.vectors == kVectors;
    tall = wide ? Tile{e.isa.rows, 2} : Tile{e.isa.rows, 1};
    rest = wide ? Tile{4, 2} : Tile{2, 2};
    blockTerms = p.fixedTerms < 0 ? kTerms : evenSize(p.fixedTerms, kTerms);
    oneBlock = p.fixedTerms >= 0 && p.fixedTerms <= kTerms;
    roomTerms = llvm::alignTo(std::max<int64_t>(blockTerms, 1), kLanes);
    panel = e.scratch(roomTerms * kPanel * 4);
    ownSums = !oneBlock && !p.yElement.isF32();
    blockRows = ownSums ? kRowsOfSums : kRows;
    if (ownSums)
      sums = e.scratch(blockRows * block.panels * kPanel * 4);
    inTiles = a.term != 1;
    if (inTiles || !a.element.isF32())
      copyOfA = e.scratch(blockRows * roomTerms * 4);
  }

  void run() {
    e.loop(block.first, block.last, blockRows, [&](Value row) {
      first = row;
      end = e.minI(e.add(row, e.i64(blockRows)), block.last);
      if (oneBlock) {
        terms(e.i64(0), p.terms);
      } else {
        // No terms at all still give zeros.
        Value many = e.maxI(p.terms, e.i64(1));
        e.loop(e.i64(0), many, blockTerms, [&](Value start) {
          terms(start, e.minI(e.sub(p.terms, start), e.i64(blockTerms)));
        });
      }
      if (ownSums)
        writeSums();
    });
  }

private:
  void terms(Value start, Value many) {
    count = many;
    started = p.add;
    if (!oneBlock) {
      Value later = e.cmp(arith::CmpIPredicate::sgt, start, e.i64(0));
      started = p.add ? arith::OrIOp::create(e.b, e.loc, p.add, later) : later;
    }
    Value from =
        e.add(e.mul(first, e.i64(p.a.row)), e.mul(start, e.i64(p.a.term)));
    blockOfA = e.offset(p.a.base, from, p.a.element);
    if (copyOfA)
      copyA();
    e.loop(block.firstPanel, block.lastPanel, 1, [&](Value at) {
      Value column = e.mul(at, e.i64(kPanel));
      if (p.turned)
        copyTurned(start, column);
      else
        copyRows(start, column);
      Value more = e.cmp(arith::CmpIPredicate::slt, e.add(at, e.i64(1)),
                         block.lastPanel);
      Value firstColumn = e.mul(block.firstPanel, e.i64(kPanel));
      nextColumn = e.select(more, e.add(column, e.i64(kPanel)), firstColumn);
      nextStart = e.select(more, start, e.add(start, count));
      nextCount = e.minI(count, e.sub(p.terms, nextStart));
      rows(column);
    });
  }

  /// Terms [start, start + count) of columns from |column| to the panel.
  void copyRows(Value start, Value column) {
    Type f32 = e.b.getF32Type();
    SmallVector<Value> masks = masksOf(column, kVectors);
    e.loop(e.i64(0), count, 1, [&](Value j) {
      Value from = e.offset(p.row(e.add(start, j)), column, p.element);
      Value to = e.offset(panel, e.mul(j, e.i64(kPanel)), f32);
      SmallVector<Value> lanes;
      for (int64_t v = 0; v < kVectors; ++v)
        lanes.push_back(e.loadLanes(
            e.offset(from, e.i64(v * kLanes), p.element), p.element, masks[v]));
      for (int64_t v = 0; v < kVectors; ++v)
        e.storeLanes(e.offset(to, e.i64(v * kLanes), f32), f32, lanes[v]);
    });
  }

  void copyTurned(Value start, Value column) {
    Type f32 = e.b.getF32Type();
    e.loop(e.i64(0), e.i64(kPanel), kLanes, [&](Value half) {
      SmallVector<Value> from;
      for (int64_t i = 0; i < kLanes; ++i)
        from.push_back(turnedRow(e.add(column, e.add(half, e.i64(i))), start));
      e.loop(e.i64(0), count, kLanes, [&](Value j) {
        Value mask = lanesBefore(e, j, count);
        SmallVector<Value> lanes;
        for (Value row : from)
          lanes.push_back(
              e.loadLanes(e.offset(row, j, p.element), p.element, mask));
        for (auto [i, column] : llvm::enumerate(transposed(e, lanes))) {
          Value at = e.add(e.mul(e.add(j, e.i64(i)), e.i64(kPanel)), half);
          e.storeLanes(e.offset(panel, at, f32), f32, column);
        }
      });
    });
  }
  /// Columns past the last one are that one again; nobody stores their sums.
  Value turnedRow(Value column, Value start) {
    Value row = e.minI(column, e.i64(p.columns - 1));
    return e.address(*p.turned, row, start);
  }

  /// Part |part| of |parts| of the panel after this one comes nearer, while the
  /// sums of this one keep the processor busy.
  void prefetch(Value part, Value parts) {
    Value all = p.turned ? e.i64(kPanel) : nextCount;
    Value size = e.udiv(e.add(all, e.sub(parts, e.i64(1))), parts);
    Value from = e.mul(part, size);
    e.loop(from, e.minI(e.add(from, size), all), 1, [&](Value i) {
      if (!p.turned)
        return fetch(
            e.offset(p.row(e.add(nextStart, i)), nextColumn, p.element),
            e.i64(kPanel));
      fetch(turnedRow(e.add(nextColumn, i), nextStart), nextCount);
    });
  }
  void fetch(Value from, Value elements) {
    int64_t size = Emitter::bytesOf(p.element);
    e.loop(e.i64(0), e.mul(elements, e.i64(size)), 64, [&](Value byte) {
      LLVM::Prefetch::create(e.b, e.loc, e.offsetBytes(from, byte), /*rw=*/0,
                             /*hint=*/2, /*cache=*/1);
    });
  }

  /// The block of a in f32: rows of terms, or, where rows are contiguous, tiles
  /// of terms of |tall.rows| rows each.
  void copyA() {
    Type f32 = e.b.getF32Type();
    Value rows = e.sub(end, first), room = e.i64(roomTerms);
    if (inTiles) {
      e.loop(e.i64(0), rows, tall.rows, [&](Value row) {
        Value source = e.offset(blockOfA, row, p.a.element);
        Value target = e.offset(copyOfA, e.mul(row, room), f32);
        Value left = e.minI(e.sub(rows, row), e.i64(tall.rows));
        Value mask = lanesBefore(e, e.i64(0), left);
        e.loop(e.i64(0), count, 1, [&](Value j) {
          Value from = e.mul(j, e.i64(p.a.term));
          Value lanes = e.loadLanes(e.offset(source, from, p.a.element),
                                    p.a.element, mask);
          Value to = e.mul(j, e.i64(tall.rows));
          e.storeLanes(e.offset(target, to, f32), f32, lanes, mask);
        });
      });
      a = {copyOfA, f32, 1, tall.rows};
    } else {
      e.loop(e.i64(0), rows, 1, [&](Value row) {
        Value source =
            e.offset(blockOfA, e.mul(row, e.i64(p.a.row)), p.a.element);
        Value target = e.offset(copyOfA, e.mul(row, room), f32);
        e.loop(e.i64(0), count, kLanes, [&](Value j) {
          Value mask = lanesBefore(e, j, count);
          Value lanes =
              e.loadLanes(e.offset(source, j, p.a.element), p.a.element, mask);
          e.storeLanes(e.offset(target, j, f32), f32, lanes, mask);
        });
      });
      a = {copyOfA, f32, roomTerms, 1};
    }
    blockOfA = copyOfA;
  }

  /// Row |row| of the block of a, in a tile that starts at |start|.
  Value rowOfA(Value row, Value start) {
    Value at = inTiles
                   ? e.add(e.mul(start, e.i64(roomTerms)), e.sub(row, start))
                   : e.mul(row, e.i64(a.row));
    return e.offset(blockOfA, at, a.element);
  }

  void rows(Value column) {
    Value size = e.i64(tall.rows), all = e.sub(end, first);
    Value done = e.mul(e.udiv(all, size), size);
    e.loop(e.i64(0), e.i64(kVectors), tall.vectors, [&](Value vector) {
      e.loop(e.i64(0), done, tall.rows, [&](Value row) {
        Value at = e.add(row, e.mul(vector, done));
        prefetch(e.udiv(at, size),
                 e.mul(e.udiv(done, size), e.i64(kVectors / tall.vectors)));
        tile(tall, row, row, Value(), column, vector);
      });
    });
    e.loop(done, all, rest.rows, [&](Value row) {
      Value last = e.sub(e.sub(all, e.i64(1)), row);
      tile(rest, row, done, last, column, e.i64(0));
    });
  }

  /// A tile of rows from |row| behind the first one. Where |last| is given, rows
  /// past it are that row once more: they compute and store the same again.
  void tile(Tile t, Value row, Value start, Value last, Value column,
            Value vector) {
    Value fromA = rowOfA(row, start);
    SmallVector<Value> behindA, y;
    for (int64_t i = 0; i < t.rows; ++i) {
      Value behind = last && i ? e.minI(e.i64(i), last) : e.i64(i);
      behindA.push_back(e.mul(behind, e.i64(a.row)));
      y.push_back(sumsAt(e.add(row, behind), column, vector));
    }
    Value b = e.offset(panel, e.mul(vector, e.i64(kLanes)), e.b.getF32Type());
    Value at = e.add(column, e.mul(vector, e.i64(kLanes)));
    SmallVector<Value> masks(t.vectors), totals;
    if (!ownSums)
      masks = masksOf(at, t.vectors);
    for (int64_t i = 0; i < t.rows; ++i)
      for (int64_t v = 0; v < t.vectors; ++v)
        totals.push_back(begin(y[i], v, masks[v]));
    totals = e.loop(e.i64(0), count, 1, totals, [&](Value j, ValueRange from) {
      SmallVector<Value> next, lanes;
      Value at = e.mul(j, e.i64(kPanel));
      for (int64_t v = 0; v < t.vectors; ++v)
        lanes.push_back(vectorAt(e.offset(b, at, e.b.getF32Type()), v));
      Value term = e.offset(fromA, e.mul(j, e.i64(a.term)), a.element);
      for (int64_t i = 0; i < t.rows; ++i) {
        Value x = e.splat(
            e.loadScalar(e.offset(term, behindA[i], a.element), a.element));
        for (int64_t v = 0; v < t.vectors; ++v)
          next.push_back(e.fma(x, lanes[v], from[i * t.vectors + v]));
      }
      return next;
    });
    Type stored = ownSums ? Type(e.b.getF32Type()) : p.yElement;
    for (int64_t i = 0; i < t.rows; ++i)
      for (int64_t v = 0; v < t.vectors; ++v)
        e.storeLanes(e.offset(y[i], e.i64(v * kLanes), stored), stored,
                     totals[i * t.vectors + v], masks[v]);
  }

  Value vectorAt(Value ptr, int64_t v) {
    Type f32 = e.b.getF32Type();
    return e.loadLanes(e.offset(ptr, e.i64(v * kLanes), f32), f32);
  }

  /// Where the sums of row |row| behind the first one are kept.
  Value sumsAt(Value row, Value column, Value vector) {
    Value at = e.mul(vector, e.i64(kLanes));
    if (ownSums) {
      Value panelAt = e.sub(column, e.mul(block.firstPanel, e.i64(kPanel)));
      at = e.add(at, e.add(panelAt, e.mul(row, e.i64(block.panels * kPanel))));
      return e.offset(sums, at, e.b.getF32Type());
    }
    at = e.add(at, e.add(column, e.mul(e.add(first, row), e.i64(p.yRow))));
    return e.offset(p.y, at, p.yElement);
  }

  /// The lanes of |vectors| vectors that are columns of the product; null where
  /// all are.
  SmallVector<Value> masksOf(Value column, int64_t vectors) {
    SmallVector<Value> masks(vectors);
    if (p.columns % kPanel)
      for (int64_t v = 0; v < vectors; ++v)
        masks[v] =
            lanesBefore(e, e.add(column, e.i64(v * kLanes)), e.i64(p.columns));
    return masks;
  }

  /// The sums so far: 0 in the first block.
  Value begin(Value y, int64_t v, Value mask) {
    if (!started)
      return e.splatF32(0);
    Type f32 = e.b.getF32Type();
    Value held = e.splat(started);
    if (mask)
      held = arith::AndIOp::create(e.b, e.loc, held, mask);
    return e.loadLanes(e.offset(y, e.i64(v * kLanes), f32), f32, held);
  }

  void writeSums() {
    Type f32 = e.b.getF32Type();
    Value from = e.mul(block.firstPanel, e.i64(kPanel));
    Value to = e.minI(e.mul(block.lastPanel, e.i64(kPanel)), e.i64(p.columns));
    e.loop(e.i64(0), e.sub(end, first), 1, [&](Value row) {
      Value source =
          e.offset(sums, e.mul(row, e.i64(block.panels * kPanel)), f32);
      Value target =
          e.offset(p.y, e.add(from, e.mul(e.add(first, row), e.i64(p.yRow))),
                   p.yElement);
      Value width = e.sub(to, from);
      e.loop(e.i64(0), width, kLanes, [&](Value at) {
        e.storeLanes(e.offset(target, at, p.yElement), p.yElement,
                     e.loadLanes(e.offset(source, at, f32), f32),
                     lanesBefore(e, at, width));
      });
    });
  }

  Emitter &e;
  const RowProduct &p;
  const RowBlock &block;
  StridedRows a;
  Tile tall, rest;
  int64_t blockTerms, roomTerms, blockRows;
  bool oneBlock, ownSums, inTiles;
  Value panel, sums, copyOfA;             // on the stack
  Value first, end, count, started;       // of the current block
  Value nextStart, nextCount, nextColumn; // of the panel after it
  Value blockOfA;                         // its first row and term
};
} // namespace

void moe::cpu::emitRows(Emitter &e, const RowProduct &p,
                        const RowBlock &block) {
  RowEmitter(e, p, block).run();
}

void moe::cpu::eachRowBlock(Emitter &e, const RowShape &shape,
                            function_ref<void(const RowBlock &)> body) {
  int64_t panels = panelsOf(shape.columns);
  int64_t size = evenSize(panels, shape.groups < 8 ? kFewPanels : kManyPanels);
  int64_t panelBlocks = llvm::divideCeil(panels, size);
  int64_t rows = shape.fixedRows < 0
                     ? shape.mostRows
                     : evenSize(shape.fixedRows, kRows, e.isa.rows);
  int64_t terms = shape.fixedTerms < 0 ? 64 : shape.fixedTerms;
  int64_t work = rows * size * kPanel * std::max<int64_t>(terms, 1);
  Value rowBlocks = e.i64(1);
  if (shape.rows)
    rowBlocks = e.udiv(e.add(shape.rows, e.i64(rows - 1)), e.i64(rows));
  Value inGroup = e.mul(rowBlocks, e.i64(panelBlocks));
  int64_t grain = std::max<int64_t>(1, (1 << 20) / work);
  e.parallel(e.mul(e.i64(shape.groups), inGroup), grain, [&](Value item) {
    RowBlock block;
    block.panels = size;
    bool one = shape.groups == 1;
    block.group = one ? e.i64(0) : e.udiv(item, inGroup);
    Value inside = one ? item : e.urem(item, inGroup);
    Value part = e.urem(inside, e.i64(panelBlocks));
    block.firstPanel = e.mul(part, e.i64(size));
    block.lastPanel =
        e.minI(e.add(block.firstPanel, e.i64(size)), e.i64(panels));
    if (shape.rows) {
      block.first = e.mul(e.udiv(inside, e.i64(panelBlocks)), e.i64(rows));
      block.last = e.minI(e.add(block.first, e.i64(rows)), shape.rows);
    }
    body(block);
  });
}
