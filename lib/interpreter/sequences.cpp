// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Values of whole sequences, and dense mixtures of their tokens.
#include "lib/reference/sequences.h"
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"
#include "lib/reference/mixture.h"
#include "lib/reference/movement.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

/// |shape| with |rows| rows.
static llvm::SmallVector<int64_t> withRows(llvm::ArrayRef<int64_t> shape,
                                           int64_t rows) {
  llvm::SmallVector<int64_t> made(shape);
  made[0] = rows;
  return made;
}

/// |seqs| are sequences of |tokens| tokens, as many as |rows|.
template <typename T>
static bool sequencesOf(Call<T> &c, const Tensor<T> &seqs, int64_t tokens,
                        int64_t rows) {
  return c.sequences(seqs, tokens) &&
         c.same("sequences", rows, seqs.dim(0) - 1);
}

template <typename T> static Tensor<T> fill(Call<T> &c, nn::FillOp op) {
  llvm::SmallVector<int64_t> shape(op.getY().getType().getShape());
  if (!shape.empty() && ShapedType::isDynamic(shape[0]))
    shape[0] = c[op.getLike()].dim(0);
  int64_t size = 1;
  for (int64_t dim : shape)
    size *= dim;
  if (isFloat(c.resultElement())) {
    std::vector<T> y(size);
    ref::Fill(static_cast<T>(op.getNumber()), size, y.data());
    return Tensor<T>::floats(c.resultElement(), shape, std::move(y));
  }
  return Tensor<T>::ints(
      c.resultElement(), shape,
      std::vector<int64_t>(size, cast<IntegerAttr>(op.getValue()).getInt()));
}

template <typename T>
static Tensor<T> segmentReduce(Call<T> &c, nn::SegmentReduceOp op) {
  const Tensor<T> &x = c[op.getX()], &seqs = c[op.getCuSeqlens()];
  if (!c.sequences(seqs, x.dim(0)))
    return {};
  int64_t sequences = seqs.dim(0) - 1;
  auto kind = *ref::ParseReduceKind(
      std::string_view(nn::stringifyReduceKind(op.getKind())));
  std::vector<T> y(sequences * x.rowSize());
  ref::SegmentReduce(kind, x.data(), seqs.int32s().data(), sequences,
                     x.rowSize(), y.data());
  return Tensor<T>::floats(x.element(), withRows(x.shape(), sequences),
                           std::move(y));
}

template <typename T>
static Tensor<T> segmentBroadcast(Call<T> &c, nn::SegmentBroadcastOp op) {
  const Tensor<T> &x = c[op.getX()], &seqs = c[op.getCuSeqlens()];
  int64_t tokens = c[op.getLike()].dim(0);
  if (!sequencesOf(c, seqs, tokens, x.dim(0)))
    return {};
  auto spread = [&](auto y, auto from) {
    ref::SegmentBroadcast(from.data(), seqs.int32s().data(), x.dim(0), tokens,
                          x.rowSize(), y.data());
    return y;
  };
  auto shape = withRows(x.shape(), tokens);
  if (x.isFloat())
    return Tensor<T>::floats(
        x.element(), shape,
        spread(std::vector<T>(tokens * x.rowSize()), x.values()));
  auto y = spread(std::vector<int32_t>(tokens * x.rowSize()), x.int32s());
  return Tensor<T>::ints(x.element(), shape, {y.begin(), y.end()});
}

template <typename T>
static Tensor<T> segmentSoftmax(Call<T> &c, nn::SegmentSoftmaxOp op) {
  const Tensor<T> &x = c[op.getX()], &seqs = c[op.getCuSeqlens()];
  if (!c.sequences(seqs, x.dim(0)))
    return {};
  std::vector<T> y(x.size());
  ref::SegmentSoftmax(x.data(), seqs.int32s().data(), seqs.dim(0) - 1, x.dim(0),
                      x.rowSize(), y.data());
  return Tensor<T>::floats(x.element(), x.shape(), std::move(y));
}

template <typename T>
static Tensor<T> segmentLinear(Call<T> &c, nn::SegmentLinearOp op) {
  const Tensor<T> &x = c[op.getX()], &w = c[op.getW()],
                  &seqs = c[op.getCuSeqlens()];
  if (!sequencesOf(c, seqs, x.dim(0), w.dim(0)) ||
      !c.same("columns of x", x.dim(1), w.dim(2)))
    return {};
  std::vector<T> y(x.dim(0) * w.dim(1));
  ref::SegmentLinear(x.data(), w.data(), seqs.int32s().data(), w.dim(0),
                     x.dim(0), w.dim(1), w.dim(2), y.data());
  return Tensor<T>::floats(c.resultElement(), {x.dim(0), w.dim(1)},
                           std::move(y));
}

template <typename T>
static Tensor<T> segmentLinearDx(Call<T> &c, nn::SegmentLinearDxOp op) {
  const Tensor<T> &dy = c[op.getDy()], &w = c[op.getW()],
                  &seqs = c[op.getCuSeqlens()];
  if (!sequencesOf(c, seqs, dy.dim(0), w.dim(0)) ||
      !c.same("columns of dy", dy.dim(1), w.dim(1)))
    return {};
  std::vector<T> dx(dy.dim(0) * w.dim(2));
  ref::SegmentLinearVjpX(dy.data(), w.data(), seqs.int32s().data(), w.dim(0),
                         dy.dim(0), w.dim(1), w.dim(2), dx.data());
  return Tensor<T>::floats(c.resultElement(), {dy.dim(0), w.dim(2)},
                           std::move(dx));
}

template <typename T>
static Tensor<T> segmentLinearDw(Call<T> &c, nn::SegmentLinearDwOp op) {
  const Tensor<T> &dy = c[op.getDy()], &x = c[op.getX()],
                  &seqs = c[op.getCuSeqlens()];
  if (!c.same("rows of x", x.dim(0), dy.dim(0)) || !c.sequences(seqs, x.dim(0)))
    return {};
  int64_t sequences = seqs.dim(0) - 1, n = dy.dim(1), k = x.dim(1);
  std::vector<T> dw(sequences * n * k);
  ref::SegmentLinearVjpW(dy.data(), x.data(), seqs.int32s().data(), sequences,
                         n, k, dw.data());
  return Tensor<T>::floats(c.resultElement(), {sequences, n, k}, std::move(dw));
}

template <typename T> static Tensor<T> mix(Call<T> &c, MixOp op) {
  const Tensor<T> &a = c[op.getA()], &x = c[op.getX()],
                  &seqs = c[op.getCuSeqlens()];
  if (!c.same("rows of x", x.dim(0), a.dim(0)) || !c.sequences(seqs, x.dim(0)))
    return {};
  int64_t sequences = seqs.dim(0) - 1, n = a.dim(1), d = x.dim(1);
  std::vector<T> y(sequences * n * d);
  ref::Mix(a.data(), x.data(), seqs.int32s().data(), sequences, n, d, y.data());
  return Tensor<T>::floats(c.resultElement(), {sequences, n, d}, std::move(y));
}

template <typename T> static Tensor<T> unmix(Call<T> &c, UnmixOp op) {
  const Tensor<T> &a = c[op.getA()], &s = c[op.getS()],
                  &seqs = c[op.getCuSeqlens()];
  int64_t tokens = a.dim(0), d = s.dim(2);
  if (!c.same("slots", s.dim(1), a.dim(1)) ||
      !sequencesOf(c, seqs, tokens, s.dim(0)))
    return {};
  std::vector<T> y(tokens * d);
  ref::Unmix(a.data(), s.data(), seqs.int32s().data(), s.dim(0), tokens,
             a.dim(1), d, y.data());
  return Tensor<T>::floats(c.resultElement(), {tokens, d}, std::move(y));
}

template <typename T> static Tensor<T> mixDot(Call<T> &c, MixDotOp op) {
  const Tensor<T> &x = c[op.getX()], &s = c[op.getS()],
                  &seqs = c[op.getCuSeqlens()];
  int64_t tokens = x.dim(0), n = s.dim(1), d = s.dim(2);
  if (!c.same("columns of x", x.dim(1), d) ||
      !sequencesOf(c, seqs, tokens, s.dim(0)))
    return {};
  std::vector<T> y(tokens * n);
  ref::MixDot(x.data(), s.data(), seqs.int32s().data(), s.dim(0), tokens, n, d,
              y.data());
  return Tensor<T>::floats(c.resultElement(), {tokens, n}, std::move(y));
}

template <typename T>
static Tensor<T> mergeParams(Call<T> &c, const Tensor<T> &w,
                             const Tensor<T> &param) {
  if (!c.same("weights of each row", w.dim(1), param.dim(0)))
    return {};
  std::vector<T> y(w.dim(0) * param.rowSize());
  ref::MergeParams(w.data(), param.data(), w.dim(0), w.dim(1), param.rowSize(),
                   y.data());
  return Tensor<T>::floats(c.resultElement(), withRows(param.shape(), w.dim(0)),
                           std::move(y));
}

template <typename T>
static Results<T> mergeParamsGrad(Call<T> &c, MergeParamsGradOp op) {
  const Tensor<T> &w = c[op.getW()], &param = c[op.getParam()],
                  &dy = c[op.getDy()];
  if (!c.same("weights of each row", w.dim(1), param.dim(0)) ||
      !c.same("rows of dy", dy.dim(0), w.dim(0)))
    return {};
  std::vector<T> dw(w.size()), dparam(param.size());
  ref::MergeParamsVjp(w.data(), param.data(), dy.data(), w.dim(0), w.dim(1),
                      param.rowSize(), dw.data(), dparam.data());
  Results<T> results;
  results.push_back(
      Tensor<T>::floats(c.resultElement(0), w.shape(), std::move(dw)));
  results.push_back(
      Tensor<T>::floats(c.resultElement(1), param.shape(), std::move(dparam)));
  return results;
}

template <typename T>
void mlir::moe::addSequenceHandlers(HandlerTable<T> &table) {
  table.template add<nn::FillOp>(fill<T>);
  table.template add<nn::SegmentReduceOp>(segmentReduce<T>);
  table.template add<nn::SegmentBroadcastOp>(segmentBroadcast<T>);
  table.template add<nn::SegmentSoftmaxOp>(segmentSoftmax<T>);
  table.template add<nn::SegmentLinearOp>(segmentLinear<T>);
  table.template add<nn::SegmentLinearDxOp>(segmentLinearDx<T>);
  table.template add<nn::SegmentLinearDwOp>(segmentLinearDw<T>);
  table.template add<MergeParamsGradOp>(mergeParamsGrad<T>);
  table.template add<MixOp>(mix<T>);
  table.template add<UnmixOp>(unmix<T>);
  table.template add<MixDotOp>(mixDot<T>);
  table.template add<MergeParamsOp>([](Call<T> &c, MergeParamsOp op) {
    return mergeParams(c, c[op.getW()], c[op.getParam()]);
  });
}

template void mlir::moe::addSequenceHandlers(HandlerTable<float> &);
template void mlir::moe::addSequenceHandlers(HandlerTable<double> &);
