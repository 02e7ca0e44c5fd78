// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Assignments by iteration: the auction of BASE layers, Sinkhorn scaling.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

using P = arith::CmpIPredicate;

/// Rounds of an auction in which a winner keeps its token at any price.
static constexpr int64_t kPinnedRounds = 100;
/// What a token is worth above the least at most, so that prices stay finite.
static constexpr float kMostWorth = 1e30f;

void moe::cpu::emitFail(EntryContext &c, int32_t code, Value a, Value b) {
  Emitter &e = c.e;
  constexpr int64_t kFail = 48; // in moe_rt_v1
  Type ptr = e.ptrType(), i32 = e.b.getI32Type(), i64 = e.i64Type();
  auto type = LLVM::LLVMFunctionType::get(i32, {ptr, i32, i64, i64});
  Value function = e.loadPtr(e.offsetBytes(c.rt, e.i64(kFail)));
  LLVM::CallOp::create(e.b, e.loc, type,
                       ValueRange{function, c.rt, e.i32(code), a, b});
}

Value moe::cpu::writeAboveLeast(Emitter &e, const Buffer &s, const Buffer &to) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  auto isFinite = [&](Value x) {
    return e.cmpF(arith::CmpFPredicate::OLT,
                  math::AbsFOp::create(e.b, e.loc, x), e.splatF32(kInf));
  };
  auto over = [&](float init, function_ref<Value(Value token, Value column,
                                                 Value mask, Value carried)>
                                  step) {
    return e.loop(e.i64(0), s.rows, 1, ValueRange{e.splatF32(init)},
                  [&](Value token, ValueRange carried) {
                    return e.lanes(
                        s.width, carried,
                        [&](Value column, Value mask, ValueRange carried) {
                          Value next = step(token, column, mask, carried[0]);
                          return SmallVector<Value>{
                              keep(e, mask, next, carried[0])};
                        });
                  })[0];
  };
  Value lowest =
      over(kInf, [&](Value token, Value column, Value mask, Value lowest) {
        Value x = e.load(s, token, column, mask);
        return e.select(isFinite(x), e.minF(lowest, x), lowest);
      });
  Value negated = arith::NegFOp::create(e.b, e.loc, lowest);
  Value least = e.splat(arith::NegFOp::create(e.b, e.loc, e.maxLanes(negated)));
  return e.maxLanes(
      over(0, [&](Value token, Value column, Value mask, Value most) {
        Value x = e.load(s, token, column, mask);
        Value above = e.minF(e.subF(x, least), e.splatF32(kMostWorth));
        above = e.select(isFinite(x), above, e.splatF32(0));
        e.store(to, token, column, above, mask);
        return e.maxF(most, above);
      }));
}

namespace {
/// One auction of T tokens among E experts, T/E tokens for each. Values are
/// |value| [T, E]: worth less price, pinned for the winner; bids are |bid|.
class Auction {
public:
  Auction(EntryContext &c, AssignOp op)
      : c(c), e(c.e), b(c.e.b), experts(lastDim(op.getS())),
        s(asRows(c, op.getS(), experts)), idx(asRows(c, op.getIdx(), 1)) {
    Value at = c.scratch(op);
    auto place = [&](Type element, int64_t width) {
      Buffer buffer{at, element, s.rows, s.bound, width};
      at = e.offsetBytes(at, e.mul(s.rows, e.i64(4 * width)));
      return buffer;
    };
    score = place(b.getF32Type(), experts);
    value = place(b.getF32Type(), experts);
    bid = place(b.getF32Type(), experts);
    price = place(b.getF32Type(), 1);
    holder = place(b.getI32Type(), 1);
  }

  static Extent scratch(Operation *op, const Extent &tokens) {
    return tokens.times(4 * (3 * lastDim(cast<AssignOp>(op).getS()) + 2));
  }

  void run() {
    share = e.udiv(s.rows, e.i64(experts));
    prepare();
    auto loop = scf::WhileOp::create(b, e.loc, TypeRange{e.i64Type()},
                                     ValueRange{e.i64(0)});
    OpBuilder::InsertionGuard guard(b);
    Block *before =
        b.createBlock(&loop.getBefore(), {}, {e.i64Type()}, {e.loc});
    Value round = before->getArgument(0);
    offer();
    Value wanted = winners(round);
    scf::ConditionOp::create(b, e.loc, e.cmp(P::slt, wanted, s.rows),
                             ValueRange{round});
    Block *after = b.createBlock(&loop.getAfter(), {}, {e.i64Type()}, {e.loc});
    round = after->getArgument(0);
    revalue(round);
    scf::YieldOp::create(b, e.loc, ValueRange{e.add(round, e.i64(1))});
    b.setInsertionPointAfter(loop);
    finish();
  }

private:
  Value loadF(const Buffer &x, Value row, Value column) {
    return e.loadScalar(e.address(x, row, column), x.element);
  }
  void
  eachCell(function_ref<void(Value token, Value column, Value mask)> body) {
    e.loop(e.i64(0), s.rows, 1, [&](Value token) {
      e.lanes(experts,
              [&](Value column, Value mask) { body(token, column, mask); });
    });
  }

  /// Scores above the least one: only differences matter, and small numbers
  /// leave bids their places. ε; no prices.
  void prepare() {
    most = writeAboveLeast(e, s, score);
    epsilon = e.maxF(e.divF(most, e.f32(50)), e.f32(1e-4f));
    eachCell([&](Value token, Value column, Value mask) {
      e.store(value, token, column, e.load(score, token, column, mask), mask);
    });
    e.loop(e.i64(0), s.rows, 1, [&](Value token) {
      e.storeScalar(e.address(price, token), price.element, e.f32(0));
      storeInt(e, holder, token, e.i32(-1));
    });
  }

  /// Every expert bids on the tokens worth most to it: what they are worth
  /// above the best one left out, plus ε.
  void offer() {
    int64_t chunks = (experts + kLanes - 1) / kLanes;
    e.parallel(e.i64(chunks), 1, [&](Value chunk) {
      Value column = e.mul(chunk, e.i64(kLanes));
      Value mask =
          experts % kLanes ? lanesBefore(e, column, e.i64(experts)) : Value();
      auto keyAt = [&](Value token) {
        return keysOf(e, e.load(value, token, column, mask), mask);
      };
      // The chosen keep their value as a bid, others have none yet.
      Value none = e.splatF32(-std::numeric_limits<float>::infinity());
      Value next = eachOfLargest(
          e, e.i64(0), s.rows, e.splat(e.toI32(share)), keyAt, ValueRange{none},
          [&](Value token, Value taken, ValueRange next) {
            Value worth = e.load(value, token, column, mask);
            e.store(bid, token, column, e.select(taken, worth, none), mask);
            return SmallVector<Value>{
                e.select(taken, next[0], e.maxF(next[0], worth))};
          })[0];
      e.loop(e.i64(0), s.rows, 1, [&](Value token) {
        Value worth = e.load(bid, token, column, mask);
        Value taken = e.cmpF(arith::CmpFPredicate::OGT, worth, none);
        Value offered = e.addF(e.subF(worth, next), e.splat(epsilon));
        e.store(bid, token, column, e.select(taken, offered, e.splatF32(0)),
                mask);
      });
    });
  }

  /// The bid of |expert| on |token| in |round|, which its holder need not raise.
  Value bidOf(Value token, Value expert, Value round) {
    Value holds = e.cmp(P::eq, loadInt(e, holder, token), e.toI32(expert));
    Value keeps = arith::AndIOp::create(
        b, e.loc, holds, e.cmp(P::slt, round, e.i64(kPinnedRounds)));
    return e.select(keeps, epsilon, loadF(bid, token, expert));
  }

  /// The highest bid on each token becomes a part of its price; returns how
  /// many tokens have one. Prices of a last round do not matter.
  Value winners(Value round) {
    return e.loop(
        e.i64(0), s.rows, 1, ValueRange{e.i64(0)},
        [&](Value token, ValueRange wanted) {
          SmallVector<Value> best = e.loop(
              e.i64(0), e.i64(experts), 1, ValueRange{e.f32(0), e.i32(-1)},
              [&](Value expert, ValueRange best) {
                Value offered = bidOf(token, expert, round);
                Value higher =
                    e.cmpF(arith::CmpFPredicate::OGT, offered, best[0]);
                return SmallVector<Value>{
                    e.select(higher, offered, best[0]),
                    e.select(higher, e.toI32(expert), best[1])};
              });
          Value cell = e.address(price, token);
          e.storeScalar(cell, price.element,
                        e.addF(e.loadScalar(cell, price.element), best[0]));
          storeInt(e, holder, token, best[1]);
          Value has = e.cmp(P::sge, best[1], e.i32(0));
          return SmallVector<Value>{
              e.select(has, e.add(wanted[0], e.i64(1)), wanted[0])};
        })[0];
  }

  void revalue(Value round) {
    eachCell([&](Value token, Value column, Value mask) {
      Value cost =
          e.splat(e.loadScalar(e.address(price, token), price.element));
      Value worth = e.load(score, token, column, mask);
      e.store(value, token, column, e.subF(worth, cost), mask);
    });
    Value pinned = e.cmp(P::slt, round, e.i64(kPinnedRounds));
    e.loop(e.i64(0), s.rows, 1, [&](Value token) {
      auto [held, expert] =
          checkedExpert(e, loadInt(e, holder, token), experts);
      Value own = loadF(score, token, expert);
      Value cell = e.address(value, token, expert);
      e.ifThen(held, [&] {
        e.storeScalar(cell, value.element, e.select(pinned, most, own));
      });
    });
  }

  /// The expert that bid on a token in the last round.
  void finish() {
    e.loop(e.i64(0), s.rows, 1, [&](Value token) {
      Value found =
          e.loop(e.i64(0), e.i64(experts), 1, ValueRange{e.i32(experts)},
                 [&](Value expert, ValueRange found) {
                   Value bids = e.cmpF(arith::CmpFPredicate::OGT,
                                       loadF(bid, token, expert), e.f32(0));
                   Value first = arith::AndIOp::create(
                       b, e.loc, bids, e.cmp(P::eq, found[0], e.i32(experts)));
                   return SmallVector<Value>{
                       e.select(first, e.toI32(expert), found[0])};
                 })[0];
      storeInt(e, idx, token, found);
    });
  }

  EntryContext &c;
  Emitter &e;
  OpBuilder &b;
  int64_t experts;
  Buffer s, idx, score, value, bid, price, holder;
  Value share, most, epsilon;
};

LogicalResult emitAssign(EntryContext &c, Operation *op) {
  auto assign = cast<AssignOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(assign.getS());
  Buffer s = asRows(c, assign.getS(), experts),
         idx = asRows(c, assign.getIdx(), 1);
  Value rest = e.urem(s.rows, e.i64(experts));
  Value divides = e.cmp(P::eq, rest, e.i64(0));
  e.ifElse(
      divides,
      [&] {
        // One expert takes all, without a runner-up to bid against.
        if (experts == 1)
          e.loop(e.i64(0), s.rows, 1,
                 [&](Value token) { storeInt(e, idx, token, e.i32(0)); });
        else if (assign.getExact())
          emitExactAssignment(c, assign);
        else
          Auction(c, assign).run();
        return SmallVector<Value>();
      },
      [&] {
        e.loop(e.i64(0), s.rows, 1,
               [&](Value token) { storeInt(e, idx, token, e.i32(experts)); });
        emitFail(c, kUnevenTokens, s.rows, e.i64(experts));
        return SmallVector<Value>();
      });
  return success();
}

Extent sinkhornScratch(Operation *op, const Extent &tokens) {
  int64_t experts = lastDim(cast<SinkhornOp>(op).getZ()) + kLanes;
  Extent bytes = tokens.times(4);
  bytes.constant += 2 * 4 * experts;
  return bytes;
}

LogicalResult emitSinkhorn(EntryContext &c, Operation *op) {
  auto sinkhorn = cast<SinkhornOp>(op);
  Emitter &e = c.e;
  OpBuilder &b = e.b;
  Type f32 = b.getF32Type();
  int64_t experts = lastDim(sinkhorn.getZ());
  float tolerance = sinkhorn.getTolerance().convertToDouble();
  Buffer z = asRows(c, sinkhorn.getZ(), experts),
         y = asRows(c, sinkhorn.getY(), experts);
  Extent cells{0, 0, experts};
  Buffer d1{c.scratch(op), f32, e.i64(1), cells, experts};
  Buffer sums = d1;
  sums.base = e.offsetBytes(d1.base, e.i64(4 * (experts + kLanes)));
  Buffer d0{e.offsetBytes(d1.base, e.i64(8 * (experts + kLanes))), f32, z.rows,
            z.bound, 1};
  Value zero = e.i64(0), small = e.splatF32(1e-8f);
  Value tokens = arith::SIToFPOp::create(b, e.loc, f32, z.rows);
  auto inverse = [&](Value factor, Value sum) {
    return e.divF(e.splatF32(1), e.mulF(factor, e.addF(sum, small)));
  };
  // exp(z) waits in the result.
  e.parallel(z.rows, Emitter::grainFor(8 * experts), [&](Value token) {
    e.lanes(experts, [&](Value column, Value mask) {
      e.store(y, token, column, e.exp(e.load(z, token, column, mask)), mask);
    });
  });
  e.lanes(experts, [&](Value column, Value mask) {
    e.store(d1, zero, column, e.splatF32(1), mask);
  });
  auto scaled = [&](Value token, Value column, Value mask) {
    return e.mulF(e.load(y, token, column, mask),
                  e.load(d1, zero, column, mask));
  };
  auto iterate = [&] {
    e.parallel(z.rows, Emitter::grainFor(experts), [&](Value token) {
      Value sum = e.lanes(experts, ValueRange{e.splatF32(0)},
                          [&](Value column, Value mask, ValueRange sum) {
                            return SmallVector<Value>{
                                e.addF(sum[0], scaled(token, column, mask))};
                          })[0];
      Value scale = inverse(e.splat(tokens), e.splat(e.sumLanes(sum)));
      e.storeScalar(e.address(d0, token), f32,
                    vector::ExtractOp::create(b, e.loc, scale, int64_t(0)));
    });
    Value change = e.lanes(
        experts, ValueRange{e.splatF32(0)},
        [&](Value column, Value mask, ValueRange change) {
          Value sum = e.loop(
              zero, z.rows, 1, ValueRange{e.splatF32(0)},
              [&](Value token, ValueRange sum) {
                Value scale = e.splat(e.loadScalar(e.address(d0, token), f32));
                return SmallVector<Value>{
                    e.fma(e.load(y, token, column, mask), scale, sum[0])};
              })[0];
          Value next = inverse(e.splatF32(experts), sum);
          Value moved = math::AbsFOp::create(
              b, e.loc, e.subF(next, e.load(d1, zero, column, mask)));
          e.store(sums, zero, column, next, mask);
          return SmallVector<Value>{
              e.addF(change[0], keep(e, mask, moved, e.splatF32(0)))};
        })[0];
    e.lanes(experts, [&](Value column, Value mask) {
      e.store(d1, zero, column, e.load(sums, zero, column, mask), mask);
    });
    Value mean = e.divF(e.sumLanes(change), e.f32(experts));
    return SmallVector<Value>{
        e.cmpF(arith::CmpFPredicate::OGT, mean, e.f32(tolerance))};
  };
  Value on = arith::ConstantOp::create(b, e.loc, b.getBoolAttr(true));
  e.loop(zero, e.i64(sinkhorn.getMaxIterations()), 1, ValueRange{on},
         [&](Value, ValueRange on) {
           return e.ifElse(on[0], iterate,
                           [&] { return SmallVector<Value>{on[0]}; });
         });
  e.parallel(z.rows, Emitter::grainFor(experts), [&](Value token) {
    Value scale = e.splat(e.loadScalar(e.address(d0, token), f32));
    e.lanes(experts, [&](Value column, Value mask) {
      e.store(y, token, column, e.mulF(scaled(token, column, mask), scale),
              mask);
    });
  });
  return success();
}
} // namespace

void moe::cpu::addAssignKernels(llvm::StringMap<KernelEntry> &table) {
  table[AssignOp::getOperationName()] = {emitAssign, Auction::scratch};
  table[SinkhornOp::getOperationName()] = {emitSinkhorn, sinkhornScratch};
}
