// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Routers as symbols, and the layer.
#include "dialect/moe/MoeDialect.h"

#include "mlir/Interfaces/FunctionImplementation.h"

using namespace mlir;
using namespace mlir::moe;

ParseResult RouterOp::parse(OpAsmParser &parser, OperationState &result) {
  auto type = [](Builder &builder, ArrayRef<Type> in, ArrayRef<Type> out,
                 function_interface_impl::VariadicFlag,
                 std::string &) { return builder.getFunctionType(in, out); };
  return function_interface_impl::parseFunctionOp(
      parser, result, false, getFunctionTypeAttrName(result.name), type,
      getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name));
}

void RouterOp::print(OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(
      printer, *this, false, getFunctionTypeAttrName(), getArgAttrsAttrName(),
      getResAttrsAttrName());
}

LogicalResult RouterOp::verify() {
  // router C1
  auto x = getNumArguments() ? dyn_cast<RankedTensorType>(getArgumentTypes()[0])
                             : RankedTensorType();
  if (!x || x.getRank() != 2)
    return emitOpError("expects a first argument [T, D]");
  // router C2
  for (auto [i, type] : llvm::enumerate(getResultTypes())) {
    auto plan = dyn_cast<PlanType>(type);
    if (!plan)
      continue;
    auto weights = i == 0 && getNumResults() > 1
                       ? dyn_cast<RankedTensorType>(getResultTypes()[1])
                       : RankedTensorType();
    if (!weights || weights.getRank() != 2 ||
        weights.getDimSize(1) != plan.getK() ||
        !weights.getElementType().isF32())
      return emitOpError("expects results of a plan and f32 weights [T, K]");
  }
  if (!getNumResults())
    return emitOpError("expects results of a plan and f32 weights [T, K]");
  // router C3
  for (unsigned i = 0; i < getNumArguments(); ++i)
    if (Attribute input = getArgAttr(i, "moe.input")) {
      auto name = dyn_cast<StringAttr>(input);
      if (!name || i == 0 ||
          !llvm::is_contained({"ids", "positions", "seqs", "key"},
                              name.getValue()))
        return emitOpError("expects moe.input to be ids, positions, seqs or "
                           "key, got ")
               << input << " at argument " << i;
    }
  // router C4
  for (auto [i, type] : llvm::enumerate(getResultTypes())) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (getResultAttr(i, "moe.loss") && (!tensor || tensor.getRank() != 0))
      return emitOpError("expects a scalar loss, got ") << type;
    if (Attribute state = getResultAttr(i, "moe.state")) {
      auto of = dyn_cast<IntegerAttr>(state);
      if (!of || of.getInt() < 1 || of.getInt() >= getNumArguments() ||
          getArgumentTypes()[of.getInt()] != type)
        return emitOpError("expects a state of the type of its argument, got ")
               << type << " for " << state;
    }
  }
  if (!llvm::hasSingleElement(getBody()))
    return emitOpError("expects a body of one block");
  return success();
}

SmallVector<unsigned> RouterOp::getParamArguments() {
  SmallVector<unsigned> arguments;
  for (unsigned i = 1; i < getNumArguments(); ++i)
    if (!getInput(i))
      arguments.push_back(i);
  return arguments;
}

/// Equal, a dynamic dimension of the router matching any.
static bool accepts(Type formal, Type actual) {
  auto f = dyn_cast<RankedTensorType>(formal),
       a = dyn_cast<RankedTensorType>(actual);
  if (!f || !a)
    return formal == actual;
  if (f.getRank() != a.getRank() || f.getElementType() != a.getElementType())
    return false;
  for (auto [m, n] : llvm::zip(f.getShape(), a.getShape()))
    if (m != n && !ShapedType::isDynamic(m))
      return false;
  return true;
}

LogicalResult RouteOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto router =
      symbols.lookupNearestSymbolFrom<RouterOp>(*this, getRouterAttr());
  // route C1
  if (!router)
    return emitOpError("expects ")
           << getRouterAttr() << " to name a moe.router";
  if (router.getNumArguments() != getNumOperands())
    return emitOpError("expects ")
           << router.getNumArguments() << " operands for " << getRouterAttr()
           << ", got " << getNumOperands();
  for (auto [formal, actual] :
       llvm::zip(router.getArgumentTypes(), getOperandTypes()))
    if (!accepts(formal, actual))
      return emitOpError("expects an operand of type ")
             << formal << " for " << getRouterAttr() << ", got " << actual;
  // route C2
  if (router.getNumResults() != getNumResults())
    return emitOpError("expects ")
           << router.getNumResults() << " results of " << getRouterAttr()
           << ", got " << getNumResults();
  for (auto [formal, actual] :
       llvm::zip(router.getResultTypes(), getResultTypes()))
    if (!accepts(formal, actual))
      return emitOpError("expects a result of type ")
             << formal << " of " << getRouterAttr() << ", got " << actual;
  return success();
}

LogicalResult LayerOp::verifySymbolUses(SymbolTableCollection &symbols) {
  // layer C1
  if (!symbols.lookupNearestSymbolFrom<RouterOp>(*this, getRouterAttr()))
    return emitOpError("expects ")
           << getRouterAttr() << " to name a moe.router";
  for (ArrayAttr list :
       {getRouterParams(), getExpertParams(), getSharedParams()})
    for (auto name : list.getAsRange<FlatSymbolRefAttr>()) {
      auto type = nn::lookupParam(*this, symbols, name);
      if (failed(type))
        return failure();
      // layer C3
      if (list == getExpertParams() &&
          type->getDimSize(0) != int64_t(getExperts()))
        return emitOpError("expects expert parameters that start with ")
               << getExperts() << " experts, got " << *type << " for " << name;
    }
  return success();
}

LogicalResult LayerOp::verify() {
  // layer C2
  if (int64_t(getExperts()) < 1 || int64_t(getSegments()) < 1)
    return emitOpError("expects experts >= 1 and segments >= 1, got ")
           << int64_t(getExperts()) << " and " << int64_t(getSegments());
  // layer C4
  if (getShared().empty() != getSharedParams().empty())
    return emitOpError("expects a shared body exactly with shared parameters");
  return success();
}
