// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Choices beyond the k best of a token: capacity, choice by experts, balance,
// random numbers.
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"
#include "lib/reference/balance.h"
#include "lib/reference/capacity.h"
#include "lib/reference/random.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

template <typename T>
static Tensor<T> int32Tensor(llvm::ArrayRef<int64_t> shape,
                             const std::vector<int32_t> &values) {
  return Tensor<T>::ints(Element::I32, shape, {values.begin(), values.end()});
}

static ref::CapacityLimit limitOf(CapacityAttr limit) {
  ref::CapacityLimit made;
  made.factor = limit.getFactor().getValueAsDouble();
  made.times = limit.getTimesValue();
  made.min = limit.getMin();
  made.multiple = limit.getMultiple();
  made.extra = limit.getExtra();
  switch (limit.getRound()) {
  case CapacityRounding::Floor:
    made.round = ref::CapacityLimit::Round::kFloor;
    break;
  case CapacityRounding::Ceil:
    made.round = ref::CapacityLimit::Round::kCeil;
    break;
  case CapacityRounding::Nearest:
    made.round = ref::CapacityLimit::Round::kNearest;
    break;
  }
  return made;
}

/// Where sequences begin and end: those of |seqs|, or one of all tokens.
template <typename T>
static std::vector<int32_t> boundaries(Call<T> &c, Maybe<T> seqs,
                                       int64_t tokens) {
  if (!seqs)
    return {0, static_cast<int32_t>(tokens)};
  if (!c.sequences(*seqs, tokens))
    return {};
  return seqs->int32s();
}

template <typename T> static Tensor<T> capacity(Call<T> &c, CapacityOp op) {
  const Tensor<T> &idx = c[op.getIdx()];
  Maybe<T> priority = c.maybe(op.getPriority());
  std::vector<int32_t> seqs =
      boundaries(c, c.maybe(op.getCuSeqlens()), idx.dim(0));
  if (c.failed() ||
      !c.expect(!priority || priority->shape() == idx.shape(),
                "a priority for each choice of " + idx.describe()))
    return {};
  std::vector<int32_t> kept(idx.size());
  ref::Capacity(idx.int32s().data(), priority ? priority->data() : nullptr,
                seqs.data(), seqs.size() - 1, idx.dim(0), op.getExperts(),
                idx.dim(1), limitOf(op.getLimit()), op.getChoiceMajor(),
                kept.data());
  return int32Tensor<T>(idx.shape(), kept);
}

template <typename T>
static Tensor<T> nextChoice(const Tensor<T> &idx, NextChoiceOp op) {
  std::vector<int32_t> placed(idx.dim(0));
  ref::NextChoice(idx.int32s().data(), idx.dim(0), op.getExperts(), idx.dim(1),
                  limitOf(op.getLimit()), placed.data());
  return int32Tensor<T>({idx.dim(0), 1}, placed);
}

template <typename T>
static Tensor<T> selectTokens(Call<T> &c, SelectTokensOp op) {
  const Tensor<T> &s = c[op.getS()];
  std::vector<int32_t> seqs =
      boundaries(c, c.maybe(op.getCuSeqlens()), s.dim(0));
  if (c.failed())
    return {};
  std::vector<int32_t> idx(s.size());
  ref::SelectTokens(s.data(), seqs.data(), seqs.size() - 1, s.dim(0), s.dim(1),
                    limitOf(op.getLimit()), idx.data());
  return int32Tensor<T>(s.shape(), idx);
}

template <typename T>
static Tensor<T> assign(Call<T> &c, const Tensor<T> &s, bool exact) {
  int64_t tokens = s.dim(0), experts = s.dim(1);
  if (!c.expect(tokens % experts == 0, "tokens that " + llvm::Twine(experts) +
                                           " experts divide, got " +
                                           llvm::Twine(tokens)))
    return {};
  std::vector<int32_t> idx(tokens);
  if (exact)
    ref::AssignExactly(s.data(), tokens, experts, idx.data());
  else
    ref::Assign(s.data(), tokens, experts, idx.data());
  return int32Tensor<T>({tokens, 1}, idx);
}

template <typename T>
static Tensor<T> sinkhorn(const Tensor<T> &z, SinkhornOp op) {
  std::vector<T> y(z.size());
  ref::Sinkhorn(z.data(), z.dim(0), z.dim(1),
                op.getTolerance().convertToDouble(), op.getMaxIterations(),
                y.data());
  return Tensor<T>::floats(z.element(), z.shape(), std::move(y));
}

template <typename T>
static Tensor<T> random(const Tensor<T> &key, const Tensor<T> &like,
                        RandomOp op) {
  int32_t words[6];
  llvm::copy(key.int32s(), words);
  auto distribution = *ref::ParseDistribution(
      std::string_view(stringifyDistribution(op.getDistribution())));
  std::vector<T> y(like.size());
  ref::RandomValues(ref::RandomKey::FromInts(words),
                    static_cast<uint32_t>(op.getStream()), distribution,
                    like.dim(0), like.rowSize(), y.data());
  return Tensor<T>::floats(like.element(), like.shape(), std::move(y));
}

template <typename T> static Tensor<T> layerKey(Call<T> &c, LayerKeyOp op) {
  const Tensor<T> &key = c[op.getKey()];
  std::vector<int64_t> own(key.integers());
  own[3] = c[op.getLayer()].integers()[0] + int64_t(op.getOffset());
  return Tensor<T>::ints(key.element(), key.shape(), std::move(own));
}

template <typename T>
void mlir::moe::addChoiceHandlers(HandlerTable<T> &table) {
  table.template add<CapacityOp>(capacity<T>);
  table.template add<NextChoiceOp>([](Call<T> &c, NextChoiceOp op) {
    return nextChoice(c[op.getIdx()], op);
  });
  table.template add<SelectTokensOp>(selectTokens<T>);
  table.template add<AssignOp>([](Call<T> &c, AssignOp op) {
    return assign(c, c[op.getS()], op.getExact());
  });
  table.template add<SinkhornOp>(
      [](Call<T> &c, SinkhornOp op) { return sinkhorn(c[op.getZ()], op); });
  table.template add<LayerKeyOp>(layerKey<T>);
  table.template add<RandomOp>([](Call<T> &c, RandomOp op) {
    return random(c[op.getKey()], c[op.getLike()], op);
  });
}

template void mlir::moe::addChoiceHandlers(HandlerTable<float> &);
template void mlir::moe::addChoiceHandlers(HandlerTable<double> &);
