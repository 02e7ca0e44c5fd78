// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result types and constraints of the operations of gradients.
#include "dialect/moe/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;

#define GET_OP_CLASSES
#include "dialect/moe/MoeGradOps.cpp.inc"

using Types = SmallVectorImpl<Type>;
using Loc = std::optional<Location>;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}
static constexpr int64_t kDynamic = ShapedType::kDynamic;

static PlanType planOf(Value plan) { return cast<PlanType>(plan.getType()); }

static RankedTensorType weightGrad(ArrayRef<int64_t> shape,
                                   RankedTensorType from) {
  return cast<RankedTensorType>(
      nn::accumulatorType(RankedTensorType::get(shape, from.getElementType())));
}

static LogicalResult checkWeights(Loc loc, StringRef name, Value plan,
                                  RankedTensorType w) {
  if (w.getRank() == 2 && w.getDimSize(1) == planOf(plan).getK())
    return success();
  return emitOptionalError(
      loc, "moe.", name, " expects weights [T, K] with the K of the plan, got ",
      w);
}

LogicalResult DispatchGradOp::verify() {
  auto drows = shaped(getDrows()), dx = shaped(getDx());
  // dispatch_grad C1
  if (drows.getRank() != 2 || dx.getRank() != 2 ||
      dx.getDimSize(1) != drows.getDimSize(1) ||
      dx.getElementType() != drows.getElementType())
    return emitOpError("expects drows [R, D] and a result [T, D], got ")
           << drows << " and " << dx;
  return success();
}

LogicalResult CombineGradOp::inferReturnTypes(MLIRContext *, Loc loc,
                                              CombineGradOp::Adaptor a,
                                              Types &types) {
  auto rows = shaped(a.getRows()), w = shaped(a.getW()), dy = shaped(a.getDy());
  // combine_grad C1
  if (rows.getRank() != 2 || dy.getRank() != 2 ||
      rows.getDimSize(1) != dy.getDimSize(1) ||
      rows.getElementType() != dy.getElementType())
    return emitOptionalError(
        loc, "moe.combine_grad expects rows [R, D] and dy [T, D], got ", rows,
        " and ", dy);
  // combine_grad C2
  if (failed(checkWeights(loc, "combine_grad", a.getPlan(), w)))
    return failure();
  types.append({rows, w});
  return success();
}

LogicalResult WeighOp::inferReturnTypes(MLIRContext *, Loc loc,
                                        WeighOp::Adaptor a, Types &types) {
  auto rows = shaped(a.getRows());
  // weigh C1
  if (rows.getRank() != 2)
    return emitOptionalError(loc, "moe.weigh expects rows [R, N], got ", rows);
  // weigh C2
  if (failed(checkWeights(loc, "weigh", a.getPlan(), shaped(a.getW()))))
    return failure();
  types.push_back(rows);
  return success();
}

LogicalResult WeighGradOp::inferReturnTypes(MLIRContext *, Loc loc,
                                            WeighGradOp::Adaptor a,
                                            Types &types) {
  auto rows = shaped(a.getRows()), w = shaped(a.getW());
  // weigh_grad C1
  if (rows.getRank() != 2 || a.getDy().getType() != rows)
    return emitOptionalError(loc,
                             "moe.weigh_grad expects rows and dy [R, N], got ",
                             rows, " and ", a.getDy().getType());
  // weigh_grad C2
  if (failed(checkWeights(loc, "weigh_grad", a.getPlan(), w)))
    return failure();
  types.append({rows, w});
  return success();
}

LogicalResult GroupedMatmulDxOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                  GroupedMatmulDxOp::Adaptor a,
                                                  Types &types) {
  auto dy = shaped(a.getDy()), w = shaped(a.getW());
  int64_t experts = planOf(a.getPlan()).getExperts();
  // grouped_matmul_dx C1
  if (dy.getRank() != 2 || w.getRank() != 3 ||
      dy.getDimSize(1) != w.getDimSize(1) || w.getDimSize(0) != experts)
    return emitOptionalError(loc,
                             "moe.grouped_matmul_dx expects dy [R, N] and w [",
                             experts, ", N, K], got ", dy, " and ", w);
  types.push_back(
      RankedTensorType::get({kDynamic, w.getDimSize(2)}, dy.getElementType()));
  return success();
}

LogicalResult GroupedMatmulDwOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                  GroupedMatmulDwOp::Adaptor a,
                                                  Types &types) {
  auto dy = shaped(a.getDy()), x = shaped(a.getX());
  // grouped_matmul_dw C1
  if (dy.getRank() != 2 || x.getRank() != 2)
    return emitOptionalError(
        loc, "moe.grouped_matmul_dw expects dy [R, N] and x [R, K], got ", dy,
        " and ", x);
  types.push_back(weightGrad(
      {planOf(a.getPlan()).getExperts(), dy.getDimSize(1), x.getDimSize(1)},
      dy));
  return success();
}

LogicalResult GroupedSumOp::inferReturnTypes(MLIRContext *, Loc loc,
                                             GroupedSumOp::Adaptor a,
                                             Types &types) {
  auto rows = shaped(a.getRows());
  // grouped_sum C1
  if (rows.getRank() != 2)
    return emitOptionalError(loc, "moe.grouped_sum expects rows [R, N], got ",
                             rows);
  types.push_back(
      weightGrad({planOf(a.getPlan()).getExperts(), rows.getDimSize(1)}, rows));
  return success();
}

LogicalResult GroupMaskGradOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                GroupMaskGradOp::Adaptor a,
                                                Types &types) {
  auto s = shaped(a.getS());
  int64_t groups = a.getGroups(), keep = a.getKeep();
  // The parser infers types before defaults are filled in.
  int64_t top = a.getTopAttr() ? a.getTopAttr().getInt() : 1;
  // group_mask_grad C1
  if (s.getRank() != 2 || groups < 1 || s.isDynamicDim(1) ||
      s.getDimSize(1) % groups || a.getDy().getType() != s)
    return emitOptionalError(loc,
                             "moe.group_mask_grad expects s and dy [T, E] with "
                             "groups dividing E, got ",
                             s, ", ", a.getDy().getType(), " and ", groups);
  // group_mask_grad C2
  if (keep < 1 || keep > groups)
    return emitOptionalError(
        loc, "moe.group_mask_grad expects 1 <= keep <= groups, got ", keep,
        " of ", groups);
  // group_mask_grad C3
  if (top < 1 || top > s.getDimSize(1) / groups)
    return emitOptionalError(loc, "moe.group_mask_grad expects 1 <= top <= ",
                             s.getDimSize(1) / groups, ", got ", top);
  types.push_back(s);
  return success();
}
