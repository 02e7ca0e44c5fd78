// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Balanced assignment at the best total: tokens bid for places at experts. The
// order of steps is that of lib/reference/exact_assignment.cc.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

using P = arith::CmpIPredicate;
using F = arith::CmpFPredicate;
static constexpr float kInf = std::numeric_limits<float>::infinity();
/// Phases of ε = 2⁻², 2⁻⁴, …, 2⁻¹⁸.
static constexpr int64_t kPhases = 9;

namespace {
/// T places, T/E at each of E experts: place p is at expert p / (T/E).
class PlaceAuction {
public:
  PlaceAuction(EntryContext &c, AssignOp op)
      : e(c.e), b(c.e.b), experts(lastDim(op.getS())),
        s(asRows(c, op.getS(), experts)), idx(asRows(c, op.getIdx(), 1)),
        share(e.udiv(s.rows, e.i64(experts))) {
    Value at = c.scratch(op);
    auto place = [&](Type element, int64_t width) {
      Buffer buffer{at, element, s.rows, s.bound, width};
      at = e.offsetBytes(at, e.mul(s.rows, e.i64(4 * width)));
      return buffer;
    };
    worth = place(b.getF32Type(), experts);
    price = place(b.getF32Type(), 1);
    holder = place(b.getI32Type(), 1);
    waiting = place(b.getI32Type(), 1);
  }

  void run() {
    prepare();
    e.loop(e.i64(0), e.i64(kPhases), 1, ValueRange{e.f32(0.25f)},
           [&](Value, ValueRange eps) {
             start();
             bid(eps[0]);
             return SmallVector<Value>{e.mulF(eps[0], e.f32(0.25f))};
           });
    e.loop(e.i64(0), s.rows, 1, [&](Value place) {
      storeInt(e, idx, e.toI64(loadInt(e, holder, place)),
               e.toI32(e.udiv(place, share)));
    });
  }

private:
  Value load(const Buffer &x, Value row) {
    return e.loadScalar(e.address(x, row), x.element);
  }
  void store(const Buffer &x, Value row, Value value) {
    e.storeScalar(e.address(x, row), x.element, value);
  }

  /// Scores above the least one, over their range; prices of 0.
  void prepare() {
    Value most = writeAboveLeast(e, s, worth);
    Value any = e.cmpF(F::OGT, most, e.f32(0));
    Value range = e.splat(e.select(any, most, e.f32(1)));
    e.loop(e.i64(0), s.rows, 1, [&](Value token) {
      e.lanes(experts, [&](Value column, Value mask) {
        Value x = e.load(worth, token, column, mask);
        e.store(worth, token, column, e.divF(x, range), mask);
      });
    });
    e.loop(e.i64(0), s.rows, 1,
           [&](Value place) { store(price, place, e.f32(0)); });
  }

  /// Nobody has a place; the cheapest costs nothing.
  void start() {
    Value lowest = e.loop(e.i64(0), s.rows, 1, ValueRange{e.f32(kInf)},
                          [&](Value place, ValueRange lowest) {
                            return SmallVector<Value>{
                                e.minF(lowest[0], load(price, place))};
                          })[0];
    e.loop(e.i64(0), s.rows, 1, [&](Value place) {
      store(price, place, e.subF(load(price, place), lowest));
      storeInt(e, holder, place, e.i32(-1));
      storeInt(e, waiting, place, e.toI32(place));
    });
  }

  /// Until nobody waits; |waiting| is a ring.
  void bid(Value eps) {
    Type i64 = e.i64Type();
    auto loop = scf::WhileOp::create(b, e.loc, TypeRange{i64, i64},
                                     ValueRange{e.i64(0), s.rows});
    OpBuilder::InsertionGuard guard(b);
    Block *before =
        b.createBlock(&loop.getBefore(), {}, {i64, i64}, {e.loc, e.loc});
    scf::ConditionOp::create(b, e.loc,
                             e.cmp(P::sgt, before->getArgument(1), e.i64(0)),
                             before->getArguments());
    Block *after =
        b.createBlock(&loop.getAfter(), {}, {i64, i64}, {e.loc, e.loc});
    Value head = after->getArgument(0), count = after->getArgument(1);
    Value out = take(e.toI64(loadInt(e, waiting, head)), eps);
    Value pushed = e.cmp(P::sge, out, e.i32(0));
    e.ifThen(pushed, [&] {
      storeInt(e, waiting, e.urem(e.add(head, count), s.rows), out);
    });
    Value fewer = e.select(pushed, count, e.sub(count, e.i64(1)));
    scf::YieldOp::create(
        b, e.loc, ValueRange{e.urem(e.add(head, e.i64(1)), s.rows), fewer});
    b.setInsertionPointAfter(loop);
  }

  /// |token| takes the place worth most to it; whom it pushed out, or -1.
  Value take(Value token, Value eps) {
    Value none = e.f32(-kInf), first = e.i64(0);
    SmallVector<Value> best = e.loop(
        e.i64(0), e.i64(experts), 1, ValueRange{none, none, first, none},
        [&](Value expert, ValueRange best) {
          auto [cheapest, place, next] = cheapestOf(expert);
          Value own =
              e.loadScalar(e.address(worth, token, expert), worth.element);
          Value value = e.subF(own, cheapest), second = e.subF(own, next);
          Value more = e.cmpF(F::OGT, value, best[0]);
          return SmallVector<Value>{
              e.select(more, value, best[0]),
              e.select(more, best[0], e.maxF(best[1], value)),
              e.select(more, place, best[2]), e.select(more, second, best[3])};
        });
    Value second = e.maxF(best[1], best[3]);
    Value gain = e.select(e.cmpF(F::OEQ, second, none), e.f32(0),
                          e.subF(best[0], second));
    store(price, best[2], e.addF(load(price, best[2]), e.addF(gain, eps)));
    Value out = loadInt(e, holder, best[2]);
    storeInt(e, holder, best[2], e.toI32(token));
    return out;
  }

  struct Cheapest {
    Value price, place, next;
  };
  /// The lowest price at |expert|, the first place that has it, and the lowest
  /// price of its other places.
  Cheapest cheapestOf(Value expert) {
    Value from = e.mul(expert, share), inf = e.f32(kInf);
    SmallVector<Value> found = e.loop(
        from, e.add(from, share), 1, ValueRange{inf, from, inf},
        [&](Value place, ValueRange found) {
          Value own = load(price, place);
          Value less = e.cmpF(F::OLT, own, found[0]);
          return SmallVector<Value>{
              e.select(less, own, found[0]), e.select(less, place, found[1]),
              e.select(less, found[0], e.minF(found[2], own))};
        });
    return {found[0], found[1], found[2]};
  }

  Emitter &e;
  OpBuilder &b;
  int64_t experts;
  Buffer s, idx, worth, price, holder, waiting;
  Value share;
};
} // namespace

void moe::cpu::emitExactAssignment(EntryContext &c, AssignOp op) {
  PlaceAuction(c, op).run();
}
