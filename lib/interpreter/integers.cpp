// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Elementwise integer operations of arith and math, on tensors and scalars.
#include "lib/interpreter/machine.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::moe;

namespace {
/// One element of an integer tensor as both of its readings.
struct Number {
  Number(Element element, int64_t value) : width(integerWidth(element)) {
    s = width == 1 ? -value : value;
    u = width == 64 ? uint64_t(value)
                    : uint64_t(value) & ((uint64_t(1) << width) - 1);
  }
  unsigned width;
  int64_t s;
  uint64_t u;
};
using Binary = int64_t (*)(Number, Number);
using Unary = int64_t (*)(Number);
} // namespace

/// |needsDivisor|: zero on the right is an error.
template <typename OpTy, typename T>
static void addBinary(HandlerTable<T> &table, Binary fn,
                      bool needsDivisor = false) {
  table.template add<OpTy>([=](Call<T> &c, OpTy op) -> Tensor<T> {
    const Tensor<T> &a = c[op.getLhs()], &b = c[op.getRhs()];
    if (!c.expect(a.shape() == b.shape(), "operands of one shape, got " +
                                              a.describe() + " and " +
                                              b.describe()))
      return {};
    std::vector<int64_t> y(a.size());
    for (size_t i = 0; i < y.size(); ++i) {
      if (needsDivisor &&
          !c.expect(b.integers()[i] != 0, "no division by zero"))
        return {};
      y[i] = fn(Number(a.element(), a.integers()[i]),
                Number(b.element(), b.integers()[i]));
    }
    return Tensor<T>::ints(c.resultElement(), a.shape(), std::move(y));
  });
}

template <typename OpTy, typename T>
static void addUnary(HandlerTable<T> &table, Unary fn) {
  table.template add<OpTy>([=](Call<T> &c, OpTy op) {
    const Tensor<T> &a = c[op->getOperand(0)];
    std::vector<int64_t> y(a.size());
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = fn(Number(a.element(), a.integers()[i]));
    return Tensor<T>::ints(c.resultElement(), a.shape(), std::move(y));
  });
}

template <typename OpTy, typename T>
static void addToFloat(HandlerTable<T> &table, T (*fn)(Number)) {
  table.template add<OpTy>([=](Call<T> &c, OpTy op) {
    const Tensor<T> &a = c[op.getIn()];
    std::vector<T> y(a.size());
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = fn(Number(a.element(), a.integers()[i]));
    return Tensor<T>::floats(c.resultElement(), a.shape(), std::move(y));
  });
}

/// Rounds down, where C++ rounds towards zero. The one quotient that does not
/// fit wraps.
static int64_t quotient(int64_t a, int64_t b) {
  return b == -1 ? int64_t(-uint64_t(a)) : a / b;
}
static int64_t remainder(int64_t a, int64_t b) { return b == -1 ? 0 : a % b; }
static int64_t floorQuotient(int64_t a, int64_t b) {
  return quotient(a, b) - (remainder(a, b) != 0 && (a < 0) != (b < 0));
}
static int64_t ceilQuotient(int64_t a, int64_t b) {
  return quotient(a, b) + (remainder(a, b) != 0 && (a < 0) == (b < 0));
}

static bool compare(arith::CmpIPredicate predicate, Number a, Number b) {
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case P::eq:
    return a.u == b.u;
  case P::ne:
    return a.u != b.u;
  case P::slt:
    return a.s < b.s;
  case P::sle:
    return a.s <= b.s;
  case P::sgt:
    return a.s > b.s;
  case P::sge:
    return a.s >= b.s;
  case P::ult:
    return a.u < b.u;
  case P::ule:
    return a.u <= b.u;
  case P::ugt:
    return a.u > b.u;
  case P::uge:
    return a.u >= b.u;
  }
  return false;
}

template <typename T> static Tensor<T> compare(Call<T> &c, arith::CmpIOp op) {
  const Tensor<T> &a = c[op.getLhs()], &b = c[op.getRhs()];
  if (!c.expect(a.shape() == b.shape(), "operands of one shape, got " +
                                            a.describe() + " and " +
                                            b.describe()))
    return {};
  std::vector<int64_t> y(a.size());
  for (size_t i = 0; i < y.size(); ++i)
    y[i] = compare(op.getPredicate(), Number(a.element(), a.integers()[i]),
                   Number(b.element(), b.integers()[i]));
  return Tensor<T>::ints(Element::I1, a.shape(), std::move(y));
}

template <typename T> static void addBinaries(HandlerTable<T> &table) {
  addBinary<arith::AddIOp>(
      table, [](Number a, Number b) { return int64_t(a.u + b.u); });
  addBinary<arith::SubIOp>(
      table, [](Number a, Number b) { return int64_t(a.u - b.u); });
  addBinary<arith::MulIOp>(
      table, [](Number a, Number b) { return int64_t(a.u * b.u); });
  addBinary<arith::AndIOp>(
      table, [](Number a, Number b) { return int64_t(a.u & b.u); });
  addBinary<arith::OrIOp>(
      table, [](Number a, Number b) { return int64_t(a.u | b.u); });
  addBinary<arith::XOrIOp>(
      table, [](Number a, Number b) { return int64_t(a.u ^ b.u); });
  addBinary<arith::MaxSIOp>(
      table, [](Number a, Number b) { return std::max(a.s, b.s); });
  addBinary<arith::MinSIOp>(
      table, [](Number a, Number b) { return std::min(a.s, b.s); });
  addBinary<arith::MaxUIOp>(
      table, [](Number a, Number b) { return int64_t(std::max(a.u, b.u)); });
  addBinary<arith::MinUIOp>(
      table, [](Number a, Number b) { return int64_t(std::min(a.u, b.u)); });
  addBinary<arith::ShLIOp>(table, [](Number a, Number b) {
    return b.u < a.width ? int64_t(a.u << b.u) : 0;
  });
  addBinary<arith::ShRUIOp>(table, [](Number a, Number b) {
    return b.u < a.width ? int64_t(a.u >> b.u) : 0;
  });
  addBinary<arith::ShRSIOp>(table, [](Number a, Number b) {
    return a.s >> std::min<uint64_t>(b.u, 63);
  });
  addBinary<arith::DivSIOp>(
      table, [](Number a, Number b) { return quotient(a.s, b.s); }, true);
  addBinary<arith::RemSIOp>(
      table, [](Number a, Number b) { return remainder(a.s, b.s); }, true);
  addBinary<arith::FloorDivSIOp>(
      table, [](Number a, Number b) { return floorQuotient(a.s, b.s); }, true);
  addBinary<arith::CeilDivSIOp>(
      table, [](Number a, Number b) { return ceilQuotient(a.s, b.s); }, true);
  addBinary<arith::DivUIOp>(
      table, [](Number a, Number b) { return int64_t(a.u / b.u); }, true);
  addBinary<arith::RemUIOp>(
      table, [](Number a, Number b) { return int64_t(a.u % b.u); }, true);
  addBinary<arith::CeilDivUIOp>(
      table,
      [](Number a, Number b) { return int64_t(a.u / b.u + (a.u % b.u != 0)); },
      true);
}

template <typename T>
void mlir::moe::addIntegerHandlers(HandlerTable<T> &table) {
  addBinaries(table);
  addUnary<arith::ExtSIOp>(table, [](Number a) { return a.s; });
  addUnary<arith::ExtUIOp>(table, [](Number a) { return int64_t(a.u); });
  addUnary<arith::TruncIOp>(table, [](Number a) { return a.s; });
  addUnary<arith::IndexCastOp>(table, [](Number a) { return a.s; });
  addUnary<arith::IndexCastUIOp>(table, [](Number a) { return int64_t(a.u); });
  addUnary<math::AbsIOp>(
      table, [](Number a) { return a.s < 0 ? int64_t(-uint64_t(a.s)) : a.s; });
  addToFloat<arith::SIToFPOp>(
      table, +[](Number a) { return static_cast<T>(a.s); });
  addToFloat<arith::UIToFPOp>(
      table, +[](Number a) { return static_cast<T>(a.u); });
  table.template add<arith::CmpIOp>(
      [](Call<T> &c, arith::CmpIOp op) { return compare(c, op); });
}

template void mlir::moe::addIntegerHandlers(HandlerTable<float> &);
template void mlir::moe::addIntegerHandlers(HandlerTable<double> &);
