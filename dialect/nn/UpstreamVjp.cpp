// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Vector-Jacobian products of the operations of arith and math that can stand
// in a differentiated function. All are elementwise.
#include "dialect/nn/NnDialect.h"

using namespace mlir;
using namespace mlir::nn;

namespace {
/// Elementwise arithmetic at one place.
struct Elementwise {
  OpBuilder &b;
  Location loc;

  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
  Value neg(Value x) { return arith::NegFOp::create(b, loc, x); }
  Value all(Value like, double number) {
    return splat(b, loc, like.getType(), like, number);
  }
  Value compare(arith::CmpFPredicate predicate, Value x, Value y) {
    return arith::CmpFOp::create(b, loc, predicate, x, y);
  }
  Value select(Value condition, Value x, Value y) {
    return arith::SelectOp::create(b, loc, condition, x, y);
  }
};

using Gradients = SmallVectorImpl<Value>;

/// The rule |build| as the interface of |OpTy|.
template <typename OpTy, void (*build)(Elementwise, OpTy, Value, Gradients &)>
struct Rule
    : DifferentiableOpInterface::ExternalModel<Rule<OpTy, build>, OpTy> {
  LogicalResult buildVjp(Operation *op, OpBuilder &b, ValueRange dy,
                         Gradients &dx) const {
    build({b, op->getLoc()}, cast<OpTy>(op), dy[0], dx);
    return success();
  }
};

void add(Elementwise, arith::AddFOp, Value dy, Gradients &dx) {
  dx[0] = dx[1] = dy;
}

void sub(Elementwise e, arith::SubFOp, Value dy, Gradients &dx) {
  dx[0] = dy;
  dx[1] = e.neg(dy);
}

void mul(Elementwise e, arith::MulFOp op, Value dy, Gradients &dx) {
  dx[0] = e.mul(dy, op.getRhs());
  dx[1] = e.mul(dy, op.getLhs());
}

/// y = a/b: db = −y·dy/b
void div(Elementwise e, arith::DivFOp op, Value dy, Gradients &dx) {
  dx[0] = e.div(dy, op.getRhs());
  dx[1] = e.neg(e.mul(dx[0], op.getResult()));
}

void neg(Elementwise e, arith::NegFOp, Value dy, Gradients &dx) {
  dx[0] = e.neg(dy);
}

/// The gradient goes to the operand that was taken, the first of equal ones.
void pass(Elementwise e, Value first, Value dy, Gradients &dx) {
  Value zero = e.all(dy, 0);
  dx[0] = e.select(first, dy, zero);
  dx[1] = e.select(first, zero, dy);
}

void maximum(Elementwise e, arith::MaximumFOp op, Value dy, Gradients &dx) {
  pass(e, e.compare(arith::CmpFPredicate::OGE, op.getLhs(), op.getRhs()), dy,
       dx);
}

void minimum(Elementwise e, arith::MinimumFOp op, Value dy, Gradients &dx) {
  pass(e, e.compare(arith::CmpFPredicate::OLE, op.getLhs(), op.getRhs()), dy,
       dx);
}

void select(Elementwise e, arith::SelectOp op, Value dy, Gradients &dx) {
  Value zero = e.all(dy, 0);
  dx[1] = e.select(op.getCondition(), dy, zero);
  dx[2] = e.select(op.getCondition(), zero, dy);
}

/// A wider type keeps the digits that a parameter's sum wants.
void widen(Elementwise, arith::ExtFOp, Value dy, Gradients &dx) { dx[0] = dy; }

template <typename OpTy>
void convert(Elementwise e, OpTy op, Value dy, Gradients &dx) {
  dx[0] = castElement(e.b, e.loc, dy, op.getIn().getType());
}

/// 0 at 0.
void abs(Elementwise e, math::AbsFOp op, Value dy, Gradients &dx) {
  Value zero = e.all(dy, 0);
  Value below =
      e.select(e.compare(arith::CmpFPredicate::OLT, op.getOperand(), zero),
               e.neg(dy), zero);
  dx[0] = e.select(e.compare(arith::CmpFPredicate::OGT, op.getOperand(), zero),
                   dy, below);
}

void exp(Elementwise e, math::ExpOp op, Value dy, Gradients &dx) {
  dx[0] = e.mul(dy, op.getResult());
}

void log(Elementwise e, math::LogOp op, Value dy, Gradients &dx) {
  dx[0] = e.div(dy, op.getOperand());
}

/// dy/(2·y)
void sqrt(Elementwise e, math::SqrtOp op, Value dy, Gradients &dx) {
  dx[0] = e.div(e.mul(dy, e.all(dy, 0.5)), op.getResult());
}

/// −dy·y/(2·x)
void rsqrt(Elementwise e, math::RsqrtOp op, Value dy, Gradients &dx) {
  dx[0] =
      e.div(e.mul(e.mul(dy, e.all(dy, -0.5)), op.getResult()), op.getOperand());
}

/// dy·(1 − y²)
void tanh(Elementwise e, math::TanhOp op, Value dy, Gradients &dx) {
  dx[0] = e.mul(dy, e.sub(e.all(dy, 1), e.mul(op.getResult(), op.getResult())));
}

/// dy·2/√π·exp(−x²)
void erf(Elementwise e, math::ErfOp op, Value dy, Gradients &dx) {
  Value x = op.getOperand();
  Value bell = math::ExpOp::create(e.b, e.loc, e.neg(e.mul(x, x)));
  dx[0] = e.mul(dy, e.mul(bell, e.all(dy, 1.1283791670955126)));
}
} // namespace

template <typename OpTy, void (*build)(Elementwise, OpTy, Value, Gradients &)>
static void attach(MLIRContext *context) {
  OpTy::template attachInterface<Rule<OpTy, build>>(*context);
}

void nn::attachUpstreamVjps(MLIRContext *context) {
  attach<arith::AddFOp, add>(context);
  attach<arith::SubFOp, sub>(context);
  attach<arith::MulFOp, mul>(context);
  attach<arith::DivFOp, div>(context);
  attach<arith::NegFOp, neg>(context);
  attach<arith::MaximumFOp, maximum>(context);
  attach<arith::MinimumFOp, minimum>(context);
  attach<arith::SelectOp, select>(context);
  attach<arith::ExtFOp, widen>(context);
  attach<arith::TruncFOp, convert<arith::TruncFOp>>(context);
  attach<math::AbsFOp, abs>(context);
  attach<math::ExpOp, exp>(context);
  attach<math::LogOp, log>(context);
  attach<math::SqrtOp, sqrt>(context);
  attach<math::RsqrtOp, rsqrt>(context);
  attach<math::TanhOp, tanh>(context);
  attach<math::ErfOp, erf>(context);
}
