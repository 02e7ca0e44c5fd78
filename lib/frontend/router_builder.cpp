// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations of a router's body.
#include "lib/frontend/builder.h"

namespace mlir::moe::frontend {

Value constantLike(OpBuilder &builder, Location loc, Value like, double value) {
  auto type = cast<RankedTensorType>(like.getType());
  auto row = RankedTensorType::get({type.getDimSize(1)}, type.getElementType());
  Value constant = arith::ConstantOp::create(
      builder, loc,
      DenseElementsAttr::get(
          row, builder.getFloatAttr(type.getElementType(), value).getValue()));
  return nn::BroadcastOp::create(builder, loc, type, constant, like,
                                 uint64_t{0});
}

Value RouterBuilder::linear(Value x, Value w) {
  return nn::LinearOp::create(builder, loc, x, w, Value());
}

Value RouterBuilder::softmax(Value scores) {
  return nn::SoftmaxOp::create(builder, loc, scores, uint64_t{1});
}

Value RouterBuilder::sigmoid(Value scores) {
  return nn::ActivateOp::create(builder, loc, scores, nn::Activation::Sigmoid);
}

Value RouterBuilder::addBias(Value scores, Value bias) {
  auto type = cast<RankedTensorType>(bias.getType());
  if (!type.getElementType().isF32())
    bias = arith::ExtFOp::create(builder, loc, type.clone(builder.getF32Type()),
                                 bias);
  Value rows = nn::BroadcastOp::create(builder, loc, scores.getType(), bias,
                                       scores, uint64_t{0});
  return arith::AddFOp::create(builder, loc, scores, rows);
}

Value RouterBuilder::select(Value scores, int64_t k) {
  return SelectOp::create(builder, loc, scores, Value(),
                          static_cast<uint64_t>(k), FloatAttr());
}

Value RouterBuilder::pick(Value scores, Value idx) {
  return PickOp::create(builder, loc, scores, idx);
}

Value RouterBuilder::renormalize(Value weights, double eps, double least) {
  Value sum = nn::ReduceOp::create(builder, loc, weights, nn::ReduceKind::Sum,
                                   uint64_t{1});
  Value den = nn::BroadcastOp::create(builder, loc, weights.getType(), sum,
                                      Value(), uint64_t{1});
  if (eps != 0)
    den = arith::AddFOp::create(builder, loc, den, constant(weights, eps));
  if (least != 0)
    den =
        arith::MaximumFOp::create(builder, loc, den, constant(weights, least));
  return arith::DivFOp::create(builder, loc, weights, den);
}

std::pair<Value, Value> RouterBuilder::merge(Value idx, Value weights,
                                             int64_t experts,
                                             llvm::ArrayRef<int64_t> map) {
  if (map.empty())
    return {idx, weights};
  int64_t rows = map.size();
  Type f32 = builder.getF32Type();
  std::vector<float> member(experts * rows);
  for (auto [row, expert] : llvm::enumerate(map))
    member[expert * rows + row] = 1;
  auto square = RankedTensorType::get({experts, rows}, f32);
  Value members = arith::ConstantOp::create(
      builder, loc, DenseElementsAttr::get(square, llvm::ArrayRef(member)));
  Value all = ScatterPickOp::create(builder, loc, weights, idx,
                                    static_cast<uint64_t>(rows));
  Value sums = linear(all, members);
  int64_t k = cast<RankedTensorType>(idx.getType()).getDimSize(1);
  Value chosen =
      SelectOp::create(builder, loc, sums, Value(), static_cast<uint64_t>(k),
                       builder.getF64FloatAttr(0));
  return {chosen, pick(sums, chosen)};
}

Value RouterBuilder::constant(Value like, double value) {
  return constantLike(builder, loc, like, value);
}

Value RouterBuilder::scale(Value weights, double factor) {
  if (factor == 1)
    return weights;
  return arith::MulFOp::create(builder, loc, weights,
                               constant(weights, factor));
}

Value RouterBuilder::groupMask(Value scores, int64_t groups, int64_t keep,
                               GroupScore score, double fill, int64_t top) {
  return GroupMaskOp::create(builder, loc, scores,
                             static_cast<uint64_t>(groups),
                             static_cast<uint64_t>(keep), score,
                             static_cast<uint64_t>(top), llvm::APFloat(fill));
}

} // namespace mlir::moe::frontend
