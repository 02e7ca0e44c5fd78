// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Matrix products, norms and activations.
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"
#include "lib/reference/elementwise.h"
#include "lib/reference/matmul.h"
#include "lib/reference/norm.h"
#include "lib/reference/reduce.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

template <typename T>
static ref::Accumulation orderOf(const Tensor<T> &x, const Tensor<T> &w) {
  bool both = x.element() == Element::BF16 && w.element() == Element::BF16;
  return both ? ref::Accumulation::kEvenOdd32 : ref::Accumulation::kChain;
}

template <typename T> static ref::Rounding roundingOf(Element element) {
  bool rounds = std::is_same_v<T, float> && element == Element::BF16;
  return rounds ? ref::Rounding::kBf16 : ref::Rounding::kNone;
}

template <typename T> static const T *dataOf(Maybe<T> tensor) {
  return tensor ? tensor->data() : nullptr;
}

static ref::Activation referenceOf(nn::Activation act) {
  return *ref::ParseActivation(std::string_view(nn::stringifyActivation(act)));
}

template <typename T>
Tensor<T> mlir::moe::linear(Check &c, const Tensor<T> &x, const Tensor<T> &w,
                            Maybe<T> bias) {
  if (!c.expect(x.rank() == 2 && w.rank() == 2, "x [T, K] and w [N, K]") ||
      !c.same("columns of x", x.dim(1), w.dim(1)))
    return {};
  if (bias && !c.same("elements of the bias", bias->size(), w.dim(0)))
    return {};
  std::vector<T> y(x.dim(0) * w.dim(0));
  ref::Linear(x.data(), w.data(), dataOf(bias), x.dim(0), w.dim(0), w.dim(1),
              orderOf(x, w), y.data());
  return Tensor<T>::floats(x.element(), {x.dim(0), w.dim(0)}, std::move(y));
}

template <typename T>
Tensor<T> mlir::moe::headLinear(Check &c, const Tensor<T> &x,
                                const Tensor<T> &w) {
  if (!c.expect(x.rank() == 3 && w.rank() == 3,
                "x [T, H, K] and w [H, N, K]") ||
      !c.same("heads of x", x.dim(1), w.dim(0)) ||
      !c.same("columns of x", x.dim(2), w.dim(2)))
    return {};
  std::vector<T> y(x.dim(0) * w.dim(0) * w.dim(1));
  ref::HeadLinear(x.data(), w.data(), x.dim(0), w.dim(0), w.dim(1), w.dim(2),
                  orderOf(x, w), y.data());
  return Tensor<T>::floats(x.element(), {x.dim(0), w.dim(0), w.dim(1)},
                           std::move(y));
}

template <typename T>
static Tensor<T> groupedMatmul(Call<T> &c, const Tensor<T> &x, const Plan &plan,
                               const Tensor<T> &w, Maybe<T> bias, bool gather) {
  int64_t rows = plan.rows(), n = w.dim(1), k = w.dim(2);
  if (!c.same("rows of x", x.dim(0), gather ? plan.tokens : rows) ||
      !c.same("columns of x", x.dim(1), k))
    return {};
  std::vector<int32_t> source(rows);
  ref::PlanTokens(plan, source.data());
  std::vector<T> y(rows * n);
  ref::GroupedMatmul(x.data(), gather ? source.data() : nullptr,
                     plan.offsets.data(), w.data(), dataOf(bias), plan.experts,
                     n, k, orderOf(x, w), y.data());
  return Tensor<T>::floats(x.element(), {rows, n}, std::move(y));
}

template <typename T>
Tensor<T> mlir::moe::rmsNorm(Check &c, const Tensor<T> &x, const Tensor<T> &w,
                             double eps) {
  int64_t d = w.size();
  if (!c.expect(x.rank() >= 1, "a vector or more") ||
      !c.same("columns of x", x.dim(x.rank() - 1), d))
    return {};
  std::vector<T> y(x.size());
  ref::RmsNorm(x.data(), w.data(), d ? x.size() / d : 0, d, static_cast<T>(eps),
               roundingOf<T>(x.element()), y.data());
  return Tensor<T>::floats(x.element(), x.shape(), std::move(y));
}

template <typename T>
static Tensor<T> layerNorm(Call<T> &c, const Tensor<T> &x, const Tensor<T> &w,
                           Maybe<T> bias, double eps) {
  int64_t d = w.size();
  if (!c.same("columns of x", x.dim(x.rank() - 1), d) ||
      (bias && !c.same("elements of the bias", bias->size(), d)))
    return {};
  std::vector<T> y(x.size());
  int64_t rows = d ? x.size() / d : 0;
  if (roundingOf<T>(x.element()) == ref::Rounding::kNone) {
    ref::LayerNorm(x.data(), w.data(), dataOf(bias), rows, d,
                   static_cast<T>(eps), y.data());
    return Tensor<T>::floats(x.element(), x.shape(), std::move(y));
  }
  ref::LayerNorm<T>(x.data(), nullptr, nullptr, rows, d, static_cast<T>(eps),
                    y.data());
  ref::RoundAll(y.data(), x.size(), ref::Rounding::kBf16);
  for (int64_t i = 0; i < x.size(); ++i) {
    y[i] = y[i] * w.values()[i % d];
    if (bias)
      y[i] = y[i] + bias->values()[i % d];
  }
  return Tensor<T>::floats(x.element(), x.shape(), std::move(y));
}

template <typename T>
static Tensor<T> activate(const Tensor<T> &x, nn::Activation act) {
  std::vector<T> y(x.size());
  ref::Activate(referenceOf(act), x.data(), x.size(), y.data());
  return Tensor<T>::floats(x.element(), x.shape(), std::move(y));
}

template <typename T>
Tensor<T> mlir::moe::glu(Check &c, const Tensor<T> &x, nn::Activation act,
                         const ref::GluLimits &limits) {
  if (!c.expect(x.rank() == 2 && x.dim(1) % 2 == 0, "x [R, 2I]"))
    return {};
  int64_t rows = x.dim(0), width = x.dim(1) / 2;
  std::vector<T> y(rows * width);
  if (roundingOf<T>(x.element()) == ref::Rounding::kNone) {
    ref::Glu(x.data(), referenceOf(act), limits, rows, width, y.data());
  } else {
    Tensor<T> gate = slice(c, x, 0, width), up = slice(c, x, width, width);
    std::vector<T> cut(gate.values());
    for (T &value : cut)
      value = limits.Gate(value);
    gate = activate(
        Tensor<T>::floats(x.element(), {rows, width}, std::move(cut)), act);
    for (int64_t i = 0; i < rows * width; ++i)
      y[i] = gate.values()[i] * limits.Other(up.values()[i]);
  }
  return Tensor<T>::floats(x.element(), {rows, width}, std::move(y));
}

template <typename T>
Tensor<T> mlir::moe::add(Check &c, const Tensor<T> &x, const Tensor<T> &y) {
  if (!c.expect(x.shape() == y.shape() && x.element() == y.element(),
                "terms of one type, got " + x.describe() + " and " +
                    y.describe()))
    return {};
  std::vector<T> sum(x.values());
  for (int64_t i = 0; i < x.size(); ++i)
    sum[i] += y.values()[i];
  return Tensor<T>::floats(x.element(), x.shape(), std::move(sum));
}

template <typename T>
void mlir::moe::addLinearHandlers(HandlerTable<T> &table) {
  table.template add<nn::LinearOp>([](Call<T> &c, nn::LinearOp op) {
    return linear(c, c[op.getX()], c[op.getW()], c.maybe(op.getBias()));
  });
  table.template add<nn::HeadLinearOp>([](Call<T> &c, nn::HeadLinearOp op) {
    return headLinear(c, c[op.getX()], c[op.getW()]);
  });
  table.template add<GroupedMatmulOp>([](Call<T> &c, GroupedMatmulOp op) {
    return groupedMatmul(c, c[op.getX()], c.plan(op.getPlan()), c[op.getW()],
                         c.maybe(op.getBias()), op.getGather());
  });
  table.template add<nn::RmsNormOp>([](Call<T> &c, nn::RmsNormOp op) {
    return rmsNorm(c, c[op.getX()], c[op.getW()],
                   op.getEps().convertToDouble());
  });
  table.template add<nn::LayerNormOp>([](Call<T> &c, nn::LayerNormOp op) {
    return layerNorm(c, c[op.getX()], c[op.getW()], c.maybe(op.getBias()),
                     op.getEps().convertToDouble());
  });
  table.template add<nn::ActivateOp>([](Call<T> &c, nn::ActivateOp op) {
    return activate(c[op.getX()], op.getAct());
  });
  table.template add<nn::GluOp>([](Call<T> &c, nn::GluOp op) {
    return glu(
        c, c[op.getX()], op.getAct(),
        {op.getLimit().convertToDouble(), op.getShift().convertToDouble()});
  });
}

#define MOE_INSTANTIATE(T)                                                     \
  template Tensor<T> mlir::moe::linear(Check &, const Tensor<T> &,             \
                                       const Tensor<T> &, Maybe<T>);           \
  template Tensor<T> mlir::moe::headLinear(Check &, const Tensor<T> &,         \
                                           const Tensor<T> &);                 \
  template Tensor<T> mlir::moe::rmsNorm(Check &, const Tensor<T> &,            \
                                        const Tensor<T> &, double);            \
  template Tensor<T> mlir::moe::glu(Check &, const Tensor<T> &,                \
                                    nn::Activation, const ref::GluLimits &);   \
  template Tensor<T> mlir::moe::add(Check &, const Tensor<T> &,                \
                                    const Tensor<T> &);                        \
  template void mlir::moe::addLinearHandlers(HandlerTable<T> &);
MOE_INSTANTIATE(float)
MOE_INSTANTIATE(double)
#undef MOE_INSTANTIATE
