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
                               PlanLayout, int64_t experts, int64_t k) {
  if (experts < 1 || k < 1 || k > experts)
    return emitError() << "expects 1 <= k <= experts, got k = " << k << " of "
                       << experts;
  return success();
}
