// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Handlers of calls, loops, parameters and regions.
#include "dialect/moe/MoeDialect.h"
#include "lib/interpreter/machine.h"

using namespace mlir;
using namespace mlir::moe;

template <typename T>
static Datum<T> constant(Call<T> &c, arith::ConstantOp op) {
  Element element = c.resultElement();
  if (auto dense = dyn_cast<DenseElementsAttr>(op.getValue())) {
    auto shape = dense.getType().getShape();
    if (isFloat(element)) {
      std::vector<T> values;
      for (const APFloat &value : dense.getValues<APFloat>())
        values.push_back(static_cast<T>(value.convertToDouble()));
      return Tensor<T>::floats(element, shape, std::move(values));
    }
    std::vector<int64_t> values;
    for (const APInt &value : dense.getValues<APInt>())
      values.push_back(value.getSExtValue());
    return Tensor<T>::ints(element, shape, std::move(values));
  }
  if (auto value = dyn_cast<FloatAttr>(op.getValue()))
    return Tensor<T>::floats(element, {},
                             {static_cast<T>(value.getValueAsDouble())});
  if (auto value = dyn_cast<IntegerAttr>(op.getValue()))
    return Tensor<T>::ints(element, {}, {value.getValue().getSExtValue()});
  c.expect(false, "a number or dense elements");
  return {};
}

/// The value of one layer of a stacked value.
template <typename T>
static Datum<T> unstack(const Datum<T> &stacked, int64_t at) {
  if (stacked.isStack())
    return stacked.stack()[at];
  return stacked.tensor().rows(at, at + 1, /*drop=*/true);
}

template <typename T>
static Datum<T> stack(Call<T> &c, const Results<T> &items) {
  if (!items.front().isTensor())
    return std::make_shared<const std::vector<Datum<T>>>(items.begin(),
                                                         items.end());
  llvm::SmallVector<Tensor<T>> tensors;
  for (const Datum<T> &item : items) {
    tensors.push_back(item.tensor());
    if (!c.expect(tensors.back().shape() == tensors.front().shape(),
                  "values of one shape to stack, got " +
                      tensors.front().describe() + " and " + item.describe()))
      return {};
  }
  return Tensor<T>::stacked(tensors);
}

template <typename T> static Results<T> layers(Call<T> &c, nn::LayersOp op) {
  int64_t lower = op.getLower(), count = op.getNumLayers();
  Results<T> carried;
  for (Value init : op.getInits())
    carried.push_back(c.scope[init]);
  size_t kept = op.getNumResults() - carried.size();
  std::vector<Results<T>> stacks(kept, Results<T>(count));
  for (int64_t step = 0; step < count; ++step) {
    int64_t at = op.getReverse() ? count - 1 - step : step;
    Results<T> args{Tensor<T>::index(lower + at)};
    llvm::append_range(args, carried);
    for (Value slice : op.getSlices())
      args.push_back(unstack(c.scope[slice], at));
    Results<T> yielded = c.region(op.getBody(), args, /*isolated=*/false);
    if (c.failed())
      return {};
    for (size_t i = 0; i < kept; ++i)
      stacks[i][at] = std::move(yielded[carried.size() + i]);
    yielded.resize(carried.size());
    carried = std::move(yielded);
  }
  for (const Results<T> &items : stacks)
    carried.push_back(stack(c, items));
  return carried;
}

template <typename T> static Results<T> call(Call<T> &c, StringAttr name) {
  Results<T> args;
  for (Value operand : c.op->getOperands())
    args.push_back(c.scope[operand]);
  auto results = c.machine.call(c.op, name, args);
  if (succeeded(results))
    return std::move(*results);
  c.fail();
  return {};
}

template <typename T>
void mlir::moe::addStructureHandlers(HandlerTable<T> &table) {
  table.template addSilent<ModuleOp, func::FuncOp, func::ReturnOp, nn::ModelOp,
                           nn::ReturnOp, nn::ParamOp, nn::YieldOp, RouterOp,
                           moe::ReturnOp, moe::YieldOp>();
  table.template add<arith::ConstantOp>(constant<T>);
  table.template add<nn::LayersOp>(layers<T>);
  table.template add<nn::ParamGetOp>([](Call<T> &c, nn::ParamGetOp op) {
    return c.param(op.getParamAttr(), op.getLayer());
  });
  table.template add<func::CallOp>([](Call<T> &c, func::CallOp op) {
    return call(c, op.getCalleeAttr().getAttr());
  });
  table.template add<CustomVjpOp>([](Call<T> &c, CustomVjpOp op) {
    Results<T> args;
    for (Value input : op.getInputs())
      args.push_back(c.scope[input]);
    return c.region(op.getForward(), args, /*isolated=*/true);
  });
  table.template add<RouteOp>([](Call<T> &c, RouteOp op) {
    return call(c, op.getRouterAttr().getAttr());
  });
}

template void mlir::moe::addStructureHandlers(HandlerTable<float> &);
template void mlir::moe::addStructureHandlers(HandlerTable<double> &);
