// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrix products with packed weights: nn.linear, nn.head_linear,
// moe.grouped_matmul. A few panels of 32 columns are the unit of work; their
// rows run in register tiles over all of k, so that an output is one chain of
// fused multiply-adds whatever the rows, threads or instruction set.
#include "passes/lower/cpu/Pack.h"
#include "passes/lower/cpu/Product.h"
#include "passes/lower/cpu/Routing.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Rows by vectors of 16 columns whose sums are in registers at one time.
struct Tile {
  int64_t rows, vectors;
};

constexpr int64_t kVectors = kPanel / kLanes; // of a panel
constexpr int64_t kTilePanels = 16; // of an item of a dense product in tiles

/// Tiles by falling number of rows; rows that are left go one by one.
SmallVector<Tile> tilesOf(const Isa &isa, StringRef format) {
  bool wide = isa.vectors == kVectors;
  // Three accumulators an output in the order of the bf16 unit, one else.
  if (format == "bf16.amx")
    return wide ? SmallVector<Tile>{{4, 2}, {2, 2}} : SmallVector<Tile>{{2, 1}};
  return wide ? SmallVector<Tile>{{isa.rows, 2}, {4, 2}}
              : SmallVector<Tile>{{isa.rows, 1}, {2, 2}};
}

/// Consecutive panels of one group that are one item of work. AMX copies the
/// rows for each: many panels, where groups are enough work for the threads.
struct PanelBlocks {
  int64_t size = 1, count, lastSize; // panels of a block, blocks, of the last

  PanelBlocks(const PackedWeight &w, bool amx) {
    if (amx)
      size = w.groups >= 16 ? w.panels()
                            : std::clamp<int64_t>(w.groups * w.panels() / 8, 4,
                                                  kTilePanels);
    count = (w.panels() + size - 1) / size;
    size = (w.panels() + count - 1) / count;
    count = (w.panels() + size - 1) / size;
    lastSize = w.panels() - (count - 1) * size;
  }
};

/// Emits the rows of a block of panels.
class BlockEmitter {
public:
  BlockEmitter(Emitter &e, const Product &p, ArrayRef<Tile> tiles, Value panels,
               Value column)
      : e(e), p(p), tiles(tiles), panels(panels), column(column) {
    pairs = p.w.format == "bf16.amx";
    element = p.w.format == "f32.n32" ? e.b.getF32Type() : e.b.getBF16Type();
    vectorBytes = pairs ? 1024 : kLanes * Emitter::bytesOf(element);
  }

  void run(const PanelBlocks &blocks, Value block, bool amx) {
    Value count = e.i64(blocks.size);
    if (blocks.lastSize != blocks.size) {
      Value last =
          e.cmp(arith::CmpIPredicate::eq, block, e.i64(blocks.count - 1));
      count = e.select(last, e.i64(blocks.lastSize), count);
    }
    // AMX from two rows on: one row alone is read as fast by vectors.
    int64_t size = amx ? 2 : least();
    Value many = e.cmp(arith::CmpIPredicate::sge, p.rows, e.i64(size)), done;
    e.ifThen(many, [&] {
      if (amx)
        emitTiles(e, p, panels, column, count);
      else
        e.loop(e.i64(0), count, 1, [&](Value i) { tall(i); });
    });
    if (amx)
      done = e.select(many, p.rows, e.i64(0));
    else
      done = e.mul(e.udiv(p.rows, e.i64(size)), e.i64(size));
    // Rows that are left: one panel after another is one stream of memory.
    e.loop(done, p.rows, 1, [&](Value row) {
      e.loop(e.i64(0), count, 1, [&](Value i) {
        rows(row, {1, kVectors}, panelAt(i), columnAt(i));
      });
    });
  }

private:
  Value panelAt(Value i) {
    return e.offsetBytes(panels, e.mul(i, e.i64(p.w.panelBytes())));
  }
  Value columnAt(Value i) { return e.add(column, e.mul(i, e.i64(kPanel))); }

  int64_t least() const { return tiles.back().rows; }

  /// The rows of panel |i| that fill tiles of more than one row.
  void tall(Value i) {
    Value panel = panelAt(i), start = e.i64(0), at = columnAt(i);
    for (Tile tile : tiles) {
      Value size = e.i64(tile.rows);
      Value many = e.udiv(e.sub(p.rows, start), size);
      Value end = e.add(start, e.mul(many, size));
      e.loop(e.i64(0), e.i64(kVectors), tile.vectors, [&](Value vector) {
        Value w = e.offsetBytes(panel, e.mul(vector, e.i64(vectorBytes)));
        Value first = e.add(at, e.mul(vector, e.i64(kLanes)));
        e.loop(start, end, tile.rows,
               [&](Value row) { rows(row, tile, w, first); });
      });
      start = end;
    }
  }

  /// The rows of |tile| from |row| by its vectors from |w|, column |first|.
  void rows(Value row, Tile tile, Value w, Value first) {
    SmallVector<Value> x;
    for (int64_t i = 0; i < tile.rows; ++i)
      x.push_back(p.x(i ? e.add(row, e.i64(i)) : row));
    SmallVector<Value> sums =
        pairs ? pairChains(x, tile, w) : chains(x, tile, w);
    for (int64_t i = 0; i < tile.rows; ++i) {
      Value y = p.y(i ? e.add(row, e.i64(i)) : row);
      for (int64_t v = 0; v < tile.vectors; ++v)
        p.finish(e, y, v ? e.add(first, e.i64(v * kLanes)) : first,
                 sums[i * tile.vectors + v]);
    }
  }

  /// Bytes from a vector of a panel to the vector |v| behind it.
  Value behind(int64_t v) { return e.i64(v * vectorBytes); }

  /// Where one row reads a panel, the processor itself does not look far enough.
  void prefetch(Value at, int64_t bytes) {
    constexpr int64_t ahead = 1024;
    for (int64_t line = 0; line < bytes; line += 64)
      LLVM::Prefetch::create(e.b, e.loc, e.offsetBytes(at, e.i64(ahead + line)),
                             /*rw=*/0, /*hint=*/2, /*cache=*/1);
  }

  /// One chain over ascending k for each output.
  SmallVector<Value> chains(ArrayRef<Value> x, Tile tile, Value w) {
    SmallVector<Value> zeros(x.size() * tile.vectors, e.splatF32(0));
    return e.loop(
        e.i64(0), e.i64(p.w.k), 1, zeros, [&](Value k, ValueRange sums) {
          SmallVector<Value> next, weights;
          Value base = e.offset(w, e.mul(k, e.i64(kPanel)), element);
          if (x.size() == 1)
            prefetch(base, kPanel * Emitter::bytesOf(element));
          for (int64_t v = 0; v < tile.vectors; ++v)
            weights.push_back(
                e.loadLanes(e.offsetBytes(base, behind(v)), element));
          for (auto [i, row] : llvm::enumerate(x)) {
            Value lanes =
                e.splat(e.loadScalar(e.offset(row, k, p.xElement), p.xElement));
            for (int64_t v = 0; v < tile.vectors; ++v)
              next.push_back(
                  e.fma(lanes, weights[v], sums[i * tile.vectors + v]));
          }
          return next;
        });
  }

  /// Per 32 values of k, chains over even and odd k from 0; total += even + odd.
  SmallVector<Value> pairChains(ArrayRef<Value> x, Tile tile, Value w) {
    int64_t blocks = p.w.k / 32, rest = p.w.k % 32;
    SmallVector<Value> totals(x.size() * tile.vectors, e.splatF32(0));
    if (blocks)
      totals = e.loop(e.i64(0), e.i64(blocks), 1, totals,
                      [&](Value block, ValueRange sums) {
                        return pairBlock(x, tile, w, block, 16, false, sums);
                      });
    if (rest)
      totals = pairBlock(x, tile, w, e.i64(blocks), (rest + 1) / 2, rest % 2,
                         totals);
    return totals;
  }

  SmallVector<Value> pairBlock(ArrayRef<Value> x, Tile tile, Value w,
                               Value block, int64_t pairCount, bool halfPair,
                               ValueRange totals) {
    int64_t vectors = tile.vectors, outputs = totals.size();
    Value base = e.offsetBytes(w, e.mul(block, e.i64(2048)));
    Value k0 = e.mul(block, e.i64(32));
    if (x.size() == 1)
      prefetch(base, 2048);
    auto step = [&](Value pair, ValueRange sums, bool oddToo) {
      SmallVector<Value> next(sums.begin(), sums.end()), even, odd;
      Value pairs = e.offsetBytes(base, e.mul(pair, e.i64(64)));
      for (int64_t v = 0; v < vectors; ++v) {
        Value bits =
            e.loadLanes(e.offsetBytes(pairs, behind(v)), e.b.getI32Type());
        even.push_back(
            float_(arith::ShLIOp::create(e.b, e.loc, bits, e.splatI32(16))));
        odd.push_back(float_(
            arith::AndIOp::create(e.b, e.loc, bits, e.splatI32(0xffff0000))));
      }
      for (auto [i, row] : llvm::enumerate(x)) {
        Value at = e.offset(row, e.add(k0, e.mul(pair, e.i64(2))), p.xElement);
        Value a = e.splat(e.loadScalar(at, p.xElement));
        for (int64_t v = 0; v < vectors; ++v)
          next[i * vectors + v] = e.fma(a, even[v], sums[i * vectors + v]);
        if (!oddToo)
          continue;
        Value c = e.splat(
            e.loadScalar(e.offset(at, e.i64(1), p.xElement), p.xElement));
        for (int64_t v = 0; v < vectors; ++v)
          next[outputs + i * vectors + v] =
              e.fma(c, odd[v], sums[outputs + i * vectors + v]);
      }
      return next;
    };
    SmallVector<Value> sums(2 * outputs, e.splatF32(0));
    int64_t whole = halfPair ? pairCount - 1 : pairCount;
    if (whole)
      sums =
          e.loop(e.i64(0), e.i64(whole), 1, sums,
                 [&](Value pair, ValueRange s) { return step(pair, s, true); });
    if (halfPair)
      sums = step(e.i64(pairCount - 1), sums, false);
    SmallVector<Value> next;
    for (int64_t i = 0; i < outputs; ++i)
      next.push_back(e.addF(totals[i], e.addF(sums[i], sums[outputs + i])));
    return next;
  }

  Value float_(Value bits) {
    return arith::BitcastOp::create(e.b, e.loc, e.vecF32(), bits);
  }

  Emitter &e;
  const Product &p;
  ArrayRef<Tile> tiles;
  Value panels, column;
  bool pairs;
  Type element;
  int64_t vectorBytes; // from the first vector of a panel to the second
};

/// All blocks of panels of all groups as work items; |make| gives the product
/// of a group.
void emitGroups(
    Emitter &e, const PackedWeight &w,
    function_ref<void(Value group, function_ref<void(const Product &)>)> make) {
  SmallVector<Tile> tiles = tilesOf(e.isa, w.format);
  bool amx = inTiles(e.isa, w);
  PanelBlocks blocks(w, amx);
  int64_t grain = std::max<int64_t>(1, 32768 / (w.k * kPanel * blocks.size));
  e.parallel(e.i64(w.groups * blocks.count), grain, [&](Value item) {
    bool one = w.groups == 1;
    Value group = one ? e.i64(0) : e.udiv(item, e.i64(blocks.count));
    Value block = one ? item : e.urem(item, e.i64(blocks.count));
    Value first = e.mul(block, e.i64(blocks.size));
    Value panel = one ? first : e.add(first, e.mul(group, e.i64(w.panels())));
    Value base = e.offsetBytes(w.base, e.mul(panel, e.i64(w.panelBytes())));
    make(group, [&](const Product &p) {
      BlockEmitter(e, p, tiles, base, e.mul(first, e.i64(kPanel)))
          .run(blocks, block, amx);
    });
  });
}

LogicalResult emitLinear(EntryContext &c, Operation *op) {
  auto linear = cast<nn::LinearOp>(op);
  Emitter &e = c.e;
  const Buffer &x = c.buffer(linear.getX()), &y = c.result(op);
  const Buffer *bias = linear.getBias() ? &c.buffer(linear.getBias()) : nullptr;
  auto packed = packedWeight(c, op, linear.getX(), linear.getW());
  if (failed(packed))
    return failure();
  const PackedWeight &w = *packed;
  // A vector is one row to the emitter: its elements are rows of width 1.
  Buffer flat;
  if (bias) {
    flat = *bias;
    flat.width = w.n;
  }
  emitGroups(e, w, [&](Value, function_ref<void(const Product &)> run) {
    auto xRow = [&](Value row) { return e.address(x, row); };
    auto yRow = [&](Value row) { return e.address(y, row); };
    run({w, x.element, y.element, x.rows, xRow, yRow, bias ? &flat : nullptr,
         e.i64(0)});
  });
  return success();
}

LogicalResult emitHeadLinear(EntryContext &c, Operation *op) {
  auto linear = cast<nn::HeadLinearOp>(op);
  Emitter &e = c.e;
  const Buffer &x = c.buffer(linear.getX()), &y = c.result(op);
  auto packed = packedWeight(c, op, linear.getX(), linear.getW());
  if (failed(packed))
    return failure();
  const PackedWeight &w = *packed;
  emitGroups(e, w, [&](Value head, function_ref<void(const Product &)> run) {
    auto xRow = [&](Value row) {
      return e.address(x, row, e.mul(head, e.i64(w.k)));
    };
    auto yRow = [&](Value row) {
      return e.address(y, row, e.mul(head, e.i64(w.n)));
    };
    run({w, x.element, y.element, x.rows, xRow, yRow, nullptr, Value()});
  });
  return success();
}

LogicalResult emitGrouped(EntryContext &c, Operation *op) {
  auto product = cast<moe::GroupedMatmulOp>(op);
  Emitter &e = c.e;
  const Buffer &x = c.buffer(product.getX()), &y = c.result(op);
  const PlanBuffers &plan = c.plan(product.getPlan());
  const Buffer *bias =
      product.getBias() ? &c.buffer(product.getBias()) : nullptr;
  auto packed = packedWeight(c, op, product.getX(), product.getW());
  if (failed(packed))
    return failure();
  const PackedWeight &w = *packed;
  Type i32 = e.b.getI32Type();
  emitGroups(e, w, [&](Value expert, function_ref<void(const Product &)> run) {
    Value first = e.toI64(e.loadScalar(e.address(plan.offsets, expert), i32));
    Value last = e.toI64(
        e.loadScalar(e.address(plan.offsets, e.add(expert, e.i64(1))), i32));
    auto xRow = [&](Value row) {
      Value r = e.add(first, row);
      if (product.getGather())
        r = e.udiv(e.toI64(e.loadScalar(e.address(plan.row2slot, r), i32)),
                   e.i64(plan.k));
      return e.address(x, r);
    };
    auto yRow = [&](Value row) { return e.address(y, e.add(first, row)); };
    run({w, x.element, y.element, e.sub(last, first), xRow, yRow, bias,
         expert});
  });
  return success();
}

LogicalResult emitSegmentLinear(EntryContext &c, Operation *op) {
  auto linear = cast<nn::SegmentLinearOp>(op);
  Emitter &e = c.e;
  const Buffer &x = c.buffer(linear.getX()), &y = c.result(op),
               &weights = c.buffer(linear.getW());
  PackedWeight w = segmentWeight(c, op, linear.getX(), linear.getW());
  eachSegment(c, linear.getCuSeqlens(), x.rows,
              [&](Value sequence, Value first, Value last) {
                Value at = e.mul(sequence, e.i64(w.n * w.k));
                packGroups(e, w, e.offset(weights.base, at, weights.element),
                           weights.element);
                emitGroups(e, w,
                           [&](Value, function_ref<void(const Product &)> run) {
                             auto xRow = [&](Value row) {
                               return e.address(x, e.add(first, row));
                             };
                             auto yRow = [&](Value row) {
                               return e.address(y, e.add(first, row));
                             };
                             run({w, x.element, y.element, e.sub(last, first),
                                  xRow, yRow, nullptr, Value()});
                           });
              });
  return success();
}

Extent segmentPack(Operation *op, const Extent &) {
  return segmentScratch(op->getOperand(0), op->getOperand(1));
}

/// The rows of products come first, their weights at |weight|.
template <unsigned weight> Extent packOf(Operation *op, const Extent &) {
  return packScratch(op->getOperand(0), op->getOperand(weight));
}
} // namespace

void Product::finish(Emitter &e, Value y, Value at, Value sum) const {
  Value mask;
  if (w.n % kPanel) {
    Value left = e.splat(e.toI32(e.sub(e.i64(w.n), at)));
    mask = e.cmp(arith::CmpIPredicate::slt, e.iota(), left);
  }
  if (bias)
    sum = e.addF(sum, e.load(*bias, biasRow, at, mask));
  e.storeLanes(e.offset(y, at, yElement), yElement, sum, mask);
}

void moe::cpu::addMatmulKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::LinearOp::getOperationName()] = {emitLinear, packOf<1>};
  table[nn::HeadLinearOp::getOperationName()] = {emitHeadLinear, packOf<1>};
  table[nn::SegmentLinearOp::getOperationName()] = {emitSegmentLinear,
                                                    segmentPack};
  table[moe::GroupedMatmulOp::getOperationName()] = {emitGrouped, packOf<2>};
}
