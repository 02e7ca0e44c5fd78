// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "dialect/moe/MoeDialect.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

#include "dialect/moe/Moedialect.cpp.inc"
#include "dialect/moe/Moeenum.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialect/moe/Moetypedef.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialect/moe/Moeattrdef.cpp.inc"

void MoeDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialect/moe/Moetypedef.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialect/moe/Moeattrdef.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/moe/MoeOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/moe/MoeRoutingOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/moe/MoeMixOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/moe/MoeLossOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/moe/MoeGradOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/moe/MoeFusedOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/moe/MoeExchangeOps.cpp.inc"
      >();
}

LogicalResult PlanType::verify(function_ref<InFlightDiagnostic()> emitError,
                               int64_t experts, int64_t k) {
  if (experts < 1 || k < 1)
    return emitError() << "expects experts >= 1 and k >= 1, got " << experts
                       << " and " << k;
  return success();
}
