// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dialect/nn/NnParams.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include "llvm/Support/CheckedArithmetic.h"

using namespace mlir;
using namespace mlir::nn;

ParamGroups nn::groupsOf(ParamOp param) {
  ArrayRef<int64_t> shape = param.getTensorType().getShape();
  if (shape.size() == 3)
    return {shape[0], shape[1], shape[2], false};
  if (shape.size() == 1)
    return {1, shape[0], 1, true};
  bool vectors =
      param->hasAttr("moe.shard") ||
      llvm::any_of(param.getSources().getAsRange<SourceAttr>(),
                   [](SourceAttr source) {
                     return source.getPattern().getValue().contains("{e}") ||
                            (source.getStrides().size() == 3 &&
                             source.getStrides()[2] == 0);
                   });
  if (vectors)
    return {shape[0], shape[1], 1, true};
  return {1, shape[0], shape[1], false};
}

std::optional<int64_t> nn::numbersOf(SourceAttr source) {
  ScaledAttr scaled = source.getScaled();
  std::optional<int64_t> count =
      scaled && scaled.getStored().getIntOrFloatBitWidth() == 4 ? 2 : 1;
  for (int64_t size : source.getShape())
    if (count)
      count = size < 0 ? std::nullopt : llvm::checkedMul(*count, size);
  return count;
}

int64_t nn::scaledColumns(SourceAttr source) {
  int64_t columns = source.getShape().empty() ? 1 : source.getShape().back();
  return source.getScaled().getStored().getIntOrFloatBitWidth() == 4
             ? 2 * columns
             : columns;
}

StringRef nn::storedName(ScaledAttr scaled) {
  return isa<Float4E2M1FNType>(scaled.getStored()) ? "f4e2m1" : "f8e4m3";
}

std::string nn::scaledEntry(SourceAttr source, Type element) {
  ScaledAttr scaled = source.getScaled();
  if (!scaled)
    return {};
  std::string name;
  llvm::raw_string_ostream(name)
      << "pack." << storedName(scaled) << ".c" << scaledColumns(source) << "."
      << scaled.getBlock()[0] << "x" << scaled.getBlock()[1] << "." << element;
  return name;
}

std::optional<std::pair<int64_t, int64_t>> nn::layersOf(Value index) {
  using Range = std::pair<int64_t, int64_t>;
  if (!index)
    return std::nullopt;
  if (auto arg = dyn_cast<BlockArgument>(index)) {
    auto loop = dyn_cast_or_null<LayersOp>(arg.getOwner()->getParentOp());
    if (!loop || arg.getArgNumber() != 0)
      return std::nullopt;
    return Range(loop.getLower(), int64_t(loop.getUpper()) - 1);
  }
  if (auto constant = index.getDefiningOp<arith::ConstantIndexOp>())
    return Range(constant.value(), constant.value());
  Operation *op = index.getDefiningOp();
  if (!isa_and_nonnull<arith::AddIOp, arith::MulIOp>(op))
    return std::nullopt;
  auto a = layersOf(op->getOperand(0)), b = layersOf(op->getOperand(1));
  // Products grow with both where neither is negative.
  if (!a || !b || a->first < 0 || b->first < 0)
    return std::nullopt;
  auto join = [&](int64_t x, int64_t y) {
    return isa<arith::AddIOp>(op) ? llvm::checkedAdd(x, y)
                                  : llvm::checkedMul(x, y);
  };
  auto least = join(a->first, b->first), most = join(a->second, b->second);
  if (!least || !most)
    return std::nullopt;
  return Range(*least, *most);
}

std::optional<::moe::LayerPlace> nn::placeOf(ParamGetOp get) {
  auto param =
      SymbolTable::lookupNearestSymbolFrom<ParamOp>(get, get.getParamAttr());
  if (!param || !param.getLayers() ||
      !isa_and_nonnull<BlockArgument>(get.getLayer()) ||
      param.getSources().empty())
    return std::nullopt;
  auto source = cast<SourceAttr>(param.getSources()[0]);
  return ::moe::LayerOfPattern(
      std::string_view(source.getPattern().getValue()));
}
