// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Functions of one f32 argument, a scalar or 16 lanes, of operations that every
// instruction set rounds alike. None calls a library or branches.
#include "passes/lower/cpu/Views.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

namespace {
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kSmallestNormal = std::numeric_limits<float>::min();
/// Added to |x| < 2^22 it leaves the nearest integer in the low bits.
constexpr float kRoundToInteger = 12582912.0f;

/// Arithmetic with constants, of the shape of one argument.
class Terms {
public:
  Terms(Emitter &e, Value like) : e(e), like(like), float_(like.getType()) {
    auto vector = dyn_cast<VectorType>(float_);
    bits_ = vector ? Type(vector.clone(e.b.getI32Type())) : e.b.getI32Type();
  }

  Value f(float value) { return constantF(e, like, value); }
  Value i(int32_t value) { return constantI(e, like, value); }
  Value bits(Value x) { return arith::BitcastOp::create(e.b, e.loc, bits_, x); }
  Value number(Value bits) {
    return arith::BitcastOp::create(e.b, e.loc, float_, bits);
  }
  Value shiftLeft(Value x, int32_t by) {
    return arith::ShLIOp::create(e.b, e.loc, x, i(by));
  }
  Value shiftRight(Value x, int32_t by) {
    return arith::ShRSIOp::create(e.b, e.loc, x, i(by));
  }
  Value both(Value x, int32_t mask) {
    return arith::AndIOp::create(e.b, e.loc, x, i(mask));
  }
  Value negated(Value x) { return arith::NegFOp::create(e.b, e.loc, x); }
  Value magnitude(Value x) { return number(both(bits(x), 0x7fffffff)); }
  /// The magnitude of |x|, whose sign bit is 0, with the sign of |from|.
  Value withSign(Value x, Value from) {
    return number(arith::OrIOp::create(e.b, e.loc, bits(x),
                                       both(bits(from), 0x80000000)));
  }
  Value less(Value x, float y) {
    return e.cmpF(arith::CmpFPredicate::OLT, x, f(y));
  }
  Value greater(Value x, float y) {
    return e.cmpF(arith::CmpFPredicate::OGT, x, f(y));
  }
  Value isNaN(Value x) { return e.cmpF(arith::CmpFPredicate::UNO, x, x); }
  /// Horner's rule by fused multiply-adds, highest power first.
  Value polynomial(Value x, ArrayRef<float> coefficients) {
    Value y = f(coefficients.front());
    for (float c : coefficients.drop_front())
      y = e.fma(y, x, f(c));
    return y;
  }

private:
  Emitter &e;
  Value like;
  Type float_, bits_;
};
} // namespace

Value Emitter::exp(Value x) {
  Terms t(*this, x);
  // x = n·ln 2 + r, |r| <= ln 2 / 2; ln 2 in two parts.
  Value shifted = fma(x, t.f(1.44269504f), t.f(kRoundToInteger));
  Value n = subF(shifted, t.f(kRoundToInteger));
  Value r = fma(n, t.f(-0.693145752f), x);
  r = fma(n, t.f(-1.42860677e-6f), r);
  Value p =
      t.polynomial(r, {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                       4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f});
  p = addF(fma(p, mulF(r, r), r), t.f(1.0f));
  // The integer lies in the low bits of |shifted|: those of 1.5·2^23 vanish.
  Value y = t.number(add(t.bits(p), t.shiftLeft(t.bits(shifted), 23)));
  // Between these bounds the result is finite and normal.
  y = select(t.greater(x, 88.7228317f), t.f(kInf), y);
  y = select(t.less(x, -87.3365402f), t.f(0.0f), y);
  return select(t.isNaN(x), x, y);
}

Value Emitter::log(Value x) {
  Terms t(*this, x);
  // x = 2^n·m with m in [sqrt(1/2), sqrt(2)).
  Value bits = t.bits(x);
  Value n = t.shiftRight(sub(bits, t.i(0x3f3504f3)), 23);
  Value f = subF(t.number(sub(bits, t.shiftLeft(n, 23))), t.f(1.0f));
  Value exponent = arith::SIToFPOp::create(b, loc, x.getType(), n);
  Value z = mulF(f, f);
  Value p =
      t.polynomial(f, {7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f,
                       -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f,
                       2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f});
  Value low = mulF(mulF(f, z), p);
  low = fma(exponent, t.f(-2.12194440e-4f), low);
  low = fma(z, t.f(-0.5f), low);
  Value y = fma(exponent, t.f(0.693359375f), addF(f, low));
  y = select(cmpF(arith::CmpFPredicate::OEQ, x, t.f(kInf)), x, y);
  y = select(t.less(x, kSmallestNormal), t.f(-kInf), y);
  Value negative = cmpF(arith::CmpFPredicate::OLE, x, t.f(-kSmallestNormal));
  y = select(negative, t.f(std::numeric_limits<float>::quiet_NaN()), y);
  return select(t.isNaN(x), x, y);
}

Value Emitter::tanh(Value x) {
  Terms t(*this, x);
  Value size = t.magnitude(x), z = mulF(x, x);
  Value p = t.polynomial(z, {-5.70498872745e-3f, 2.06390887954e-2f,
                             -5.37397155531e-2f, 1.33314422036e-1f,
                             -3.33332819422e-1f});
  Value small = fma(mulF(p, z), x, x);
  // 1 - 2 / (exp(2x) + 1)
  Value denominator = addF(exp(addF(size, size)), t.f(1.0f));
  Value large = t.withSign(subF(t.f(1.0f), divF(t.f(2.0f), denominator)), x);
  return select(t.less(size, 0.625f), small, large);
}

Value Emitter::erf(Value x) {
  Terms t(*this, x);
  Value size = t.magnitude(x), z = mulF(x, x);
  Value p = t.polynomial(z, {-5.96761703e-4f, 4.99119423e-3f, -2.67681349e-2f,
                             1.12819925e-1f, -3.76125336e-1f, 1.28379166e-1f});
  Value small = fma(p, x, x);
  // 1 - exp(polynomial of the magnitude)
  Value high = fma(t.f(-1.72853470e-5f), size, t.f(3.83197126e-4f));
  Value low = fma(t.f(-3.88396438e-3f), size, t.f(2.42546219e-2f));
  Value q = fma(high, z, low);
  q = fma(q, size, t.f(-1.06777877e-1f));
  q = fma(q, size, t.f(-6.34846687e-1f));
  q = fma(q, size, t.f(-1.28717512e-1f));
  q = fma(q, size, t.negated(size));
  Value large = t.withSign(subF(t.f(1.0f), exp(q)), x);
  return select(t.greater(size, 0.927734375f), large, small);
}

Value Emitter::sigmoid(Value x) {
  Terms t(*this, x);
  return divF(t.f(1.0f), addF(t.f(1.0f), exp(t.negated(x))));
}

Value Emitter::sqrt(Value x) { return math::SqrtOp::create(b, loc, x); }
Value Emitter::rsqrt(Value x) { return divF(Terms(*this, x).f(1.0f), sqrt(x)); }

std::pair<Value, Value> Emitter::sinCos(Value x) {
  Terms t(*this, x);
  // x = n·pi/2 + r; pi/2 in three parts, the first product exact.
  Value shifted = fma(x, t.f(0.636619747f), t.f(kRoundToInteger));
  Value n = subF(shifted, t.f(kRoundToInteger));
  Value r = fma(n, t.f(-1.57079637e+0f), x);
  r = fma(n, t.f(4.37113883e-8f), r);
  r = fma(n, t.f(1.71512451e-15f), r);
  Value z = mulF(r, r);
  Value sine = t.polynomial(
      z, {2.86567956e-6f, -1.98559923e-4f, 8.33338592e-3f, -1.66666672e-1f});
  sine = fma(sine, mulF(r, z), r);
  Value cosine = t.polynomial(
      z, {2.44677067e-5f, -1.38877297e-3f, 4.16666567e-2f, -0.5f, 1.0f});
  Value quadrant = t.bits(shifted);
  Value odd = cmp(arith::CmpIPredicate::ne, t.both(quadrant, 1), t.i(0));
  auto signedBy = [&](Value value, Value q) {
    Value sign = t.shiftLeft(t.both(q, 2), 30);
    return t.number(arith::XOrIOp::create(b, loc, t.bits(value), sign));
  };
  return {signedBy(select(odd, cosine, sine), quadrant),
          signedBy(select(odd, sine, cosine), add(quadrant, t.i(1)))};
}

Value Emitter::activation(nn::Activation kind, Value x) {
  Terms t(*this, x);
  switch (kind) {
  case nn::Activation::Silu:
    return mulF(x, sigmoid(x));
  case nn::Activation::Gelu:
    return mulF(mulF(t.f(0.5f), x),
                addF(t.f(1.0f), erf(mulF(x, t.f(0.70710678118654752440f)))));
  case nn::Activation::GeluTanh: {
    Value cube = mulF(mulF(mulF(t.f(0.044715f), x), x), x);
    Value inner = mulF(t.f(0.79788456080286535588f), addF(x, cube));
    return mulF(mulF(t.f(0.5f), x), addF(t.f(1.0f), tanh(inner)));
  }
  case nn::Activation::Relu:
    return maxF(x, t.f(0.0f));
  case nn::Activation::Sigmoid:
    return sigmoid(x);
  case nn::Activation::Tanh:
    return tanh(x);
  case nn::Activation::Identity:
    return x;
  case nn::Activation::QuickGelu:
    return mulF(x, sigmoid(mulF(t.f(1.702f), x)));
  }
  llvm_unreachable("an activation");
}
