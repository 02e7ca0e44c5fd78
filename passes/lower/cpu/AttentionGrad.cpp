// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradients of attention. A unit of work is a sequence with the query heads of
// one key head or, where there are few key heads, with some of them: it copies
// keys and values to memory of its own, adds up their gradients there, and
// takes its queries in blocks of 16 counted from the start of the sequence.
// Where several units share a key head, their gradients are added up after that.
#include "passes/lower/cpu/GradBlock.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
/// Units of a sequence at least, where it has as many query heads.
constexpr int64_t kUnits = 16;
/// Units that run at a time at most; each has memory for the longest sequence.
constexpr int64_t kSlots = 32;
/// Tokens whose gradients are added up over units together.
constexpr int64_t kTokens = 64;

/// What an operation needs: rows for each token of a slot, rows of gradients
/// that may have to stay for each token of a unit, a block for each slot.
struct GradSizes {
  AttentionSizes of;
  bool latent;
  int64_t group, parts; // query heads of a key head; units of these

  explicit GradSizes(nn::AttendGradOp op) {
    auto q = tensorOf(op.getQ()), k = tensorOf(op.getK());
    of = {q.getDimSize(1),
          k.getDimSize(1),
          k.getDimSize(2),
          lastDim(op.getDy()),
          int64_t(op.getWindow()),
          float(op.getScale().convertToDouble()),
          float(op.getCap().convertToDouble()),
          op.getTiled()};
    latent = !op.getV();
    group = of.heads / of.keyHeads;
    parts = 1;
    while (group % parts || of.keyHeads * parts < std::min(kUnits, of.heads))
      ++parts;
  }

  int64_t units() const { return of.keyHeads * parts; }
  int64_t keyRow() const { return AttentionSizes::padded(of.keyDims); }
  /// Of values apart from keys.
  int64_t valueRow() const {
    return latent ? 0 : AttentionSizes::padded(of.valueDims);
  }
  int64_t slopeRow() const { return of.cap ? kLanes : 0; }
  int64_t gradRow() const { return keyRow() + valueRow(); }
  /// Keys, values, scores, products and slopes.
  int64_t slotRow() const { return gradRow() + 2 * kLanes + slopeRow(); }
  bool gradsStay() const { return parts > 1; }
};

Extent gradScratch(Operation *op, const Extent &) {
  GradSizes sizes(cast<nn::AttendGradOp>(op));
  int64_t slot = 4 * kSlots * sizes.slotRow(), unit = 0;
  if (sizes.gradsStay())
    unit = 4 * sizes.units() * sizes.gradRow();
  else
    slot += 4 * kSlots * sizes.gradRow();
  // Sequences end at whole blocks.
  Extent bytes{.perToken = unit, .perLongest = slot};
  bytes.perSequence += kLanes * unit + 4 * sizes.of.heads;
  bytes.constant += kLanes * slot + 4 * kSlots * GradBlock::size(sizes.of);
  return bytes;
}

class AttentionGrad {
public:
  AttentionGrad(EntryContext &c, nn::AttendGradOp op)
      : c(c), e(c.e), op(op), sizes(op), of(sizes.of) {}

  void run() {
    Value units = e.mul(c.sequences, e.i64(sizes.units()));
    Value slots = e.minI(units, e.i64(kSlots));
    place();
    e.parallel(slots, 1, [&](Value slot) {
      auto share = [&](Value slot) {
        return e.udiv(e.mul(slot, units), slots);
      };
      e.loop(share(slot), share(e.add(slot, e.i64(1))), 1,
             [&](Value unit) { runUnit(unit, slot); });
    });
    if (sizes.gradsStay())
      addUnits();
    if (op.getSinks())
      addSinks();
  }

private:
  struct Sequence {
    Value number, token, length; // the first token, and how many
  };

  Type f32() { return e.b.getF32Type(); }
  Value cell(Value base, Value at) { return e.offset(base, at, f32()); }
  Value multiple(Value n) {
    return arith::AndIOp::create(e.b, e.loc, n, e.i64(-kLanes));
  }

  /// Divides the scratch memory up.
  void place() {
    Value at = c.scratch(op);
    slotRows = e.add(c.longest, e.i64(kLanes));
    unitRows = slotRows;
    Value rows = e.mul(slotRows, e.i64(kSlots)), gradRows = rows;
    if (sizes.gradsStay()) {
      unitRows = e.add(c.tokens, e.mul(c.sequences, e.i64(kLanes)));
      gradRows = e.mul(unitRows, e.i64(sizes.units()));
    }
    auto part = [&](int64_t width, Value rows) -> Rows {
      Value base = at;
      at = cell(at, e.mul(rows, e.i64(width)));
      return {base, width};
    };
    all.keys = part(sizes.keyRow(), rows);
    all.values = sizes.latent ? all.keys : part(sizes.valueRow(), rows);
    all.scores = part(kLanes, rows);
    all.products = part(kLanes, rows);
    all.slopes = part(sizes.slopeRow(), rows);
    all.keyGrads = part(sizes.keyRow(), gradRows);
    all.valueGrads =
        sizes.latent ? all.keyGrads : part(sizes.valueRow(), gradRows);
    blocks = part(GradBlock::size(of), e.i64(kSlots));
    sinkGrads = at;
  }

  Sequence sequence(Value number) {
    const Buffer &cu = c.buffer(op.getCuSeqlens());
    auto at = [&](Value i) {
      return e.toI64(e.loadScalar(e.address(cu, i), cu.element));
    };
    Value token = at(number);
    return {number, token, e.sub(at(e.add(number, e.i64(1))), token)};
  }
  /// Where the gradients of a sequence start in a unit of it.
  Value gradRow(const Sequence &s, Value unit) {
    return e.add(e.mul(unit, unitRows),
                 e.add(s.token, e.mul(s.number, e.i64(kLanes))));
  }
  Rows from(const Rows &rows, Value first) {
    return {rows.at(e, first), rows.width};
  }
  /// Rows of positions from |first|, position 0 lying in |row| and |gradRow|.
  KeyRows from(Value row, Value gradRow, Value first) {
    row = e.add(row, first);
    gradRow = e.add(gradRow, first);
    return {from(all.keys, row),         from(all.values, row),
            from(all.keyGrads, gradRow), from(all.valueGrads, gradRow),
            from(all.scores, row),       from(all.products, row),
            from(all.slopes, row)};
  }

  void runUnit(Value unit, Value slot) {
    Sequence s = sequence(e.udiv(unit, e.i64(sizes.units())));
    unit = e.urem(unit, e.i64(sizes.units()));
    Value row = e.mul(slot, slotRows);
    Value grads = sizes.gradsStay() ? gradRow(s, unit) : row;
    Value keyHead = e.udiv(unit, e.i64(sizes.parts));
    KeyRows rows = from(row, grads, e.i64(0));
    copyIn(s, op.getK(), of.keyDims, keyHead, rows.keys, rows.keyGrads);
    if (!sizes.latent)
      copyIn(s, op.getV(), of.valueDims, keyHead, rows.values, rows.valueGrads);
    int64_t heads = sizes.group / sizes.parts;
    Value first = e.mul(e.urem(unit, e.i64(sizes.parts)), e.i64(heads));
    GradBlock block(e, of, blocks.at(e, slot));
    e.loop(e.i64(0), e.i64(heads), 1, [&](Value i) {
      Value member = e.add(first, i);
      Value head = of.tiled ? e.add(e.mul(member, e.i64(of.keyHeads)), keyHead)
                            : e.add(e.mul(keyHead, e.i64(sizes.group)), member);
      runHead(s, head, block, row, grads);
    });
    if (!sizes.gradsStay())
      copyOut(s, keyHead, grads, e.i64(0), s.length);
  }

  void runHead(const Sequence &s, Value head, GradBlock &block, Value row,
               Value gradRow) {
    Value sink;
    if (op.getSinks()) {
      const Buffer &sinks = c.buffer(op.getSinks());
      sink = e.splat(e.loadScalar(e.offset(sinks.base, head, sinks.element),
                                  sinks.element));
    }
    auto run = [&](Value first, ValueRange shares) {
      Value begin = e.i64(0);
      if (of.window)
        begin = multiple(e.maxI(begin, e.sub(first, e.i64(of.window - 1))));
      Value share = block.run(
          c.buffer(op.getQ()), c.buffer(op.getDy()), c.buffer(op.getDq()),
          e.add(s.token, first), e.minI(e.sub(s.length, first), e.i64(kLanes)),
          head, from(row, gradRow, begin), e.sub(begin, first),
          e.sub(e.add(first, e.i64(kLanes)), begin), sink);
      return Values{sink ? e.subF(shares[0], share) : shares[0]};
    };
    Value shares =
        e.loop(e.i64(0), s.length, kLanes, ValueRange{e.splatF32(0)}, run)[0];
    if (sink)
      e.storeScalar(sinkGrad(s.number, head), f32(), e.sumLanes(shares));
  }

  /// Rows of a key head in f32, zero up to a whole block; their gradients 0.
  void copyIn(const Sequence &s, Value tensor, int64_t dims, Value keyHead,
              const Rows &to, const Rows &grads) {
    const Buffer &x = c.buffer(tensor);
    e.loop(e.i64(0), s.length, 1, [&](Value i) {
      Value row = to.at(e, i);
      e.lanes(dims, [&](Value column, Value mask) {
        Value at = e.add(e.mul(keyHead, e.i64(dims)), column);
        e.storeLanes(cell(row, column), f32(),
                     e.load(x, e.add(s.token, i), at, mask));
      });
    });
    Value end = multiple(e.add(s.length, e.i64(kLanes - 1)));
    auto clear = [&](const Rows &rows, Value first) {
      Value width = e.i64(rows.width);
      e.loop(e.mul(first, width), e.mul(end, width), kLanes, [&](Value at) {
        e.storeLanes(cell(rows.base, at), f32(), e.splatF32(0));
      });
    };
    clear(to, s.length);
    clear(grads, e.i64(0));
  }

  /// Writes the gradients of the tokens [begin, end) of a key head, those of
  /// its first unit lying from |row|: the sums over its units.
  void copyOut(const Sequence &s, Value keyHead, Value row, Value begin,
               Value end) {
    auto copy = [&](Value tensor, int64_t dims, const Rows &grads) {
      const Buffer &x = c.buffer(tensor);
      Value unit = e.mul(unitRows, e.i64(grads.width));
      e.loop(begin, end, 1, [&](Value i) {
        Value first = grads.at(e, e.add(row, i));
        e.lanes(dims, [&](Value column, Value mask) {
          Value from = cell(first, column), sum = e.loadLanes(from, f32());
          if (sizes.parts > 1)
            sum =
                e.loop(e.i64(1), e.i64(sizes.parts), 1, ValueRange{sum},
                       [&](Value part, ValueRange sum) {
                         Value at = cell(from, e.mul(part, unit));
                         return Values{e.addF(sum[0], e.loadLanes(at, f32()))};
                       })[0];
          Value at = e.add(e.mul(keyHead, e.i64(dims)), column);
          e.store(x, e.add(s.token, i), at, sum, mask);
        });
      });
    };
    copy(op.getDk(), of.keyDims, all.keyGrads);
    if (!sizes.latent)
      copy(op.getDv(), of.valueDims, all.valueGrads);
  }

  void addUnits() {
    Value pieces = e.udiv(e.add(c.longest, e.i64(kTokens - 1)), e.i64(kTokens));
    Value each = e.mul(pieces, e.i64(of.keyHeads));
    e.parallel(e.mul(c.sequences, each), 1, [&](Value item) {
      Sequence s = sequence(e.udiv(item, each));
      item = e.urem(item, each);
      Value keyHead = e.urem(item, e.i64(of.keyHeads));
      Value begin = e.mul(e.udiv(item, e.i64(of.keyHeads)), e.i64(kTokens));
      copyOut(s, keyHead, gradRow(s, e.mul(keyHead, e.i64(sizes.parts))), begin,
              e.minI(e.add(begin, e.i64(kTokens)), s.length));
    });
  }

  Value sinkGrad(Value sequence, Value head) {
    return cell(sinkGrads, e.add(e.mul(sequence, e.i64(of.heads)), head));
  }
  void addSinks() {
    const Buffer &dsinks = c.buffer(op.getDsinks());
    e.loop(e.i64(0), e.i64(of.heads), 1, [&](Value head) {
      auto add = [&](Value sequence, ValueRange sum) {
        Value share = e.loadScalar(sinkGrad(sequence, head), f32());
        return Values{e.addF(sum[0], share)};
      };
      Value sum =
          e.loop(e.i64(0), c.sequences, 1, ValueRange{e.f32(0)}, add)[0];
      e.storeScalar(e.offset(dsinks.base, head, dsinks.element), dsinks.element,
                    sum);
    });
  }

  EntryContext &c;
  Emitter &e;
  nn::AttendGradOp op;
  GradSizes sizes;
  const AttentionSizes &of;
  Value slotRows, unitRows; // of one slot, of one unit's gradients
  KeyRows all;
  Rows blocks; // a row for each slot
  Value sinkGrads;
};

LogicalResult emitAttendGrad(EntryContext &c, Operation *op) {
  AttentionGrad(c, cast<nn::AttendGradOp>(op)).run();
  return success();
}
} // namespace

void moe::cpu::addAttentionGradKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::AttendGradOp::getOperationName()] = {emitAttendGrad, gradScratch};
}
