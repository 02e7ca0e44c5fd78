// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The end of a training step: the loss, and the update of parameters.
#include "lib/reference/training.h"
#include "lib/interpreter/machine.h"

using namespace mlir;
using namespace mlir::moe;
namespace ref = ::moe::reference;

template <typename T>
static Tensor<T> floats(Call<T> &c, llvm::ArrayRef<int64_t> shape,
                        std::vector<T> values, unsigned i = 0) {
  return Tensor<T>::floats(c.resultElement(i), shape, std::move(values));
}

/// |x| is [T, V], and each of |vectors| [T].
template <typename T>
static bool checkRows(Call<T> &c, const Tensor<T> &x,
                      std::initializer_list<const Tensor<T> *> vectors) {
  for (const Tensor<T> *vector : vectors)
    if (!c.same("numbers for the rows", vector->size(), x.dim(0)))
      return false;
  return true;
}

template <typename T>
static bool checkTargets(Call<T> &c, const Tensor<T> &targets, int64_t vocab) {
  for (int64_t target : targets.integers())
    if (!c.expect(target < vocab, "targets below " + llvm::Twine(vocab) +
                                      ", got " + llvm::Twine(target)))
      return false;
  return true;
}

template <typename T>
static Tensor<T> crossEntropy(Call<T> &c, nn::CrossEntropyOp op) {
  const Tensor<T> &x = c[op.getX()], &targets = c[op.getTargets()];
  if (!checkRows(c, x, {&targets}) || !checkTargets(c, targets, x.dim(1)))
    return {};
  std::vector<T> y(x.dim(0));
  ref::CrossEntropyRows(x.data(), targets.int32s().data(), x.dim(0), x.dim(1),
                        y.data());
  return floats(c, {x.dim(0)}, std::move(y));
}

template <typename T>
static Tensor<T> crossEntropyGrad(Call<T> &c, nn::CrossEntropyGradOp op) {
  const Tensor<T> &x = c[op.getX()], &targets = c[op.getTargets()],
                  &dy = c[op.getDy()];
  if (!checkRows(c, x, {&targets, &dy}) || !checkTargets(c, targets, x.dim(1)))
    return {};
  std::vector<T> dx(x.size());
  ref::CrossEntropyRowsVjp(x.data(), targets.int32s().data(), dy.data(),
                           x.dim(0), x.dim(1), dx.data());
  return floats(c, x.shape(), std::move(dx));
}

template <typename T>
static Results<T> headLoss(Call<T> &c, nn::HeadLossOp op) {
  const Tensor<T> &x = c[op.getX()], &w = c[op.getW()],
                  &targets = c[op.getTargets()];
  const Tensor<T> *dy = op.getDy() ? &c[op.getDy()] : nullptr;
  int64_t tokens = x.dim(0), k = x.dim(1), vocab = w.dim(0);
  if (!checkRows(c, x, {&targets}) || (dy && !checkRows(c, x, {dy})) ||
      !checkTargets(c, targets, vocab) || !c.same("columns of w", w.dim(1), k))
    return {};
  std::vector<T> y(tokens), dx(dy ? x.size() : 0), dw(dy ? w.size() : 0);
  ref::HeadLoss(x.data(), w.data(), targets.int32s().data(),
                dy ? dy->data() : nullptr, tokens, k, vocab,
                static_cast<T>(op.getScale().convertToDouble()), y.data(),
                dx.data(), dw.data());
  if (!dy)
    return {floats(c, {tokens}, std::move(y))};
  return {floats(c, {tokens}, std::move(y)),
          floats(c, x.shape(), std::move(dx), 1),
          floats(c, w.shape(), std::move(dw), 2)};
}

template <typename T>
static Tensor<T> sumSquares(Call<T> &c, nn::SumSquaresOp op) {
  T sum = 0;
  for (Value x : op.getXs())
    sum = ref::SumSquares(c[x].data(), c[x].size(), sum);
  return floats(c, {}, {sum});
}

template <typename T> static Results<T> adamw(Call<T> &c, nn::AdamwOp op) {
  const Tensor<T> &w = c[op.getW()], &hyper = c[op.getHyper()];
  const T *h = hyper.data();
  ref::AdamwStep<T> step{h[0], h[1], h[2], h[3], op.getDecayed() ? h[4] : T(0),
                         h[5], h[6], h[7]};
  std::vector<T> newW(w.size()), newM(w.size()), newV(w.size());
  ref::Adamw(step, w.size(), w.data(), c[op.getGrad()].data(),
             c[op.getM()].data(), c[op.getV()].data(), newW.data(), newM.data(),
             newV.data());
  return {floats(c, w.shape(), std::move(newW)),
          floats(c, w.shape(), std::move(newM), 1),
          floats(c, w.shape(), std::move(newV), 2)};
}

template <typename T>
void mlir::moe::addTrainingHandlers(HandlerTable<T> &table) {
  table.template add<nn::CrossEntropyOp>(crossEntropy<T>);
  table.template add<nn::CrossEntropyGradOp>(crossEntropyGrad<T>);
  table.template add<nn::HeadLossOp>(headLoss<T>);
  table.template add<nn::SumSquaresOp>(sumSquares<T>);
  table.template add<nn::AdamwOp>(adamw<T>);
}

template void mlir::moe::addTrainingHandlers(HandlerTable<float> &);
template void mlir::moe::addTrainingHandlers(HandlerTable<double> &);
