// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dialect/nn/NnDialect.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::nn;

#include "dialect/nn/Nndialect.cpp.inc"
#include "dialect/nn/Nnenum.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialect/nn/Nntypedef.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialect/nn/Nnattrdef.cpp.inc"

void NnDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialect/nn/Nntypedef.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialect/nn/Nnattrdef.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/nn/NnOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/nn/NnGradOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/nn/NnSequenceOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/nn/NnStructureOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/nn/NnTrainOps.cpp.inc"
      >();
  attachUpstreamVjps(getContext());
}

int64_t nn::sequencesOf(RankedTensorType cuSeqlens) {
  return cuSeqlens.isDynamicDim(0) ? ShapedType::kDynamic
                                   : cuSeqlens.getDimSize(0) - 1;
}

LogicalResult nn::checkBoundaries(std::optional<Location> loc, StringRef op,
                                  Value cuSeqlens) {
  auto type = cast<RankedTensorType>(cuSeqlens.getType());
  if (type.getRank() == 1 && (type.isDynamicDim(0) || type.getDimSize(0) >= 1))
    return success();
  return emitOptionalError(loc, op, " expects cu_seqlens [B+1], got ", type);
}

FailureOr<RankedTensorType> nn::lookupParam(Operation *user,
                                            SymbolTableCollection &symbols,
                                            FlatSymbolRefAttr name) {
  auto param = symbols.lookupNearestSymbolFrom<ParamOp>(user, name);
  if (!param)
    return user->emitOpError("expects ") << name << " to name an nn.param";
  return param.getTensorType();
}
