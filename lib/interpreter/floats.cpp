// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elementwise floating-point operations of arith and math, on tensors and
// scalars.
#include "lib/interpreter/machine.h"
#include "lib/reference/elementwise.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

/// Operands of an elementwise operation have one shape.
template <typename T> static bool sameShapes(Call<T> &c) {
  ValueRange operands = c.op->getOperands();
  for (Value operand : operands.drop_front())
    if (!c.expect(c[operand].shape() == c[operands[0]].shape(),
                  "operands of one shape, got " + c[operands[0]].describe() +
                      " and " + c[operand].describe()))
      return false;
  return true;
}

/// Adds an operation of |fn|: (T…) -> T, one argument per operand.
template <typename OpTy, typename T, typename... Args>
static void addMap(HandlerTable<T> &table, T (*fn)(Args...)) {
  table.template add<OpTy>([fn](Call<T> &c, OpTy op) -> Tensor<T> {
    if (!sameShapes(c))
      return {};
    auto apply = [&]<size_t... I>(std::index_sequence<I...>) {
      const Tensor<T> *operands[] = {&c[op->getOperand(I)]...};
      std::vector<T> y(operands[0]->size());
      for (size_t i = 0; i < y.size(); ++i)
        y[i] = fn(operands[I]->values()[i]...);
      return Tensor<T>::floats(c.resultElement(), operands[0]->shape(),
                               std::move(y));
    };
    return apply(std::index_sequence_for<Args...>());
  });
}

template <typename T>
static bool compare(arith::CmpFPredicate predicate, T a, T b) {
  using P = arith::CmpFPredicate;
  bool ordered = a == a && b == b;
  switch (predicate) {
  case P::AlwaysFalse:
    return false;
  case P::AlwaysTrue:
    return true;
  case P::OEQ:
    return a == b;
  case P::OGT:
    return a > b;
  case P::OGE:
    return a >= b;
  case P::OLT:
    return a < b;
  case P::OLE:
    return a <= b;
  case P::ONE:
    return ordered && a != b;
  case P::ORD:
    return ordered;
  case P::UEQ:
    return !ordered || a == b;
  case P::UGT:
    return !ordered || a > b;
  case P::UGE:
    return !ordered || a >= b;
  case P::ULT:
    return !ordered || a < b;
  case P::ULE:
    return !ordered || a <= b;
  case P::UNE:
    return a != b;
  case P::UNO:
    return !ordered;
  }
  return false;
}

template <typename T> static Tensor<T> compare(Call<T> &c, arith::CmpFOp op) {
  if (!sameShapes(c))
    return {};
  const Tensor<T> &a = c[op.getLhs()], &b = c[op.getRhs()];
  std::vector<int64_t> y(a.size());
  for (size_t i = 0; i < y.size(); ++i)
    y[i] = compare(op.getPredicate(), a.values()[i], b.values()[i]);
  return Tensor<T>::ints(Element::I1, a.shape(), std::move(y));
}

/// Chooses by element, or as a whole where the condition is a scalar.
template <typename T> static Tensor<T> select(Call<T> &c, arith::SelectOp op) {
  const Tensor<T> &condition = c[op.getCondition()];
  Maybe<T> yes = &c[op.getTrueValue()], no = &c[op.getFalseValue()];
  if (condition.rank() == 0)
    return condition.integers()[0] ? *yes : *no;
  if (!sameShapes(c))
    return {};
  auto choose = [&](auto a, auto b) {
    std::vector<typename decltype(a)::value_type> y(a.size());
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = condition.integers()[i] ? a[i] : b[i];
    return y;
  };
  if (yes->isFloat())
    return Tensor<T>::floats(yes->element(), yes->shape(),
                             choose(yes->values(), no->values()));
  return Tensor<T>::ints(yes->element(), yes->shape(),
                         choose(yes->integers(), no->integers()));
}

/// Truncated towards zero; what does not fit becomes the nearest that does.
template <typename T>
static Tensor<T> toIntegers(Call<T> &c, const Tensor<T> &x, bool isSigned) {
  unsigned width = integerWidth(c.resultElement());
  double high = std::ldexp(1.0, isSigned ? width - 1 : width),
         low = isSigned ? -high : 0;
  std::vector<int64_t> y(x.size());
  for (size_t i = 0; i < y.size(); ++i) {
    double value = std::trunc(static_cast<double>(x.values()[i]));
    if (value != value)
      y[i] = 0;
    else if (value >= high)
      y[i] = static_cast<int64_t>((isSigned      ? uint64_t(1) << (width - 1)
                                   : width == 64 ? 0
                                                 : uint64_t(1) << width) -
                                  1);
    else if (isSigned)
      y[i] = static_cast<int64_t>(std::max(value, low));
    else
      y[i] = static_cast<int64_t>(static_cast<uint64_t>(std::max(value, low)));
  }
  return Tensor<T>::ints(c.resultElement(), x.shape(), std::move(y));
}

template <typename T> static void addArith(HandlerTable<T> &table) {
  addMap<arith::AddFOp>(table, +[](T a, T b) { return a + b; });
  addMap<arith::SubFOp>(table, +[](T a, T b) { return a - b; });
  addMap<arith::MulFOp>(table, +[](T a, T b) { return a * b; });
  addMap<arith::DivFOp>(table, +[](T a, T b) { return a / b; });
  addMap<arith::RemFOp>(table, +[](T a, T b) { return std::fmod(a, b); });
  addMap<arith::NegFOp>(table, +[](T a) { return -a; });
  addMap<arith::MaximumFOp>(table, &ref::Maximum<T>);
  addMap<arith::MinimumFOp>(table, &ref::Minimum<T>);
  addMap<arith::MaxNumFOp>(
      table, +[](T a, T b) {
        return a != a ? b : b != b ? a : ref::Maximum(a, b);
      });
  addMap<arith::MinNumFOp>(
      table, +[](T a, T b) {
        return a != a ? b : b != b ? a : ref::Minimum(a, b);
      });
  addMap<arith::ExtFOp>(table, +[](T a) { return a; });
  addMap<arith::TruncFOp>(table, +[](T a) { return a; });
  table.template add<arith::CmpFOp>(
      [](Call<T> &c, arith::CmpFOp op) { return compare(c, op); });
  table.template add<arith::SelectOp>(
      [](Call<T> &c, arith::SelectOp op) { return select(c, op); });
  table.template add<arith::FPToSIOp>([](Call<T> &c, arith::FPToSIOp op) {
    return toIntegers(c, c[op.getIn()], true);
  });
  table.template add<arith::FPToUIOp>([](Call<T> &c, arith::FPToUIOp op) {
    return toIntegers(c, c[op.getIn()], false);
  });
}

template <typename T> static void addMath(HandlerTable<T> &table) {
  addMap<math::AbsFOp>(table, &ref::Abs<T>);
  addMap<math::ExpOp>(table, &ref::Exp<T>);
  addMap<math::Exp2Op>(table, +[](T a) { return std::exp2(a); });
  addMap<math::ExpM1Op>(table, +[](T a) { return std::expm1(a); });
  addMap<math::LogOp>(table, &ref::Log<T>);
  addMap<math::Log2Op>(table, +[](T a) { return std::log2(a); });
  addMap<math::Log10Op>(table, +[](T a) { return std::log10(a); });
  addMap<math::Log1pOp>(table, +[](T a) { return std::log1p(a); });
  addMap<math::SqrtOp>(table, &ref::Sqrt<T>);
  addMap<math::RsqrtOp>(table, &ref::Rsqrt<T>);
  addMap<math::TanhOp>(table, &ref::Tanh<T>);
  addMap<math::ErfOp>(table, &ref::Erf<T>);
  addMap<math::SinOp>(table, +[](T a) { return std::sin(a); });
  addMap<math::CosOp>(table, +[](T a) { return std::cos(a); });
  addMap<math::FloorOp>(table, +[](T a) { return std::floor(a); });
  addMap<math::CeilOp>(table, +[](T a) { return std::ceil(a); });
  addMap<math::TruncOp>(table, +[](T a) { return std::trunc(a); });
  addMap<math::RoundOp>(table, +[](T a) { return std::round(a); });
  addMap<math::RoundEvenOp>(table, +[](T a) { return std::nearbyint(a); });
  addMap<math::PowFOp>(table, +[](T a, T b) { return std::pow(a, b); });
  addMap<math::CopySignOp>(
      table, +[](T a, T b) { return std::copysign(a, b); });
  addMap<math::FmaOp>(table, +[](T a, T b, T c) { return std::fma(a, b, c); });
}

template <typename T> void mlir::moe::addFloatHandlers(HandlerTable<T> &table) {
  addArith(table);
  addMath(table);
}

template void mlir::moe::addFloatHandlers(HandlerTable<float> &);
template void mlir::moe::addFloatHandlers(HandlerTable<double> &);
