// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Whole routers as one operation.
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

/// The region, then a plan of its indices.
template <typename T>
static Results<T> routePermute(Call<T> &c, RoutePermuteOp op) {
  Results<T> args;
  for (Value operand : op->getOperands())
    args.push_back(c.scope[operand]);
  Results<T> yielded = c.region(op.getBody(), args, /*isolated=*/true);
  if (c.failed() || !c.same("yielded values", yielded.size(), 2))
    return {};
  const Tensor<T> &idx = yielded[0].tensor(), &weights = yielded[1].tensor();
  if (!c.expect(idx.rank() == 2 && idx.shape() == weights.shape(),
                "indices and weights [T, K], got " + idx.describe() + " and " +
                    weights.describe()))
    return {};
  return {
      Datum<T>(ref::MakePlan(idx.int32s().data(), idx.dim(0),
                             op.getPlan().getType().getExperts(), idx.dim(1))),
      Datum<T>(weights)};
}

template <typename T>
void mlir::moe::addFusedRoutingHandlers(HandlerTable<T> &table) {
  table.template add<RoutePermuteOp>(routePermute<T>);
}

template void mlir::moe::addFusedRoutingHandlers(HandlerTable<float> &);
template void mlir::moe::addFusedRoutingHandlers(HandlerTable<double> &);
