// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Parameters, the model and the layers loop.
#include "dialect/nn/NnParams.h"
#include "lib/core/tensor_pattern.h"

#include "llvm/Support/CheckedArithmetic.h"

#include "mlir/Interfaces/FunctionImplementation.h"

using namespace mlir;
using namespace mlir::nn;

#define GET_OP_CLASSES
#include "dialect/nn/NnStructureOps.cpp.inc"

/// Why the scales of |source| make no sense, or nothing.
static std::optional<std::string> badScales(SourceAttr source) {
  ScaledAttr scaled = source.getScaled();
  StringRef name = source.getPattern().getValue(),
            other = scaled.getPattern().getValue();
  if (!isa<Float8E4M3FNType, Float4E2M1FNType>(scaled.getStored()))
    return "expects scaled numbers of f8E4M3FN or f4E2M1FN";
  auto layer = ::moe::LayerOfPattern(name),
       scaleLayer = ::moe::LayerOfPattern(other);
  if (layer.has_value() != scaleLayer.has_value() ||
      (layer && (layer->scale != scaleLayer->scale ||
                 layer->offset != scaleLayer->offset)) ||
      name.contains("{e}") != other.contains("{e}"))
    return ("expects " + name + " and " + other +
            " to name layer and expert alike")
        .str();
  ArrayRef<int64_t> block = scaled.getBlock();
  std::optional<int64_t> numbers = numbersOf(source);
  if (block.size() != 2 || block[0] < 1 || block[1] < 1 || !numbers ||
      *numbers == 0)
    return "expects blocks [rows, columns] and numbers of scaled tensors";
  int64_t columns = scaledColumns(source);
  std::optional<int64_t> scales = 1;
  for (int64_t size : scaled.getShape())
    if (scales)
      scales = size < 0 ? std::nullopt : llvm::checkedMul(*scales, size);
  int64_t expected = llvm::divideCeil(*numbers / columns, block[0]) *
                     llvm::divideCeil(columns, block[1]);
  if (scales != expected)
    return ("expects " + Twine(expected) + " scales of " + name).str();
  return std::nullopt;
}

LogicalResult ParamOp::verify() {
  auto type = getTensorType();
  // param C1
  if (type.getRank() < 1 || type.getRank() > 3 || !type.hasStaticShape())
    return emitOpError("expects a static shape of rank 1 to 3, got ") << type;
  // param C2
  int64_t next = 0, all = groupsOf(*this).n;
  for (auto source : getSources().getAsRange<SourceAttr>()) {
    int64_t rows = source.getRows() ? source.getRows() : all;
    if (source.getAt() != next || rows <= 0)
      return emitOpError("expects sources in row order without gaps, got a "
                         "source at row ")
             << source.getAt() << " where row " << next << " is next";
    next += rows;
  }
  if (next != all)
    return emitOpError("expects sources for ") << all << " rows, got " << next;
  // param C3
  auto layers = getLayers();
  if (layers &&
      (layers->size() != 2 || (*layers)[0] < 0 || (*layers)[0] >= (*layers)[1]))
    return emitOpError("expects layers [lo, hi] with 0 <= lo < hi");
  for (auto source : getSources().getAsRange<SourceAttr>())
    if (::moe::LayerOfPattern(source.getPattern().getValue()).has_value() !=
        layers.has_value())
      return emitOpError("expects {i} in a pattern exactly where there are "
                         "layers, got ")
             << source.getPattern();
  // param C4
  for (auto source : getSources().getAsRange<SourceAttr>())
    if (auto bad = source.getScaled() ? badScales(source) : std::nullopt)
      return emitOpError() << *bad;
  return success();
}

LogicalResult ParamGetOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto param = symbols.lookupNearestSymbolFrom<ParamOp>(*this, getParamAttr());
  // param_get C1
  if (!param || param.getTensorType() != getType())
    return emitOpError("expects ")
           << getParamAttr() << " to name an nn.param of type " << getType();
  // param_get C2
  if (bool(getLayer()) != param.getLayers().has_value())
    return emitOpError("expects a layer index exactly where ")
           << getParamAttr() << " has layers";
  // The index must stay within the layers that the parameter has.
  auto range = param.getLayers();
  auto used = getLayer() ? layersOf(getLayer()) : std::nullopt;
  if (used && range &&
      (used->first < (*range)[0] || used->second >= (*range)[1]))
    return emitOpError("expects ")
           << getParamAttr() << " to have layers " << used->first << " to "
           << used->second + 1 << ", got [" << (*range)[0] << ", "
           << (*range)[1] << "]";
  return success();
}

ParseResult ModelOp::parse(OpAsmParser &parser, OperationState &result) {
  auto type = [](Builder &builder, ArrayRef<Type> in, ArrayRef<Type> out,
                 function_interface_impl::VariadicFlag,
                 std::string &) { return builder.getFunctionType(in, out); };
  return function_interface_impl::parseFunctionOp(
      parser, result, false, getFunctionTypeAttrName(result.name), type,
      getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name));
}

void ModelOp::print(OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(
      printer, *this, false, getFunctionTypeAttrName(), getArgAttrsAttrName(),
      getResAttrsAttrName());
}

LogicalResult ModelOp::verify() {
  auto isInts = [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return tensor && tensor.getRank() == 1 &&
           tensor.getElementType().isInteger(32);
  };
  // model C1
  auto out = getNumResults() == 1
                 ? dyn_cast<RankedTensorType>(getResultTypes()[0])
                 : RankedTensorType();
  if (getNumArguments() != 3 || !llvm::all_of(getArgumentTypes(), isInts) ||
      !out || out.getRank() != 2)
    return emitOpError("expects (ids, positions, cu_seqlens) as i32 vectors "
                       "and one result [T, V]");
  if (!llvm::hasSingleElement(getBody()))
    return emitOpError("expects a body of one block");
  return success();
}

Type LayersOp::stackedType(int64_t layers, Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return StackType::get(type.getContext(), layers, type);
  SmallVector<int64_t> shape{layers};
  llvm::append_range(shape, tensor.getShape());
  return RankedTensorType::get(shape, tensor.getElementType());
}

LogicalResult LayersOp::verify() {
  // layers C1
  if (int64_t(getLower()) < 0 || getLower() >= getUpper())
    return emitOpError("expects 0 <= lower < upper, got ")
           << getLower() << " to " << getUpper();
  Block &block = getBody().front();
  int64_t inits = getInits().size(), slices = getSlices().size(),
          layers = getNumLayers();
  // layers C2
  if (int64_t(block.getNumArguments()) != 1 + inits + slices ||
      !block.getArgument(0).getType().isIndex())
    return emitOpError("expects a body of an index, ")
           << inits << " carried values and " << slices << " slices";
  for (int64_t i = 0; i < inits; ++i)
    if (block.getArgument(1 + i).getType() != getInits()[i].getType())
      return emitOpError("expects carried value ")
             << i << " of type " << getInits()[i].getType() << ", got "
             << block.getArgument(1 + i).getType();
  // layers C3
  auto yielded = block.getTerminator()->getOperands();
  if (yielded.size() != getNumResults() || int64_t(yielded.size()) < inits)
    return emitOpError("expects the body to yield ")
           << getNumResults() << " values, got " << yielded.size();
  for (int64_t i = 0; i < inits; ++i)
    if (yielded[i].getType() != getInits()[i].getType() ||
        getResult(i).getType() != getInits()[i].getType())
      return emitOpError("expects carried value ")
             << i << " to keep type " << getInits()[i].getType() << ", got "
             << yielded[i].getType();
  // layers C4
  for (int64_t i = inits; i < int64_t(yielded.size()); ++i)
    if (getResult(i).getType() != stackedType(layers, yielded[i].getType()))
      return emitOpError("expects stacked result ")
             << i << " of type " << stackedType(layers, yielded[i].getType())
             << ", got " << getResult(i).getType();
  for (int64_t i = 0; i < slices; ++i)
    if (getSlices()[i].getType() !=
        stackedType(layers, block.getArgument(1 + inits + i).getType()))
      return emitOpError("expects slice ")
             << i << " of type "
             << stackedType(layers, block.getArgument(1 + inits + i).getType())
             << ", got " << getSlices()[i].getType();
  return success();
}
