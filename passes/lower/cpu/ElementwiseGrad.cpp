// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Gradients of activations, gated units and reductions.
#include "passes/lower/cpu/RowGrad.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
using Lanes = SmallVector<Value>;

/// Arithmetic of one argument and constants, in the order of the reference.
struct Formula {
  Emitter &e;
  Value x;
  Value f(float value) { return constantF(e, x, value); }
  Value mul(Value a, Value c) { return e.mulF(a, c); }
  Value add(Value a, Value c) { return e.addF(a, c); }
  Value sub(Value a, Value c) { return e.subF(a, c); }

  /// s·(1 + slope·x·(1 − s)) with s = sigmoid(slope·x); slope 1 where null.
  Value swish(Value slope) {
    Value inner = slope ? mul(slope, x) : x;
    Value s = e.sigmoid(inner);
    return mul(s, add(f(1), mul(inner, sub(f(1), s))));
  }

  Value gelu() {
    Value bell = e.exp(mul(mul(f(-0.5f), x), x));
    Value below =
        mul(f(0.5f), add(f(1), e.erf(mul(x, f(0.70710678118654752440f)))));
    return add(below, mul(mul(x, f(0.39894228040143267794f)), bell));
  }

  Value geluTanh() {
    float a = 0.044715f;
    Value c = f(0.79788456080286535588f);
    Value cube = mul(mul(mul(f(a), x), x), x);
    Value h = e.tanh(mul(c, add(x, cube)));
    Value slope = add(f(1), mul(mul(f(3 * a), x), x));
    Value rise = mul(mul(mul(f(0.5f), x), sub(f(1), mul(h, h))), c);
    return add(mul(f(0.5f), add(f(1), h)), mul(rise, slope));
  }
};
} // namespace

Value moe::cpu::derivative(Emitter &e, nn::Activation kind, Value x) {
  Formula t{e, x};
  switch (kind) {
  case nn::Activation::Silu:
    return t.swish({});
  case nn::Activation::QuickGelu:
    return t.swish(t.f(1.702f));
  case nn::Activation::Gelu:
    return t.gelu();
  case nn::Activation::GeluTanh:
    return t.geluTanh();
  case nn::Activation::Relu:
    return e.select(e.cmpF(arith::CmpFPredicate::OGT, x, t.f(0)), t.f(1),
                    t.f(0));
  case nn::Activation::Sigmoid: {
    Value s = e.sigmoid(x);
    return t.mul(s, t.sub(t.f(1), s));
  }
  case nn::Activation::Tanh: {
    Value h = e.tanh(x);
    return t.sub(t.f(1), t.mul(h, h));
  }
  case nn::Activation::Identity:
    return t.f(1);
  }
  llvm_unreachable("an activation");
}

namespace {
LogicalResult emitActivateGrad(EntryContext &c, Operation *op) {
  auto grad = cast<nn::ActivateGradOp>(op);
  Emitter &e = c.e;
  const Buffer &x = c.buffer(grad.getX()), &dy = c.buffer(grad.getDy()),
               &dx = c.result(op);
  parallelElements(c, grad.getDx(), [&](Value index, Value mask) {
    Value slope = derivative(e, grad.getAct(), loadAt(e, x, index, mask));
    storeAt(e, dx, index, e.mulF(loadAt(e, dy, index, mask), slope), mask);
  });
  return success();
}

LogicalResult emitGluGrad(EntryContext &c, Operation *op) {
  auto grad = cast<nn::GluGradOp>(op);
  Emitter &e = c.e;
  using P = arith::CmpFPredicate;
  int64_t width = lastDim(grad.getDy());
  Buffer x = asRows(c, grad.getX(), 2 * width),
         dy = asRows(c, grad.getDy(), width),
         dx = asRows(c, grad.getDx(), 2 * width);
  float limit = grad.getLimit().convertToDouble(),
        shift = grad.getShift().convertToDouble();
  e.parallel(dy.rows, Emitter::grainFor(5 * width), [&](Value row) {
    e.lanes(width, [&](Value column, Value mask) {
      Value behind = e.add(column, e.i64(width));
      Value gate = e.load(x, row, column, mask),
            up = e.load(x, row, behind, mask),
            g = e.load(dy, row, column, mask);
      Value zero = e.splatF32(0), most = e.splatF32(limit),
            least = e.splatF32(-limit);
      Value gateCut, upCut;
      if (limit > 0) {
        gateCut = e.cmpF(P::OGT, gate, most);
        upCut = arith::OrIOp::create(e.b, e.loc, e.cmpF(P::OGT, up, most),
                                     e.cmpF(P::OLT, up, least));
        gate = e.minF(gate, most);
        up = e.maxF(e.minF(up, most), least);
      }
      if (shift != 0)
        up = e.addF(up, e.splatF32(shift));
      Value dgate = e.mulF(e.mulF(g, up), derivative(e, grad.getAct(), gate));
      Value dup = e.mulF(g, e.activation(grad.getAct(), gate));
      e.store(dx, row, column, gateCut ? e.select(gateCut, zero, dgate) : dgate,
              mask);
      e.store(dx, row, behind, upCut ? e.select(upCut, zero, dup) : dup, mask);
    });
  });
  return success();
}

class ReduceGrad {
public:
  ReduceGrad(EntryContext &c, nn::ReduceGradOp op, const AxisView &v)
      : e(c.e), v(v), kind(op.getKind()), x(c.buffer(op.getX())),
        y(c.buffer(op.getY())), dy(c.buffer(op.getDy())), dx(c.result(op)) {}

  void run(bool one) {
    // An axis in front of all others: its columns are the work.
    if (one && v.inner > 1) {
      parallelColumns(e, v.inner, [&](ArrayRef<Value> columns, Value mask) {
        for (Value column : columns)
          neighbours(e.i64(0), column, mask);
      });
      return;
    }
    int64_t elements = std::max<int64_t>(v.size, 1) * v.inner;
    e.parallel(v.outer, Emitter::grainFor(2 * elements), [&](Value outer) {
      if (v.inner == 1)
        return row(outer);
      e.lanes(v.inner, [&](Value column, Value mask) {
        neighbours(outer, column, mask);
      });
    });
  }

private:
  bool sums() const {
    return kind == nn::ReduceKind::Sum || kind == nn::ReduceKind::Mean;
  }
  Value share(Value gradient) {
    if (kind != nn::ReduceKind::Mean)
      return gradient;
    Value count = arith::SIToFPOp::create(e.b, e.loc, e.b.getF32Type(), v.n);
    return e.divF(gradient, e.splat(count));
  }
  Value equal(Value a, Value c) {
    return e.cmpF(arith::CmpFPredicate::OEQ, a, c);
  }

  /// The elements of one reduction, one behind another.
  void row(Value outer) {
    Value start = e.mul(outer, v.n);
    auto one = [&](const Buffer &from) {
      return e.splat(
          e.loadScalar(e.offset(from.base, outer, from.element), from.element));
    };
    auto store = [&](Value column, Value lanes, Value mask) {
      storeAt(e, dx, e.add(start, column), lanes, mask);
    };
    Value g = share(one(dy)), zero = e.splatF32(0);
    if (sums()) {
      lanesOf(e, v.size, v.n,
              [&](Value column, Value mask) { store(column, g, mask); });
      return;
    }
    auto indices = [&](Value column) {
      return e.add(e.iota(), e.splat(e.toI32(column)));
    };
    Value best = one(y);
    Value none = e.splatI32(std::numeric_limits<int32_t>::max());
    auto find = [&](Value column, Value mask, ValueRange first) {
      Value is = equal(loadAt(e, x, e.add(start, column), mask), best);
      Value at = keep(e, mask, e.select(is, indices(column), none), none);
      return Lanes{e.minI(first[0], at)};
    };
    Value first = e.splat(
        e.minLanesI32(lanesOf(e, v.size, v.n, ValueRange{none}, find)[0]));
    lanesOf(e, v.size, v.n, [&](Value column, Value mask) {
      Value is = e.cmp(arith::CmpIPredicate::eq, indices(column), first);
      store(column, e.select(is, g, zero), mask);
    });
  }

  /// 16 reductions side by side.
  void neighbours(Value outer, Value column, Value mask) {
    Value inner = e.i64(v.inner);
    Value at = e.add(e.mul(outer, inner), column);
    Value start = e.add(e.mul(e.mul(outer, v.n), inner), column);
    Value g = share(loadAt(e, dy, at, mask)), zero = e.splatF32(0);
    auto index = [&](Value j) { return e.add(start, e.mul(j, inner)); };
    if (sums()) {
      e.loop(e.i64(0), v.n, 1,
             [&](Value j) { storeAt(e, dx, index(j), g, mask); });
      return;
    }
    Value best = loadAt(e, y, at, mask);
    Value all = arith::ConstantOp::create(
        e.b, e.loc, DenseElementsAttr::get(e.vecI1(), true));
    e.loop(e.i64(0), v.n, 1, ValueRange{all}, [&](Value j, ValueRange open) {
      Value is = arith::AndIOp::create(
          e.b, e.loc, open[0], equal(loadAt(e, x, index(j), mask), best));
      storeAt(e, dx, index(j), e.select(is, g, zero), mask);
      return Lanes{arith::XOrIOp::create(e.b, e.loc, open[0], is)};
    });
  }

  Emitter &e;
  AxisView v;
  nn::ReduceKind kind;
  const Buffer &x, &y, &dy, &dx;
};

LogicalResult emitReduceGrad(EntryContext &c, Operation *op) {
  auto grad = cast<nn::ReduceGradOp>(op);
  auto view = AxisView::get(c, op, grad.getX(), grad.getAxis());
  if (failed(view))
    return failure();
  ReduceGrad(c, grad, *view).run(/*one=*/grad.getAxis() == 0);
  return success();
}
} // namespace

void moe::cpu::addElementwiseGradKernels(llvm::StringMap<KernelEntry> &table) {
  table[nn::ActivateGradOp::getOperationName()] = {emitActivateGrad};
  table[nn::GluGradOp::getOperationName()] = {emitGluGrad};
  table[nn::ReduceGradOp::getOperationName()] = {emitReduceGrad};
}
