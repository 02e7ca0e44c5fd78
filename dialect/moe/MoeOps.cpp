// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Result types and constraints of routing, plans and experts.
#include "dialect/moe/MoeDialect.h"

using namespace mlir;
using namespace mlir::moe;

#define GET_OP_CLASSES
#include "dialect/moe/MoeOps.cpp.inc"

using Types = SmallVectorImpl<Type>;
using Loc = std::optional<Location>;

static RankedTensorType shaped(Value value) {
  return cast<RankedTensorType>(value.getType());
}
static constexpr int64_t kDynamic = ShapedType::kDynamic;

LogicalResult GroupMaskOp::inferReturnTypes(MLIRContext *, Loc loc,
                                            GroupMaskOp::Adaptor a,
                                            Types &types) {
  auto s = shaped(a.getS());
  // The parser infers types before defaults are filled in.
  int64_t groups = a.getGroups(), keep = a.getKeep(),
          top = a.getTopAttr() ? a.getTopAttr().getInt() : 1;
  // group_mask C1
  if (s.getRank() != 2 || groups < 1 || s.isDynamicDim(1) ||
      s.getDimSize(1) % groups)
    return emitOptionalError(
        loc, "moe.group_mask expects s [T, E] with groups dividing E, got ", s,
        " and ", groups);
  // group_mask C2
  if (keep < 1 || keep > groups)
    return emitOptionalError(loc,
                             "moe.group_mask expects 1 <= keep <= groups, got ",
                             keep, " of ", groups);
  // group_mask C3
  if (top < 1 || top > s.getDimSize(1) / groups)
    return emitOptionalError(loc, "moe.group_mask expects 1 <= top <= ",
                             s.getDimSize(1) / groups, ", got ", top);
  types.push_back(s);
  return success();
}

LogicalResult SelectOp::inferReturnTypes(MLIRContext *context, Loc loc,
                                         SelectOp::Adaptor a, Types &types) {
  auto s = shaped(a.getS());
  int64_t k = a.getK();
  // select C1
  if (s.getRank() != 2 || k < 1 || (!s.isDynamicDim(1) && k > s.getDimSize(1)))
    return emitOptionalError(
        loc, "moe.select expects s [T, E] and 1 <= k <= E, got ", s,
        " and k = ", k);
  // select C2
  if (a.getBias() && (shaped(a.getBias()).getRank() != 1 ||
                      (!s.isDynamicDim(1) &&
                       shaped(a.getBias()).getDimSize(0) != s.getDimSize(1))))
    return emitOptionalError(loc, "moe.select expects a bias [E] with E = ",
                             s.getDimSize(1), ", got ", a.getBias().getType());
  types.push_back(RankedTensorType::get({s.getDimSize(0), k},
                                        IntegerType::get(context, 32)));
  return success();
}

LogicalResult PickOp::inferReturnTypes(MLIRContext *, Loc loc,
                                       PickOp::Adaptor a, Types &types) {
  auto s = shaped(a.getS()), idx = shaped(a.getIdx());
  // pick C1
  if (s.getRank() != 2 || idx.getRank() != 2)
    return emitOptionalError(
        loc, "moe.pick expects s [T, E] and idx [T, K], got ", s, " and ", idx);
  types.push_back(RankedTensorType::get(idx.getShape(), s.getElementType()));
  return success();
}

LogicalResult ScatterPickOp::inferReturnTypes(MLIRContext *, Loc loc,
                                              ScatterPickOp::Adaptor a,
                                              Types &types) {
  auto g = shaped(a.getG()), idx = shaped(a.getIdx());
  // scatter_pick C1
  if (g.getRank() != 2 || idx.getRank() != 2 ||
      g.getDimSize(1) != idx.getDimSize(1) || int64_t(a.getExperts()) < 1)
    return emitOptionalError(
        loc, "moe.scatter_pick expects g and idx [T, K] and experts >= 1, got ",
        g, " and ", idx);
  types.push_back(RankedTensorType::get(
      {g.getDimSize(0), int64_t(a.getExperts())}, g.getElementType()));
  return success();
}

LogicalResult MakePlanOp::inferReturnTypes(MLIRContext *context, Loc loc,
                                           MakePlanOp::Adaptor a,
                                           Types &types) {
  auto idx = shaped(a.getIdx());
  int64_t experts = a.getExperts();
  // make_plan C1
  if (idx.getRank() != 2 || idx.isDynamicDim(1))
    return emitOptionalError(
        loc, "moe.make_plan expects idx [T, K] with static K, got ", idx);
  // make_plan C2
  if (experts < 1)
    return emitOptionalError(loc, "moe.make_plan expects experts >= 1, got ",
                             experts);
  types.push_back(PlanType::get(context, experts, idx.getDimSize(1)));
  return success();
}

LogicalResult PlanIndicesOp::inferReturnTypes(MLIRContext *context, Loc,
                                              PlanIndicesOp::Adaptor a,
                                              Types &types) {
  types.push_back(RankedTensorType::get(
      {kDynamic, cast<PlanType>(a.getPlan().getType()).getK()},
      IntegerType::get(context, 32)));
  return success();
}

LogicalResult CountsOp::inferReturnTypes(MLIRContext *context, Loc,
                                         CountsOp::Adaptor a, Types &types) {
  types.push_back(RankedTensorType::get(
      {cast<PlanType>(a.getPlan().getType()).getExperts()},
      IntegerType::get(context, 32)));
  return success();
}

LogicalResult DispatchOp::inferReturnTypes(MLIRContext *, Loc loc,
                                           DispatchOp::Adaptor a,
                                           Types &types) {
  auto x = shaped(a.getX());
  // dispatch C1
  if (x.getRank() != (x.getElementType().isInteger() ? 1 : 2))
    return emitOptionalError(
        loc, "moe.dispatch expects x [T, D] or integers [T], got ", x);
  SmallVector<int64_t> shape(x.getShape());
  shape[0] = kDynamic;
  types.push_back(RankedTensorType::get(shape, x.getElementType()));
  return success();
}

LogicalResult UngroupOp::inferReturnTypes(MLIRContext *, Loc loc,
                                          UngroupOp::Adaptor a, Types &types) {
  auto rows = shaped(a.getRows());
  // ungroup C1
  if (rows.getRank() != 2)
    return emitOptionalError(loc, "moe.ungroup expects rows [R, D], got ",
                             rows);
  types.push_back(RankedTensorType::get(
      {kDynamic, cast<PlanType>(a.getPlan().getType()).getK(),
       rows.getDimSize(1)},
      rows.getElementType()));
  return success();
}

LogicalResult GroupOp::inferReturnTypes(MLIRContext *, Loc loc,
                                        GroupOp::Adaptor a, Types &types) {
  auto y = shaped(a.getY());
  // group C1
  if (y.getRank() != 3 ||
      y.getDimSize(1) != cast<PlanType>(a.getPlan().getType()).getK())
    return emitOptionalError(
        loc, "moe.group expects y [T, K, D] with the K of the plan, got ", y);
  types.push_back(
      RankedTensorType::get({kDynamic, y.getDimSize(2)}, y.getElementType()));
  return success();
}

LogicalResult PlanSeqsOp::inferReturnTypes(MLIRContext *, Loc loc,
                                           PlanSeqsOp::Adaptor a,
                                           Types &types) {
  auto plan = cast<PlanType>(a.getPlan().getType());
  // plan_seqs C1
  if (plan.getExperts() != 1)
    return emitOptionalError(
        loc, "moe.plan_seqs expects a plan of one expert, got ", plan);
  // plan_seqs C2
  if (failed(nn::checkBoundaries(loc, "moe.plan_seqs", a.getCuSeqlens())))
    return failure();
  types.push_back(a.getCuSeqlens().getType());
  return success();
}

LogicalResult ExpertsOp::verify() {
  auto rows = shaped(getRows()), y = shaped(getY());
  // experts C1
  if (rows.getRank() != 2)
    return emitOpError("expects rows [R, D], got ") << rows;
  Block &block = getBody().front();
  // experts C3
  if (block.getNumArguments() != 1 + getParams().size() ||
      block.getArgument(0).getType() != rows)
    return emitOpError("expects a region of rows and ")
           << getParams().size() << " slices";
  for (auto [param, slice] :
       llvm::zip(getParams(), block.getArguments().drop_front())) {
    auto type = shaped(param);
    // experts C2
    if (type.getRank() < 2 ||
        type.getDimSize(0) != getPlan().getType().getExperts())
      return emitOpError("expects parameters that start with ")
             << getPlan().getType().getExperts() << " experts, got " << type;
    // experts C3
    if (slice.getType() != RankedTensorType::get(type.getShape().drop_front(),
                                                 type.getElementType()))
      return emitOpError("expects slices of the parameters, got ")
             << slice.getType() << " of " << type;
  }
  // experts C4
  auto yielded = block.getTerminator()->getOperands();
  if (yielded.size() != 1 || yielded[0].getType() != y || y.getRank() != 2)
    return emitOpError("expects the region to yield one value of type ") << y;
  // experts C5
  for (Operation &op : block.without_terminator())
    if (!op.hasTrait<nn::RowWise>() &&
        !OpTrait::hasElementwiseMappableTraits(&op) &&
        !isa<nn::BroadcastOp, arith::ConstantOp>(op))
      return op.emitOpError(
          "is not row-wise and cannot stand in the body of experts");
  return success();
}

LogicalResult CombineOp::inferReturnTypes(MLIRContext *, Loc loc,
                                          CombineOp::Adaptor a, Types &types) {
  auto rows = shaped(a.getRows()), w = shaped(a.getW());
  // combine C1
  if (rows.getRank() != 2)
    return emitOptionalError(loc, "moe.combine expects rows [R, D], got ",
                             rows);
  // combine C2
  if (w.getRank() != 2 ||
      w.getDimSize(1) != cast<PlanType>(a.getPlan().getType()).getK())
    return emitOptionalError(
        loc, "moe.combine expects weights [T, K] with the K of the plan, got ",
        w);
  types.push_back(RankedTensorType::get({w.getDimSize(0), rows.getDimSize(1)},
                                        rows.getElementType()));
  return success();
}

LogicalResult GroupedMatmulOp::inferReturnTypes(MLIRContext *, Loc loc,
                                                GroupedMatmulOp::Adaptor a,
                                                Types &types) {
  auto x = shaped(a.getX()), w = shaped(a.getW());
  int64_t experts = cast<PlanType>(a.getPlan().getType()).getExperts();
  // grouped_matmul C1
  if (x.getRank() != 2 || w.getRank() != 3 ||
      x.getDimSize(1) != w.getDimSize(2) || w.getDimSize(0) != experts)
    return emitOptionalError(loc, "moe.grouped_matmul expects x [R, K] and w [",
                             experts, ", N, K], got ", x, " and ", w);
  // grouped_matmul C2
  if (a.getBias() && shaped(a.getBias()).getShape() != w.getShape().drop_back())
    return emitOptionalError(loc,
                             "moe.grouped_matmul expects a bias [E, N], got ",
                             a.getBias().getType());
  types.push_back(
      RankedTensorType::get({kDynamic, w.getDimSize(1)}, x.getElementType()));
  return success();
}

LogicalResult GroupedBroadcastOp::inferReturnTypes(
    MLIRContext *, Loc loc, GroupedBroadcastOp::Adaptor a, Types &types) {
  auto v = shaped(a.getV());
  // grouped_broadcast C1
  if (v.getRank() != 2 ||
      v.getDimSize(0) != cast<PlanType>(a.getPlan().getType()).getExperts())
    return emitOptionalError(loc,
                             "moe.grouped_broadcast expects v [E, N], got ", v);
  types.push_back(
      RankedTensorType::get({kDynamic, v.getDimSize(1)}, v.getElementType()));
  return success();
}
