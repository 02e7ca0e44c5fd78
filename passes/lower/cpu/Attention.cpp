// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Causal attention. A head of a token walks the keys of its sequence in chunks
// of 64 from position 0, keeps the largest score and the sum of exponentials so
// far, and scales what it has when a chunk raises the largest. A work item is
// one head of one token or, where sequences bring many, of 16: these walk the
// chunks that all of them see together.
#include "passes/lower/cpu/QueryBlock.h"
#include "passes/lower/cpu/Views.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Keys whose scores are summed together.
constexpr int64_t kKeys = 4;
constexpr float kInf = std::numeric_limits<float>::infinity();

/// One head of one token.
class HeadAttention {
public:
  HeadAttention(Emitter &e, const AttentionSizes &sizes, KeySource &source)
      : e(e), sizes(sizes), source(source) {
    query = e.scratch(padded(sizes.keyDims) * 4);
    scores = e.scratch(kChunk * 4);
  }

  /// |q| and |out| point to the rows of the head; |position| is the last key.
  /// The keys [0, seen), whole chunks, are in query |of| of |block|.
  void run(Value q, Type qElement, Value position, Value out, Type outElement,
           QueryBlock &block, Value of, Value seen) {
    sums = block.sums(of);
    e.lanes(sizes.keyDims, [&](Value column, Value mask) {
      e.storeLanes(cell(query, column), f32(),
                   e.loadLanes(e.offset(q, column, qElement), qElement, mask));
    });
    Value begin = seen, firstKey, end = e.add(position, e.i64(1));
    if (sizes.window) {
      firstKey = e.maxI(e.i64(0), e.sub(end, e.i64(sizes.window)));
      begin = e.maxI(
          begin, arith::AndIOp::create(e.b, e.loc, firstKey, e.i64(-kChunk)));
    }
    Values state =
        e.loop(begin, end, kChunk,
               ValueRange{e.loadScalar(block.largest(of), f32()),
                          e.loadScalar(block.total(of), f32())},
               [&](Value first, ValueRange state) {
                 Value from = firstKey ? e.maxI(first, firstKey) : first;
                 return chunk(from, e.minI(e.add(first, e.i64(kChunk)), end),
                              state[0], state[1]);
               });
    Value total = e.splat(state[1]);
    e.lanes(sizes.valueDims, [&](Value column, Value mask) {
      Value value = e.divF(e.loadLanes(cell(sums, column), f32()), total);
      e.storeLanes(e.offset(out, column, outElement), outElement, value, mask);
    });
  }

private:
  static int64_t padded(int64_t n) { return AttentionSizes::padded(n); }
  Type f32() { return e.b.getF32Type(); }
  Value cell(Value base, Value at) { return e.offset(base, at, f32()); }

  /// Takes the keys [begin, end) of one chunk in; gives the next largest score
  /// and sum of exponentials.
  Values chunk(Value begin, Value end, Value largest, Value total) {
    eachScore(
        [&](Value at, Value) { e.storeLanes(at, f32(), e.splatF32(-kInf)); });
    source.runs(begin, end, {}, [&](const Run &run, ValueRange) {
      Value whole =
          e.add(run.first,
                arith::AndIOp::create(e.b, e.loc, e.sub(run.last, run.first),
                                      e.i64(-kKeys)));
      e.loop(run.first, whole, kKeys,
             [&](Value key) { scoresOf(run, key, begin, kKeys); });
      e.loop(whole, run.last, 1,
             [&](Value key) { scoresOf(run, key, begin, 1); });
      return Values();
    });
    Value best;
    eachScore(
        [&](Value, Value lanes) { best = best ? e.maxF(best, lanes) : lanes; });
    Value raised = e.maxF(largest, e.maxLanes(best));
    Value factor = e.exp(e.subF(largest, raised)), shift = e.splat(raised);
    eachScore([&](Value at, Value lanes) {
      e.storeLanes(at, f32(), e.exp(e.subF(lanes, shift)));
    });
    total = e.mulF(total, factor);
    // Blocks of lanes that fit the registers; the first one also adds up.
    int64_t vectors = padded(sizes.valueDims) / kLanes,
            most = e.isa.vectors == 2 ? 8 : 4;
    for (int64_t first = 0; first < vectors; first += most) {
      Value sum = addValues(begin, end, first, std::min(most, vectors - first),
                            e.splat(factor), first ? Value() : total);
      total = first ? total : sum;
    }
    return {raised, total};
  }

  void eachScore(function_ref<void(Value at, Value lanes)> body) {
    for (int64_t i = 0; i < kChunk; i += kLanes) {
      Value at = cell(scores, e.i64(i));
      body(at, e.loadLanes(at, f32()));
    }
  }

  /// Scores of |count| keys from |key|, stored from the place of key - begin.
  void scoresOf(const Run &run, Value key, Value begin, int64_t count) {
    Values keys;
    Value start = e.mul(e.sub(key, run.origin), e.i64(source.keyStride));
    for (int64_t i = 0; i < count; ++i)
      keys.push_back(e.offset(
          run.keys, i ? e.add(start, e.i64(i * source.keyStride)) : start,
          source.element));
    Values dots(count, e.splatF32(0));
    dots = shortLanes(
        e, sizes.keyDims, dots, [&](Value column, Value mask, ValueRange dots) {
          Value q = e.loadLanes(cell(query, column), f32());
          Values next;
          for (auto [base, dot] : llvm::zip(keys, dots))
            next.push_back(
                e.fma(q,
                      e.loadLanes(e.offset(base, column, source.element),
                                  source.element, mask),
                      dot));
          return next;
        });
    Value at = cell(scores, e.sub(key, begin));
    if (count == 1)
      return e.storeScalar(at, f32(),
                           e.mulF(e.sumLanes(dots[0]), e.f32(sizes.scale)));
    LLVM::StoreOp::create(e.b, e.loc, scaledSums(dots), at, 4);
  }

  /// The sums of the lanes of four vectors, times the scale, by the tree of
  /// Emitter::sumLanes: lanes 8 apart, 4, 2, 1.
  Value scaledSums(ArrayRef<Value> v) {
    auto shuffle = [&](Value a, Value b, ArrayRef<int64_t> order) -> Value {
      return vector::ShuffleOp::create(e.b, e.loc, a, b, order);
    };
    // Of each group of 2·apart lanes, the front halves and the back halves.
    auto fold = [&](Value a, Value b, int64_t apart) {
      SmallVector<int64_t> front, back;
      for (int64_t i = 0; i < 2 * kLanes; i += 2 * apart)
        for (int64_t j = i; j < i + apart; ++j) {
          front.push_back(j);
          back.push_back(j + apart);
        }
      return e.addF(shuffle(a, b, front), shuffle(a, b, back));
    };
    auto turn = [&](Value a, int64_t apart) {
      SmallVector<int64_t> order;
      for (int64_t i = 0; i < kLanes; ++i)
        order.push_back(i ^ apart);
      return e.addF(a, shuffle(a, a, order));
    };
    Value sums = fold(fold(v[0], v[1], 8), fold(v[2], v[3], 8), 4);
    sums = turn(turn(sums, 2), 1);
    Value four = shuffle(sums, sums, {0, 4, 8, 12});
    auto type = cast<VectorType>(four.getType());
    Value scale = arith::ConstantOp::create(
        e.b, e.loc, DenseElementsAttr::get(type, sizes.scale));
    return e.mulF(four, scale);
  }

  /// sums = sums·factor + Σ p·value for |count| vectors of lanes from vector
  /// |first|; also total + Σ p where |total| is given.
  Value addValues(Value begin, Value end, int64_t first, int64_t count,
                  Value factor, Value total) {
    Values state;
    for (int64_t i = 0; i < count; ++i)
      state.push_back(e.mulF(
          e.loadLanes(cell(sums, e.i64((first + i) * kLanes)), f32()), factor));
    if (total)
      state.push_back(total);
    auto addKey = [&](const Run &run, Value key, ValueRange state) {
      Value p = e.loadScalar(cell(scores, e.sub(key, begin)), f32()),
            lanes = e.splat(p);
      Value start = e.mul(e.sub(key, run.origin), e.i64(source.valueStride));
      Values next;
      for (int64_t i = 0; i < count; ++i) {
        int64_t column = (first + i) * kLanes;
        Value mask = sizes.valueDims - column < kLanes
                         ? e.tailMask(sizes.valueDims - column)
                         : Value();
        Value at =
            e.offset(run.values, e.add(start, e.i64(column)), source.element);
        next.push_back(
            e.fma(lanes, e.loadLanes(at, source.element, mask), state[i]));
      }
      if (total)
        next.push_back(e.addF(state[count], p));
      return next;
    };
    state =
        source.runs(begin, end, state, [&](const Run &run, ValueRange state) {
          return e.loop(run.first, run.last, 1, state,
                        [&](Value key, ValueRange state) {
                          return addKey(run, key, state);
                        });
        });
    for (int64_t i = 0; i < count; ++i)
      e.storeLanes(cell(sums, e.i64((first + i) * kLanes)), f32(), state[i]);
    return total ? state.back() : Value();
  }

  Emitter &e;
  const AttentionSizes &sizes;
  KeySource &source;
  Value query, sums, scores;
};

/// One nn.attend.
class Attention {
public:
  Attention(EntryContext &c, nn::AttendOp op) : c(c), e(c.e), op(op) {
    auto q = tensorOf(op.getQ()), k = tensorOf(op.getK());
    sizes = {q.getDimSize(1),
             k.getDimSize(1),
             k.getDimSize(2),
             lastDim(op.getOut()),
             int64_t(op.getWindow()),
             float(op.getScale().convertToDouble()),
             op.getTiled()};
    if (op.getCache()) {
      width = op.getCache().getType().getWidth();
      record = op.getCache().getType().getElementType();
      Value layer = e.mul(c.layer(op.getLayer()),
                          e.mul(c.pages, e.mul(c.pageLength, e.i64(width))));
      cache = e.offset(c.cache(op.getCache()), layer, record);
    }
  }

  void run() {
    if (cache)
      write();
    const Buffer &q = c.buffer(op.getQ());
    // Tokens of an item: 16 where a sequence brings as many.
    Value many = e.cmp(arith::CmpIPredicate::sge, c.longest, e.i64(kLanes));
    Value size = e.select(many, e.i64(kLanes), e.i64(1));
    Value blocks = e.udiv(e.add(q.rows, e.sub(size, e.i64(1))), size);
    Value items = e.mul(blocks, e.i64(sizes.heads));
    e.parallel(items, Emitter::grainFor(32 * (sizes.keyDims + sizes.valueDims)),
               [&](Value item) {
                 Value head = e.urem(item, e.i64(sizes.heads));
                 Value first = e.mul(e.udiv(item, e.i64(sizes.heads)), size);
                 runItem(first, e.minI(e.sub(q.rows, first), size), head);
               });
  }

private:
  /// |count| tokens from |first|, at most 16, by one head.
  void runItem(Value first, Value count, Value head) {
    const Buffer &q = c.buffer(op.getQ()), &out = c.result(op);
    Value keyHead = sizes.tiled
                        ? e.urem(head, e.i64(sizes.keyHeads))
                        : e.udiv(head, e.i64(sizes.heads / sizes.keyHeads));
    PackSource pack(e.i64(0));
    PageSource pages(e, c.pageLength);
    KeySource &source = cache ? static_cast<KeySource &>(pages) : pack;
    auto find = [&](Value token) {
      return cache ? ofPages(pages, token, keyHead)
                   : ofPack(pack, token, keyHead);
    };
    auto query = [&](Value token) {
      return e.address(q, token, e.mul(head, e.i64(sizes.keyDims)));
    };
    Value start = find(first);
    QueryBlock block(e, sizes, source);
    Value sink;
    if (op.getSinks()) {
      const Buffer &sinks = c.buffer(op.getSinks());
      sink = e.loadScalar(e.offset(sinks.base, head, sinks.element),
                          sinks.element);
    }
    block.start(count, sink);
    // Whole chunks that all see: of 16 tokens on consecutive positions.
    Value last = e.add(first, e.sub(count, e.i64(1)));
    auto alike = [&](Value a, Value b) {
      return e.cmp(arith::CmpIPredicate::eq, a, b);
    };
    auto both = [&](Value a, Value b) -> Value {
      return arith::AndIOp::create(e.b, e.loc, a, b);
    };
    Value together = both(alike(count, e.i64(kLanes)),
                          alike(sequenceOf(first), sequenceOf(last)));
    Value end = e.add(start, e.i64(kLanes));
    if (cache)
      together = both(together, alike(e.add(positionOf(last), e.i64(1)), end));
    if (sizes.window)
      together = both(
          together, e.cmp(arith::CmpIPredicate::sle, end, e.i64(sizes.window)));
    Value whole = both(e.add(start, e.i64(1)), e.i64(-kChunk));
    Value seen = e.select(together, whole, e.i64(0));
    e.ifThen(e.cmp(arith::CmpIPredicate::sgt, seen, e.i64(0)),
             [&] { block.run(query(first), q.width, q.element, seen); });
    e.loop(e.i64(0), count, 1, [&](Value i) {
      Value token = e.add(first, i);
      Value position = find(token);
      HeadAttention attention(e, sizes, source);
      attention.run(query(token), q.element, position,
                    e.address(out, token, e.mul(head, e.i64(sizes.valueDims))),
                    out.element, block, i, seen);
    });
  }

  Value index(const Buffer &x, Value at) {
    return e.toI64(e.loadScalar(e.offset(x.base, at, x.element), x.element));
  }
  Value positionOf(Value token) {
    return index(c.buffer(op.getPositions()), token);
  }
  Value sequenceOf(Value token) {
    return index(c.sequenceOf(op.getCuSeqlens()), token);
  }

  /// Row of the block table of the sequence of |token|.
  Value tableRow(Value token) {
    const Buffer &table = c.buffer(op.getBlockTable());
    Value slot = index(c.buffer(op.getSlot()), sequenceOf(token));
    return e.offset(table.base, e.mul(slot, c.pagesPerSequence), table.element);
  }

  /// Fills |source| and gives the position of |token|.
  Value ofPages(PageSource &source, Value token, Value keyHead) {
    source.element = record;
    source.keyStride = source.valueStride = width;
    source.table = tableRow(token);
    source.keys = source.values =
        e.offset(cache, e.mul(keyHead, e.i64(sizes.keyDims)), record);
    if (op.getV()) {
      Value behind = e.add(e.i64(sizes.keyHeads * sizes.keyDims),
                           e.mul(keyHead, e.i64(sizes.valueDims)));
      source.values = e.offset(cache, behind, record);
    }
    return positionOf(token);
  }

  Value ofPack(PackSource &source, Value token, Value keyHead) {
    const Buffer &k = c.buffer(op.getK());
    Value first = index(c.buffer(op.getCuSeqlens()), sequenceOf(token));
    source.element = k.element;
    source.keyStride = source.valueStride = k.width;
    source.keys = source.values =
        e.address(k, first, e.mul(keyHead, e.i64(sizes.keyDims)));
    if (op.getV()) {
      const Buffer &v = c.buffer(op.getV());
      source.valueStride = v.width;
      source.values =
          e.address(v, first, e.mul(keyHead, e.i64(sizes.valueDims)));
    }
    return e.sub(token, first);
  }

  /// Writes the keys and values of the pack to their records.
  void write() {
    const Buffer &k = c.buffer(op.getK()),
                 *v = op.getV() ? &c.buffer(op.getV()) : nullptr;
    e.parallel(k.rows, Emitter::grainFor(width), [&](Value token) {
      Value position = positionOf(token);
      Value at = e.udiv(position, c.pageLength);
      Type i32 = e.b.getI32Type();
      Value page =
          e.toI64(e.loadScalar(e.offset(tableRow(token), at, i32), i32));
      Value inPage = e.sub(position, e.mul(at, c.pageLength));
      Value target = e.offset(
          cache, e.mul(e.add(e.mul(page, c.pageLength), inPage), e.i64(width)),
          record);
      auto copy = [&](const Buffer &from, int64_t start) {
        e.lanes(from.width, [&](Value column, Value mask) {
          Value to = e.offset(target, e.add(column, e.i64(start)), record);
          e.storeLanes(to, record, e.load(from, token, column, mask), mask);
        });
      };
      copy(k, 0);
      if (v)
        copy(*v, k.width);
    });
  }

  EntryContext &c;
  Emitter &e;
  nn::AttendOp op;
  AttentionSizes sizes;
  Value cache; // record 0 of the layer, or null
  Type record;
  int64_t width = 0;
};

LogicalResult emitAttend(EntryContext &c, Operation *op) {
  auto attend = cast<nn::AttendOp>(op);
  if (attend.getV() && !attend.getCache() &&
      c.buffer(attend.getK()).element != c.buffer(attend.getV()).element)
    return op->emitOpError(
        "has no code for keys and values of different element types");
  Attention(c, attend).run();
  return success();
}
} // namespace

void moe::cpu::addAttentionKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::AttendOp::getOperationName()] = {emitAttend};
}
