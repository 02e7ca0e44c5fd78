// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// How many rows the tensors of an entry have.
#include "passes/lower/cpu/BufferPlan.h"

#include <cmath>

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::cpu;

/// Every rank may send a row for each choice of a token that can fall on the
/// experts here.
RowsInfo BufferPlan::arrivedRows(AllToAllVOp op) {
  PlanType plan = op.getPlan().getType(), local = op.getLocal().getType();
  int64_t choices = std::min(plan.getK(), local.getExperts());
  return {RowsInfo::Arrived,
          {0, 0, 0, int64_t(op.getRanks()) * choices},
          op.getFrom()};
}

FailureOr<RowsInfo> BufferPlan::inferRows(Value result, Operation &op) {
  auto type = cast<RankedTensorType>(result.getType());
  if (!type.getRank() || !type.isDynamicDim(0))
    return RowsInfo{
        RowsInfo::Static, {0, 0, type.getRank() ? type.getDimSize(0) : 1}, {}};
  if (isa<nn::LastRowsOp, nn::SegmentReduceOp, nn::SegmentLinearDwOp, MixOp>(
          op))
    return RowsInfo{RowsInfo::Sequences, {0, 1, 0}, {}};
  if (isa<PlanSeqsOp>(op))
    return RowsInfo{RowsInfo::SequencesPlusOne, {0, 1, 1}, {}};
  auto planRows = [&](Value plan) {
    return RowsInfo{RowsInfo::PlanRows, rowsOfPlan[plan], plan};
  };
  if (auto exchange = dyn_cast<AllToAllVOp>(op))
    return arrivedRows(exchange);
  if (auto back = dyn_cast<AllToAllVBackOp>(op))
    return planRows(back.getPlan());
  if (auto dispatch = dyn_cast<DispatchOp>(op))
    return planRows(dispatch.getPlan());
  if (auto group = dyn_cast<GroupOp>(op))
    return planRows(group.getPlan());
  if (auto ungroup = dyn_cast<UngroupOp>(op))
    return planTokens(ungroup.getPlan());
  if (auto broadcast = dyn_cast<nn::SegmentBroadcastOp>(op))
    return rows(broadcast.getLike());
  if (auto product = dyn_cast<GroupedMatmulOp>(op))
    return planRows(product.getPlan());
  if (auto broadcast = dyn_cast<GroupedBroadcastOp>(op))
    return planRows(broadcast.getPlan());
  if (auto grad = dyn_cast<DispatchGradOp>(op))
    return planTokens(grad.getPlan());
  if (auto grad = dyn_cast<CombineGradOp>(op))
    return result == grad.getDw() ? rows(grad.getW())
                                  : planRows(grad.getPlan());
  if (auto weigh = dyn_cast<WeighOp>(op))
    return planRows(weigh.getPlan());
  if (auto grad = dyn_cast<WeighGradOp>(op))
    return result == grad.getDw() ? rows(grad.getW())
                                  : planRows(grad.getPlan());
  if (auto grad = dyn_cast<GroupedMatmulDxOp>(op))
    return planRows(grad.getPlan());
  if (auto grad = dyn_cast<nn::LastRowsGradOp>(op))
    return rows(grad.getLike());
  if (auto grad = dyn_cast<nn::EmbeddingGradOp>(op))
    return rows(grad.getLike());
  if (auto indices = dyn_cast<PlanIndicesOp>(op))
    return planTokens(indices.getPlan());
  if (auto combine = dyn_cast<CombineOp>(op))
    return rows(combine.getW());
  if (auto broadcast = dyn_cast<nn::BroadcastOp>(op);
      broadcast && broadcast.getLike())
    return rows(broadcast.getLike());
  for (Value operand : op.getOperands())
    if (auto from = dyn_cast<RankedTensorType>(operand.getType());
        from && from.getRank() && from.isDynamicDim(0) && rowsOf.count(operand))
      return rows(operand);
  return op.emitOpError("has a result whose number of rows is not known: ")
         << type;
}

/// Rows a plan may have: a row for each choice, or what experts take at most
/// where they choose.
Extent BufferPlan::mostRows(Value result, MakePlanOp make) {
  auto plan = cast<PlanType>(result.getType());
  Extent all = planTokens(result).bound.times(plan.getK());
  auto select =
      make ? make.getIdx().getDefiningOp<SelectTokensOp>() : SelectTokensOp();
  if (!select || planTokens(result).kind != RowsInfo::Tokens)
    return all;
  CapacityAttr limit = select.getLimit();
  int64_t perToken = int64_t(
      std::ceil(limit.getTimesValue() * limit.getFactor().getValueAsDouble()));
  // Rounded up, for each expert of each segment.
  int64_t more = plan.getExperts() *
                 (int64_t(std::ceil(limit.getTimesValue())) + limit.getMin() +
                  limit.getMultiple() + limit.getExtra());
  if (perToken >= plan.getK())
    return all;
  return select.getCuSeqlens() ? Extent{perToken, more, 0}
                               : Extent{perToken, 0, more};
}

/// Types do not tell tokens from sequences, but loops over one would read
/// beyond the other.
LogicalResult BufferPlan::checkRows(Operation &op) {
  auto same = [&](ValueRange values) {
    const RowsInfo *first = nullptr;
    return llvm::all_of(values, [&](Value value) {
      if (!value)
        return true;
      auto found = rowsOf.find(value);
      auto type = dyn_cast<RankedTensorType>(value.getType());
      if (!type || !type.getRank() || !type.isDynamicDim(0) ||
          found == rowsOf.end() || found->second.kind == RowsInfo::Unknown)
        return true;
      if (!first)
        first = &found->second;
      return first->kind == found->second.kind &&
             first->plan == found->second.plan;
    });
  };
  auto boundaries = [&](Value seqs) {
    auto arg = dyn_cast<BlockArgument>(seqs);
    bool unnamed =
        arg && arg.getOwner()->getParentOp() == entry &&
        !entry.getArgAttrOfType<StringAttr>(arg.getArgNumber(), "nn.name");
    return unnamed || rows(seqs).kind == RowsInfo::SequencesPlusOne;
  };
  auto isSequences = [&](Value value) {
    return rows(value).kind == RowsInfo::Sequences;
  };
  bool good = true;
  if (auto attend = dyn_cast<nn::AttendOp>(op)) {
    SmallVector<Value> tokens{attend.getQ(), attend.getK(),
                              attend.getPositions()};
    if (attend.getV())
      tokens.push_back(attend.getV());
    good = same(tokens) && boundaries(attend.getCuSeqlens());
  } else if (auto grad = dyn_cast<nn::AttendGradOp>(op)) {
    good = same({grad.getQ(), grad.getK(), grad.getV(), grad.getDy()}) &&
           boundaries(grad.getCuSeqlens());
  } else if (auto capacity = dyn_cast<CapacityOp>(op)) {
    Value seqs = capacity.getCuSeqlens();
    good = same({capacity.getIdx(), capacity.getPriority()}) &&
           (!seqs || boundaries(seqs));
  } else if (auto select = dyn_cast<SelectTokensOp>(op)) {
    good = !select.getCuSeqlens() || boundaries(select.getCuSeqlens());
  } else if (auto mix = dyn_cast<MixOp>(op)) {
    good = same({mix.getA(), mix.getX()}) && boundaries(mix.getCuSeqlens());
  } else if (auto unmix = dyn_cast<UnmixOp>(op)) {
    good = isSequences(unmix.getS()) && boundaries(unmix.getCuSeqlens());
  } else if (auto dot = dyn_cast<MixDotOp>(op)) {
    good = isSequences(dot.getS()) && boundaries(dot.getCuSeqlens());
  } else if (auto broadcast = dyn_cast<nn::SegmentBroadcastOp>(op)) {
    good =
        isSequences(broadcast.getX()) && boundaries(broadcast.getCuSeqlens());
  } else if (auto linear = dyn_cast<nn::SegmentLinearOp>(op)) {
    good = isSequences(linear.getW()) && boundaries(linear.getCuSeqlens());
  } else if (auto grad = dyn_cast<nn::SegmentLinearDxOp>(op)) {
    good = isSequences(grad.getW()) && boundaries(grad.getCuSeqlens());
  } else if (auto grad = dyn_cast<nn::SegmentLinearDwOp>(op)) {
    good = same({grad.getDy(), grad.getX()}) && boundaries(grad.getCuSeqlens());
  } else if (auto grad = dyn_cast<MergeParamsGradOp>(op)) {
    good = same({grad.getW(), grad.getDy()});
  } else if (auto reduce = dyn_cast<nn::SegmentReduceOp>(op)) {
    good = boundaries(reduce.getCuSeqlens());
  } else if (auto softmax = dyn_cast<nn::SegmentSoftmaxOp>(op)) {
    good = boundaries(softmax.getCuSeqlens());
  } else if (auto last = dyn_cast<nn::LastRowsOp>(op)) {
    good = boundaries(last.getCuSeqlens());
  } else if (isa<nn::RopeOp, nn::ConcatOp, PickOp, MaskChoicesOp>(op) ||
             OpTrait::hasElementwiseMappableTraits(&op)) {
    good = same(op.getOperands());
  }
  if (good)
    return success();
  return op.emitOpError("expects operands that count the same: tokens, "
                        "sequences or rows of one plan");
}
