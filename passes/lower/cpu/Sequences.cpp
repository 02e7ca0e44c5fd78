// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Reductions over the tokens of sequences, mixtures of tokens, merged
// parameters. Sums over tokens run in ascending order.
#include "passes/lower/cpu/Routing.h"
#include "passes/lower/cpu/Views.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

static constexpr float kInf = std::numeric_limits<float>::infinity();

namespace {
using Lanes = SmallVector<Value>;

/// Elements of one token.
int64_t tokenWidth(Value x) {
  int64_t product = 1;
  for (int64_t size : tensorOf(x).getShape().drop_front())
    product *= size;
  return product;
}

/// Runs |body| for 16 neighbouring columns of each sequence.
void eachColumn(EntryContext &c, Value seqs, int64_t width,
                function_ref<void(Value sequence, Value first, Value last,
                                  Value column, Value mask)>
                    body) {
  Emitter &e = c.e;
  e.parallel(c.sequences, 1, [&](Value sequence) {
    auto [first, last] = tokensOf(c, seqs, sequence);
    Value from = first, to = last;
    e.lanes(width, [&](Value column, Value mask) {
      body(sequence, from, to, column, mask);
    });
  });
}

LogicalResult emitSegmentReduce(EntryContext &c, Operation *op) {
  auto reduce = cast<nn::SegmentReduceOp>(op);
  Emitter &e = c.e;
  int64_t width = tokenWidth(reduce.getX());
  Buffer x = asRows(c, reduce.getX(), width),
         y = asRows(c, reduce.getY(), width);
  nn::ReduceKind kind = reduce.getKind();
  float neutral = kind == nn::ReduceKind::Max   ? -kInf
                  : kind == nn::ReduceKind::Min ? kInf
                                                : 0;
  eachColumn(
      c, reduce.getCuSeqlens(), width,
      [&](Value sequence, Value first, Value last, Value column, Value mask) {
        auto step = [&](Value token, ValueRange total) {
          Value v = e.load(x, token, column, mask);
          return Lanes{kind == nn::ReduceKind::Max   ? e.maxF(total[0], v)
                       : kind == nn::ReduceKind::Min ? e.minF(total[0], v)
                                                     : e.addF(total[0], v)};
        };
        Value total =
            e.loop(first, last, 1, ValueRange{e.splatF32(neutral)}, step)[0];
        if (kind == nn::ReduceKind::Mean) {
          Value tokens = e.maxI(e.sub(last, first), e.i64(1));
          Value n =
              arith::SIToFPOp::create(e.b, e.loc, e.b.getF32Type(), tokens);
          total = e.divF(total, e.splat(n));
        }
        e.store(y, sequence, column, total, mask);
      });
  return success();
}

LogicalResult emitSegmentSoftmax(EntryContext &c, Operation *op) {
  auto softmax = cast<nn::SegmentSoftmaxOp>(op);
  Emitter &e = c.e;
  int64_t width = tokenWidth(softmax.getX());
  Buffer x = asRows(c, softmax.getX(), width),
         y = asRows(c, softmax.getY(), width);
  eachColumn(c, softmax.getCuSeqlens(), width,
             [&](Value, Value first, Value last, Value column, Value mask) {
               Value largest =
                   e.loop(first, last, 1, ValueRange{e.splatF32(-kInf)},
                          [&](Value token, ValueRange max) {
                            return Lanes{
                                e.maxF(max[0], e.load(x, token, column, mask))};
                          })[0];
               // Exponentials wait in the result.
               Value sum = e.loop(
                   first, last, 1, ValueRange{e.splatF32(0)},
                   [&](Value token, ValueRange sum) {
                     Value p =
                         e.exp(e.subF(e.load(x, token, column, mask), largest));
                     e.store(y, token, column, p, mask);
                     return Lanes{e.addF(sum[0], p)};
                   })[0];
               e.loop(first, last, 1, [&](Value token) {
                 e.store(y, token, column,
                         e.divF(e.load(y, token, column, mask), sum), mask);
               });
             });
  return success();
}

/// Weights and slots of a mixture as the kernels see them.
struct Mixture {
  Mixture(EntryContext &c, Value weights, Value tokens, Value slots)
      : n(lastDim(weights)), d(lastDim(tokens)), a(asRows(c, weights, n)),
        x(asRows(c, tokens, d)), s(asRows(c, slots, d)) {}
  int64_t n, d;
  Buffer a, x, s; // [T, N], [T, D], [B·N, D]
};

LogicalResult emitMix(EntryContext &c, Operation *op) {
  auto mix = cast<MixOp>(op);
  Emitter &e = c.e;
  Mixture m(c, mix.getA(), mix.getX(), mix.getY());
  e.parallel(e.mul(c.sequences, e.i64(m.n)), 1, [&](Value row) {
    Value slot = e.urem(row, e.i64(m.n));
    auto [first, last] =
        tokensOf(c, mix.getCuSeqlens(), e.udiv(row, e.i64(m.n)));
    Value from = first, to = last;
    e.lanes(m.d, [&](Value column, Value mask) {
      Value sum = e.loop(
          from, to, 1, ValueRange{e.splatF32(0)},
          [&](Value token, ValueRange sum) {
            Value weight =
                e.loadScalar(e.address(m.a, token, slot), m.a.element);
            return Lanes{e.fma(e.splat(weight),
                               e.load(m.x, token, column, mask), sum[0])};
          })[0];
      e.store(m.s, row, column, sum, mask);
    });
  });
  return success();
}

LogicalResult emitUnmix(EntryContext &c, Operation *op) {
  auto unmix = cast<UnmixOp>(op);
  Emitter &e = c.e;
  Mixture m(c, unmix.getA(), unmix.getY(), unmix.getS());
  const Buffer &sequenceOf = c.sequenceOf(unmix.getCuSeqlens());
  e.parallel(m.x.rows, Emitter::grainFor(m.n * m.d), [&](Value token) {
    Value start = e.mul(e.toI64(loadInt(e, sequenceOf, token)), e.i64(m.n));
    e.lanes(m.d, [&](Value column, Value mask) {
      Value sum =
          e.loop(e.i64(0), e.i64(m.n), 1, ValueRange{e.splatF32(0)},
                 [&](Value slot, ValueRange sum) {
                   Value weight =
                       e.loadScalar(e.address(m.a, token, slot), m.a.element);
                   Value lanes = e.load(m.s, e.add(start, slot), column, mask);
                   return Lanes{e.fma(e.splat(weight), lanes, sum[0])};
                 })[0];
      e.store(m.x, token, column, sum, mask);
    });
  });
  return success();
}

LogicalResult emitMixDot(EntryContext &c, Operation *op) {
  auto dot = cast<MixDotOp>(op);
  Emitter &e = c.e;
  Mixture m(c, dot.getY(), dot.getX(), dot.getS());
  const Buffer &sequenceOf = c.sequenceOf(dot.getCuSeqlens());
  e.parallel(m.x.rows, Emitter::grainFor(m.n * m.d), [&](Value token) {
    Value start = e.mul(e.toI64(loadInt(e, sequenceOf, token)), e.i64(m.n));
    e.loop(e.i64(0), e.i64(m.n), 1, [&](Value slot) {
      Value sum =
          e.lanes(m.d, ValueRange{e.splatF32(0)},
                  [&](Value column, Value mask, ValueRange sum) {
                    return Lanes{e.fma(
                        e.load(m.x, token, column, mask),
                        e.load(m.s, e.add(start, slot), column, mask), sum[0])};
                  })[0];
      e.storeScalar(e.address(m.a, token, slot), m.a.element, e.sumLanes(sum));
    });
  });
  return success();
}

LogicalResult emitMergeParams(EntryContext &c, Operation *op) {
  auto merge = cast<MergeParamsOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(merge.getW()), width = lastDim(merge.getParam());
  int64_t rows = tokenWidth(merge.getParam()) / width;
  Buffer w = asRows(c, merge.getW(), experts),
         param = asRows(c, merge.getParam(), width),
         y = asRows(c, merge.getY(), width);
  e.parallel(y.rows, Emitter::grainFor(experts * width), [&](Value row) {
    Value which = e.udiv(row, e.i64(rows)), inner = e.urem(row, e.i64(rows));
    e.lanes(width, [&](Value column, Value mask) {
      Value sum = e.loop(
          e.i64(0), e.i64(experts), 1, ValueRange{e.splatF32(0)},
          [&](Value expert, ValueRange sum) {
            Value weight = e.loadScalar(e.address(w, which, expert), w.element);
            Value from = e.add(e.mul(expert, e.i64(rows)), inner);
            return Lanes{e.fma(e.splat(weight),
                               e.load(param, from, column, mask), sum[0])};
          })[0];
      e.store(y, row, column, sum, mask);
    });
  });
  return success();
}
/// dw by products of whole experts, dparam row by row.
LogicalResult emitMergeParamsGrad(EntryContext &c, Operation *op) {
  auto grad = cast<MergeParamsGradOp>(op);
  Emitter &e = c.e;
  int64_t experts = lastDim(grad.getW()), width = lastDim(grad.getParam());
  int64_t size = tokenWidth(grad.getParam()), rows = size / width;
  Buffer w = asRows(c, grad.getW(), experts),
         dw = asRows(c, grad.getDw(), experts),
         param = asRows(c, grad.getParam(), size),
         dy = asRows(c, grad.getDy(), size),
         dyRows = asRows(c, grad.getDy(), width),
         dparam = asRows(c, grad.getDparam(), width);
  Value examples = w.rows, all = e.i64(experts);
  e.parallel(e.mul(examples, all), Emitter::grainFor(size), [&](Value item) {
    Value which = e.udiv(item, all), expert = e.urem(item, all);
    Value sum = e.lanes(
        size, ValueRange{e.splatF32(0)},
        [&](Value column, Value mask, ValueRange sum) {
          return Lanes{e.fma(e.load(dy, which, column, mask),
                             e.load(param, expert, column, mask), sum[0])};
        })[0];
    e.storeScalar(e.address(dw, which, expert), dw.element, e.sumLanes(sum));
  });
  e.parallel(e.i64(experts * rows), Emitter::grainFor(width), [&](Value row) {
    Value expert = e.udiv(row, e.i64(rows)), inner = e.urem(row, e.i64(rows));
    e.lanes(width, [&](Value column, Value mask) {
      Value sum = e.loop(
          e.i64(0), examples, 1, ValueRange{e.splatF32(0)},
          [&](Value which, ValueRange sum) {
            Value weight = e.loadScalar(e.address(w, which, expert), w.element);
            Value from = e.add(e.mul(which, e.i64(rows)), inner);
            return Lanes{e.fma(e.splat(weight),
                               e.load(dyRows, from, column, mask), sum[0])};
          })[0];
      e.store(dparam, row, column, sum, mask);
    });
  });
  return success();
}
} // namespace

void moe::cpu::addSequenceKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::SegmentReduceOp::getOperationName()] = {emitSegmentReduce};
  table[nn::SegmentSoftmaxOp::getOperationName()] = {emitSegmentSoftmax};
  table[MixOp::getOperationName()] = {emitMix};
  table[UnmixOp::getOperationName()] = {emitUnmix};
  table[MixDotOp::getOperationName()] = {emitMixDot};
  table[MergeParamsOp::getOperationName()] = {emitMergeParams};
  table[MergeParamsGradOp::getOperationName()] = {emitMergeParamsGrad};
}
