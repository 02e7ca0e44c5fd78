// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradients of the norms. Rows go in blocks that stay in the cache: first every
// row of a block for itself, then every column over the rows of the block, so
// that the gradient of a weight adds rows in ascending order.
#include "passes/lower/cpu/RowGrad.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
using Lanes = SmallVector<Value>;

/// Rows of a block: about 128 Ki elements of x.
int64_t blockRows(int64_t width) {
  return std::clamp<int64_t>((1 << 17) / width, 64, 8192);
}

/// Of each row of a block, its scale, and behind all of these its mean.
template <typename OpTy> Extent normScratch(Operation *op, const Extent &) {
  int64_t numbers = isa<nn::LayerNormGradOp>(op) ? 2 : 1;
  return {0, 0, 4 * numbers * blockRows(lastDim(cast<OpTy>(op).getX()))};
}

/// One of the two gradients; without |dbias| that of rms_norm.
class NormGrad {
public:
  template <typename OpTy>
  NormGrad(EntryContext &c, OpTy op, const Buffer *dbias)
      : e(c.e), d(lastDim(op.getX())), block(blockRows(d)),
        eps(op.getEps().convertToDouble()), x(asRows(c, op.getX(), d)),
        dy(asRows(c, op.getDy(), d)), dx(asRows(c, op.getDx(), d)),
        w(c.buffer(op.getW())), dw(c.buffer(op.getDw())), dbias(dbias),
        numbers(c.scratch(op)) {}

  void run() {
    e.lanes(d, [&](Value column, Value mask) {
      storeAt(e, dw, column, e.splatF32(0), mask);
      if (dbias)
        storeAt(e, *dbias, column, e.splatF32(0), mask);
    });
    e.loop(e.i64(0), x.rows, block, [&](Value first) {
      Value count = e.minI(e.i64(block), e.sub(x.rows, first));
      e.parallel(count, Emitter::grainFor(2 * d),
                 [&](Value i) { row(e.add(first, i), i); });
      parallelColumns(e, d, [&](ArrayRef<Value> columns, Value mask) {
        sums(columns, mask, first, count);
      });
    });
  }

private:
  Value sum(function_ref<Value(Value column, Value mask, Value sum)> body) {
    auto step = [&](Value column, Value mask, ValueRange carried) {
      return Lanes{body(column, mask, carried[0])};
    };
    return e.sumLanes(e.lanes(d, ValueRange{e.splatF32(0)}, step)[0]);
  }
  Value mean(Value total) { return e.divF(total, e.f32(d)); }

  /// Place of number |which| of row |i| of the block.
  Value number(Value i, int64_t which) {
    Value at = which ? e.add(i, e.i64(which * block)) : i;
    return e.offset(numbers, at, e.b.getF32Type());
  }
  Value kept(Value i, int64_t which) {
    return e.splat(e.loadScalar(number(i, which), e.b.getF32Type()));
  }

  Value centred(Value at, Value column, Value mask, Value mean) {
    Value v = e.load(x, at, column, mask);
    return mean ? keep(e, mask, e.subF(v, mean), e.splatF32(0)) : v;
  }

  /// Row |at|, the |i|-th of its block: dx, and the numbers for the sums.
  void row(Value at, Value i) {
    Value middle;
    if (dbias) {
      Value scalar = mean(sum([&](Value column, Value mask, Value sum) {
        return e.addF(sum, e.load(x, at, column, mask));
      }));
      e.storeScalar(number(i, 1), e.b.getF32Type(), scalar);
      middle = e.splat(scalar);
    }
    Value squares = sum([&](Value column, Value mask, Value sum) {
      Value v = centred(at, column, mask, middle);
      return e.fma(v, v, sum);
    });
    Value scalar = e.rsqrt(e.addF(mean(squares), e.f32(eps)));
    e.storeScalar(number(i, 0), e.b.getF32Type(), scalar);
    Value scale = e.splat(scalar);
    auto h = [&](Value column, Value mask) {
      return e.mulF(centred(at, column, mask, middle), scale);
    };
    auto g = [&](Value column, Value mask) {
      return e.mulF(e.load(dy, at, column, mask),
                    loadVector(e, w, column, mask));
    };
    Lanes totals = e.lanes(
        d, ValueRange{e.splatF32(0), e.splatF32(0)},
        [&](Value column, Value mask, ValueRange carried) {
          Value gradient = g(column, mask);
          return Lanes{e.fma(gradient, h(column, mask), carried[0]),
                       dbias ? e.addF(carried[1], gradient) : carried[1]};
        });
    Value along = e.splat(mean(e.sumLanes(totals[0])));
    Value centre = dbias ? e.splat(mean(e.sumLanes(totals[1]))) : Value();
    e.lanes(d, [&](Value column, Value mask) {
      Value rest = g(column, mask);
      if (centre)
        rest = e.subF(rest, centre);
      rest = e.subF(rest, e.mulF(h(column, mask), along));
      e.store(dx, at, column, e.mulF(scale, rest), mask);
    });
  }

  /// Adds the |count| rows from |first| to the gradients of the weights.
  void sums(ArrayRef<Value> columns, Value mask, Value first, Value count) {
    Lanes before;
    for (Value column : columns)
      before.push_back(loadAt(e, dw, column, mask));
    if (dbias)
      for (Value column : columns)
        before.push_back(loadAt(e, *dbias, column, mask));
    Lanes after =
        e.loop(e.i64(0), count, 1, before, [&](Value i, ValueRange carried) {
          Value at = e.add(first, i), scale = kept(i, 0);
          Value middle = dbias ? kept(i, 1) : Value();
          Lanes next = llvm::to_vector(carried);
          for (auto [n, column] : llvm::enumerate(columns)) {
            Value gradient = e.load(dy, at, column, mask);
            Value h = e.mulF(centred(at, column, mask, middle), scale);
            next[n] = e.fma(gradient, h, carried[n]);
            if (size_t behind = columns.size() + n; dbias)
              next[behind] = e.addF(carried[behind], gradient);
          }
          return next;
        });
    for (auto [n, column] : llvm::enumerate(columns)) {
      storeAt(e, dw, column, after[n], mask);
      if (dbias)
        storeAt(e, *dbias, column, after[columns.size() + n], mask);
    }
  }

  Emitter &e;
  int64_t d, block;
  float eps;
  Buffer x, dy, dx;
  const Buffer &w, &dw, *dbias;
  Value numbers;
};

LogicalResult emitRmsNormGrad(EntryContext &c, Operation *op) {
  NormGrad(c, cast<nn::RmsNormGradOp>(op), nullptr).run();
  return success();
}

LogicalResult emitLayerNormGrad(EntryContext &c, Operation *op) {
  auto grad = cast<nn::LayerNormGradOp>(op);
  NormGrad(c, grad, &c.buffer(grad.getDbias())).run();
  return success();
}
} // namespace

void moe::cpu::addNormGradKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::RmsNormGradOp::getOperationName()] = {
      emitRmsNormGrad, normScratch<nn::RmsNormGradOp>};
  table[nn::LayerNormGradOp::getOperationName()] = {
      emitLayerNormGrad, normScratch<nn::LayerNormGradOp>};
}
