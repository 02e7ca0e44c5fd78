// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result types and constraints of exchanges between ranks.
#include "dialect/moe/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;

#define GET_OP_CLASSES
#include "dialect/moe/MoeExchangeOps.cpp.inc"

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}
static bool isRows(RankedTensorType type) {
  return type.getRank() == 2 && !type.isDynamicDim(1);
}

LogicalResult AllToAllVOp::inferReturnTypes(MLIRContext *context,
                                            std::optional<Location> loc,
                                            AllToAllVOp::Adaptor a,
                                            SmallVectorImpl<Type> &types) {
  RankedTensorType rows = shaped(a.getRows());
  auto plan = cast<PlanType>(a.getPlan().getType());
  int64_t ranks = a.getRanks();
  // all_to_all_v C1
  if (!isRows(rows))
    return emitOptionalError(loc, "moe.all_to_all_v expects rows [R, D], got ",
                             rows);
  // all_to_all_v C2
  if (ranks < 1 || plan.getExperts() % ranks)
    return emitOptionalError(
        loc, "moe.all_to_all_v expects ranks that divide the experts, got ",
        ranks, " ranks and ", plan.getExperts(), " experts");
  types.push_back(RankedTensorType::get(
      {ShapedType::kDynamic, rows.getDimSize(1)}, rows.getElementType()));
  types.push_back(PlanType::get(context, plan.getExperts() / ranks, 1));
  types.push_back(
      RankedTensorType::get({ranks + 1}, IntegerType::get(context, 32)));
  return success();
}

LogicalResult AllToAllVBackOp::inferReturnTypes(MLIRContext *,
                                                std::optional<Location> loc,
                                                AllToAllVBackOp::Adaptor a,
                                                SmallVectorImpl<Type> &types) {
  RankedTensorType y = shaped(a.getY()), from = shaped(a.getFrom());
  auto plan = cast<PlanType>(a.getPlan().getType());
  // all_to_all_v_back C1
  if (!isRows(y))
    return emitOptionalError(loc,
                             "moe.all_to_all_v_back expects y [R, N], got ", y);
  // all_to_all_v_back C2
  if (from.getRank() != 1 || from.isDynamicDim(0) || from.getDimSize(0) < 2 ||
      plan.getExperts() % (from.getDimSize(0) - 1))
    return emitOptionalError(
        loc, "moe.all_to_all_v_back expects from [P + 1] with P dividing ",
        plan.getExperts(), " experts, got ", from);
  // all_to_all_v_back C3
  auto local = cast<PlanType>(a.getLocal().getType());
  auto expected = PlanType::get(
      plan.getContext(), plan.getExperts() / (from.getDimSize(0) - 1), /*k=*/1);
  if (local != expected)
    return emitOptionalError(loc,
                             "moe.all_to_all_v_back expects the local plan ",
                             expected, ", got ", local);
  types.push_back(RankedTensorType::get({ShapedType::kDynamic, y.getDimSize(1)},
                                        y.getElementType()));
  return success();
}
