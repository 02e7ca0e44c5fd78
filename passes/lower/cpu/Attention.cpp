// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Causal attention. A head of a token walks the keys of its sequence in chunks
// of 64 from position 0, keeps the largest score and the sum of exponentials so
// far, and scales what it has when a chunk raises the largest. A work item is
// one head of one token or, where sequences bring many, of 16: these walk the
// chunks that all of them see together.
#include "passes/lower/cpu/HeadAttention.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
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
             float(op.getCap().convertToDouble()),
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
                 Value block = inTurn(e.udiv(item, e.i64(sizes.heads)), blocks);
                 Value first = e.mul(block, size);
                 runItem(first, e.minI(e.sub(q.rows, first), size), head);
               });
  }

private:
  /// First, last, second, last but one …: later tokens see more keys, and the
  /// shares of all threads shall cost alike.
  Value inTurn(Value block, Value blocks) {
    Value half = e.udiv(block, e.i64(2));
    Value fromEnd = e.sub(e.sub(blocks, e.i64(1)), half);
    Value odd =
        e.cmp(arith::CmpIPredicate::ne, e.urem(block, e.i64(2)), e.i64(0));
    return e.select(odd, fromEnd, half);
  }

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
