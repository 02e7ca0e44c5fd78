// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The moe dialect: the plan type and the operations of routing and experts.
#ifndef MOE_DIALECT_MOE_MOEDIALECT_H
#define MOE_DIALECT_MOE_MOEDIALECT_H

#include "dialect/nn/NnDialect.h"

#include "dialect/moe/Moedialect.h.inc"
#include "dialect/moe/Moeenum.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialect/moe/Moetypedef.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialect/moe/Moeattrdef.h.inc"
#define GET_OP_CLASSES
#include "dialect/moe/MoeOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/moe/MoeRoutingOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/moe/MoeMixOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/moe/MoeLossOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/moe/MoeGradOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/moe/MoeFusedOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/moe/MoeExchangeOps.h.inc"

#endif
