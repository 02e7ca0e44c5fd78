// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Norms over the last axis, softmax and reductions over any axis. Sums over
// the last axis run in 16 lanes and one tree, others in ascending order.
#include "passes/lower/cpu/RowGrad.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

static constexpr float kInf = std::numeric_limits<float>::infinity();

namespace {
using Lanes = SmallVector<Value>;

LogicalResult emitRmsNorm(EntryContext &c, Operation *op) {
  auto norm = cast<nn::RmsNormOp>(op);
  Emitter &e = c.e;
  int64_t d = lastDim(norm.getX());
  float eps = norm.getEps().convertToDouble();
  Buffer x = asRows(c, norm.getX(), d), y = asRows(c, norm.getY(), d);
  const Buffer &w = c.buffer(norm.getW());
  e.parallel(x.rows, Emitter::grainFor(d), [&](Value row) {
    Value squares = e.lanes(d, ValueRange{e.splatF32(0)},
                            [&](Value column, Value mask, ValueRange sum) {
                              Value v = e.load(x, row, column, mask);
                              return Lanes{e.fma(v, v, sum[0])};
                            })[0];
    Value mean = e.divF(e.sumLanes(squares), e.f32(d));
    Value scale = e.splat(e.rsqrt(e.addF(mean, e.f32(eps))));
    e.lanes(d, [&](Value column, Value mask) {
      Value h =
          e.roundTo(e.mulF(e.load(x, row, column, mask), scale), y.element);
      e.store(y, row, column, e.mulF(h, loadVector(e, w, column, mask)), mask);
    });
  });
  return success();
}

LogicalResult emitLayerNorm(EntryContext &c, Operation *op) {
  auto norm = cast<nn::LayerNormOp>(op);
  Emitter &e = c.e;
  int64_t d = lastDim(norm.getX());
  float eps = norm.getEps().convertToDouble();
  Buffer x = asRows(c, norm.getX(), d), y = asRows(c, norm.getY(), d);
  const Buffer &w = c.buffer(norm.getW());
  const Buffer *bias = norm.getBias() ? &c.buffer(norm.getBias()) : nullptr;
  e.parallel(x.rows, Emitter::grainFor(d), [&](Value row) {
    Value zero = e.splatF32(0);
    Value sum = e.lanes(
        d, ValueRange{zero}, [&](Value column, Value mask, ValueRange sum) {
          return Lanes{e.addF(sum[0], e.load(x, row, column, mask))};
        })[0];
    Value mean = e.splat(e.divF(e.sumLanes(sum), e.f32(d)));
    Value squares = e.lanes(
        d, ValueRange{zero}, [&](Value column, Value mask, ValueRange sum) {
          Value v =
              keep(e, mask, e.subF(e.load(x, row, column, mask), mean), zero);
          return Lanes{e.fma(v, v, sum[0])};
        })[0];
    Value variance = e.divF(e.sumLanes(squares), e.f32(d));
    Value scale = e.splat(e.rsqrt(e.addF(variance, e.f32(eps))));
    e.lanes(d, [&](Value column, Value mask) {
      Value h = e.mulF(e.subF(e.load(x, row, column, mask), mean), scale);
      h = e.mulF(e.roundTo(h, y.element), loadVector(e, w, column, mask));
      if (bias)
        h = e.addF(h, loadVector(e, *bias, column, mask));
      e.store(y, row, column, h, mask);
    });
  });
  return success();
}

/// Softmax of n elements that lie one behind another from |start|. Exponentials
/// wait in the result where it keeps them exactly, else they are taken twice.
void softmaxRow(Emitter &e, const Buffer &x, const Buffer &y, const AxisView &v,
                Value start) {
  Value lowest = e.splatF32(-kInf), zero = e.splatF32(0);
  bool exact = y.element.isF32();
  auto over = [&](Value init, function_ref<Value(Value, Value, Value)> body) {
    auto step = [&](Value column, Value mask, ValueRange carried) {
      return Lanes{body(e.add(start, column), mask, carried[0])};
    };
    return lanesOf(e, v.size, v.n, ValueRange{init}, step)[0];
  };
  Value largest = over(lowest, [&](Value index, Value mask, Value max) {
    return e.maxF(max, keep(e, mask, loadAt(e, x, index, mask), lowest));
  });
  largest = e.splat(e.maxLanes(largest));
  Value sum = over(zero, [&](Value index, Value mask, Value sum) {
    Value p = e.exp(e.subF(loadAt(e, x, index, mask), largest));
    if (exact)
      storeAt(e, y, index, p, mask);
    return e.addF(sum, keep(e, mask, p, zero));
  });
  sum = e.splat(e.sumLanes(sum));
  lanesOf(e, v.size, v.n, [&](Value column, Value mask) {
    Value index = e.add(start, column);
    Value p = exact ? loadAt(e, y, index, mask)
                    : e.exp(e.subF(loadAt(e, x, index, mask), largest));
    storeAt(e, y, index, e.divF(p, sum), mask);
  });
}

/// Softmax of 16 neighbours at once over an axis with |v.inner| elements between.
void softmaxColumns(Emitter &e, const Buffer &x, const Buffer &y,
                    const AxisView &v, Value first, Value mask) {
  auto at = [&](Value j) { return e.add(first, e.mul(j, e.i64(v.inner))); };
  auto over = [&](Value init, function_ref<Value(Value, Value)> body) {
    auto step = [&](Value j, ValueRange carried) {
      return Lanes{body(at(j), carried[0])};
    };
    return e.loop(e.i64(0), v.n, 1, ValueRange{init}, step)[0];
  };
  Value largest = over(e.splatF32(-kInf), [&](Value index, Value max) {
    return e.maxF(max, loadAt(e, x, index, mask));
  });
  auto exponential = [&](Value index) {
    return e.exp(e.subF(loadAt(e, x, index, mask), largest));
  };
  Value sum = over(e.splatF32(0), [&](Value index, Value sum) {
    return e.addF(sum, exponential(index));
  });
  e.loop(e.i64(0), v.n, 1, [&](Value j) {
    storeAt(e, y, at(j), e.divF(exponential(at(j)), sum), mask);
  });
}

LogicalResult emitSoftmax(EntryContext &c, Operation *op) {
  auto softmax = cast<nn::SoftmaxOp>(op);
  Emitter &e = c.e;
  auto view = AxisView::get(c, op, softmax.getX(), softmax.getAxis());
  if (failed(view))
    return failure();
  const Buffer &x = c.buffer(softmax.getX()), &y = c.result(op);
  int64_t elements = std::max<int64_t>(view->size, 1) * view->inner;
  e.parallel(view->outer, Emitter::grainFor(8 * elements), [&](Value outer) {
    Value start = e.mul(outer, e.mul(view->n, e.i64(view->inner)));
    if (view->inner == 1)
      return softmaxRow(e, x, y, *view, start);
    e.lanes(view->inner, [&](Value column, Value mask) {
      softmaxColumns(e, x, y, *view, e.add(start, column), mask);
    });
  });
  return success();
}

/// A kind of reduction on lanes.
struct Reduction {
  Emitter &e;
  nn::ReduceKind kind;

  float neutral() const {
    return kind == nn::ReduceKind::Max   ? -kInf
           : kind == nn::ReduceKind::Min ? kInf
                                         : 0;
  }
  Value combine(Value a, Value c) const {
    if (kind == nn::ReduceKind::Max)
      return e.maxF(a, c);
    if (kind == nn::ReduceKind::Min)
      return e.minF(a, c);
    return e.addF(a, c);
  }
  Value fold(Value lanes) const {
    if (kind == nn::ReduceKind::Max)
      return e.maxLanes(lanes);
    if (kind == nn::ReduceKind::Min) {
      Value negated = arith::NegFOp::create(e.b, e.loc, lanes);
      return arith::NegFOp::create(e.b, e.loc, e.maxLanes(negated));
    }
    return e.sumLanes(lanes);
  }
  /// The last step, on a scalar or lanes.
  Value finish(Value total, Value n) const {
    if (kind != nn::ReduceKind::Mean)
      return total;
    Value count = arith::SIToFPOp::create(e.b, e.loc, e.b.getF32Type(), n);
    return e.divF(total,
                  isa<VectorType>(total.getType()) ? e.splat(count) : count);
  }
};

LogicalResult emitReduce(EntryContext &c, Operation *op) {
  auto reduce = cast<nn::ReduceOp>(op);
  Emitter &e = c.e;
  auto view = AxisView::get(c, op, reduce.getX(), reduce.getAxis());
  if (failed(view))
    return failure();
  const Buffer &x = c.buffer(reduce.getX()), &y = c.result(op);
  Reduction r{e, reduce.getKind()};
  Value neutral = e.splatF32(r.neutral());
  // Neighbouring vectors of columns, over ascending j.
  auto columns = [&](Value outer, ArrayRef<Value> columns, Value mask) {
    Value inner = e.i64(view->inner);
    Value start = e.mul(outer, e.mul(view->n, inner));
    Lanes totals =
        e.loop(e.i64(0), view->n, 1, Lanes(columns.size(), neutral),
               [&](Value j, ValueRange carried) {
                 Value row = e.add(start, e.mul(j, inner));
                 Lanes next;
                 for (auto [column, total] : llvm::zip(columns, carried))
                   next.push_back(r.combine(
                       total, loadAt(e, x, e.add(row, column), mask)));
                 return next;
               });
    for (auto [column, total] : llvm::zip(columns, totals))
      storeAt(e, y, e.add(e.mul(outer, inner), column),
              r.finish(total, view->n), mask);
  };
  if (reduce.getAxis() == 0 && view->inner > 1) {
    parallelColumns(e, view->inner, [&](ArrayRef<Value> some, Value mask) {
      columns(e.i64(0), some, mask);
    });
    return success();
  }
  int64_t elements = std::max<int64_t>(view->size, 1) * view->inner;
  e.parallel(view->outer, Emitter::grainFor(elements), [&](Value outer) {
    if (view->inner > 1) {
      e.lanes(view->inner, [&](Value column, Value mask) {
        columns(outer, {column}, mask);
      });
      return;
    }
    Value start = e.mul(outer, view->n);
    auto step = [&](Value column, Value mask, ValueRange total) {
      return Lanes{r.combine(
          total[0],
          keep(e, mask, loadAt(e, x, e.add(start, column), mask), neutral))};
    };
    Value total =
        r.fold(lanesOf(e, view->size, view->n, ValueRange{neutral}, step)[0]);
    e.storeScalar(e.offset(y.base, outer, y.element), y.element,
                  r.finish(total, view->n));
  });
  return success();
}
} // namespace

void moe::cpu::addNormKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::RmsNormOp::getOperationName()] = {emitRmsNorm};
  table[nn::LayerNormOp::getOperationName()] = {emitLayerNorm};
  table[nn::SoftmaxOp::getOperationName()] = {emitSoftmax};
  table[nn::ReduceOp::getOperationName()] = {emitReduce};
}
