// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Losses of routers, by their formulas and independent of the pass that expands
// them.
#include "lib/reference/losses.h"
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

template <typename T>
static Tensor<T> scaled(Call<T> &c, const llvm::APFloat &coef, T loss) {
  return Tensor<T>::floats(c.resultElement(), {},
                           {static_cast<T>(coef.convertToDouble() * loss)});
}

template <typename T>
static Tensor<T> balanceLoss(Call<T> &c, BalanceLossOp op) {
  using Kind = ref::BalanceLossShape::Kind;
  const Tensor<T> &p = c[op.getP()], &idx = c[op.getIdx()];
  Maybe<T> seqs = c.maybe(op.getCuSeqlens());
  if (!c.same("rows of idx", idx.dim(0), p.dim(0)) ||
      (seqs && !c.sequences(*seqs, p.dim(0))))
    return {};
  ref::BalanceLossShape shape;
  shape.kind = op.getKind() == BalanceKind::Expert   ? Kind::kExpert
               : op.getKind() == BalanceKind::Device ? Kind::kDevice
                                                     : Kind::kCommunication;
  shape.tokens = p.dim(0);
  shape.experts = p.dim(1);
  shape.k = idx.dim(1);
  shape.devices = op.getDevices();
  shape.limit = op.getLimit();
  shape.per_choice = op.getPerChoice();
  std::vector<int32_t> starts;
  if (seqs)
    starts = seqs->int32s();
  return scaled(c, op.getCoef(),
                ref::BalanceLoss(shape, p.data(), idx.int32s().data(),
                                 seqs ? starts.data() : nullptr,
                                 static_cast<int64_t>(starts.size()) - 1));
}

template <typename T> void mlir::moe::addLossHandlers(HandlerTable<T> &table) {
  table.template add<BalanceLossOp>(balanceLoss<T>);
  table.template add<ZLossOp>([](Call<T> &c, ZLossOp op) {
    const Tensor<T> &z = c[op.getZ()];
    return scaled(c, op.getCoef(), ref::ZLoss(z.data(), z.dim(0), z.dim(1)));
  });
  table.template add<VariationLossOp>([](Call<T> &c, VariationLossOp op) {
    const Tensor<T> &x = c[op.getX()];
    return scaled(c, op.getCoef(),
                  ref::VariationLoss(x.data(), x.dim(0), x.dim(1),
                                     op.getEps().convertToDouble(),
                                     op.getUnbiased()));
  });
}

template void mlir::moe::addLossHandlers(HandlerTable<float> &);
template void mlir::moe::addLossHandlers(HandlerTable<double> &);
