// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The nn dialect: types, attributes and operations.
#ifndef MOE_DIALECT_NN_NNDIALECT_H
#define MOE_DIALECT_NN_NNDIALECT_H

#include "dialect/nn/Differentiable.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::nn {
/// Marks operations whose result rows depend on the same rows of their tensor
/// operands alone.
template <typename ConcreteType>
class RowWise : public OpTrait::TraitBase<ConcreteType, RowWise> {};

/// The number of sequences behind cu_seqlens [B+1] of this type.
int64_t sequencesOf(RankedTensorType cuSeqlens);

/// Checks that |cuSeqlens| is [B+1], for an operation of the full name |op|.
LogicalResult checkBoundaries(std::optional<Location> loc, StringRef op,
                              Value cuSeqlens);

/// Checks that a symbol names an `nn.param`; gives its type.
FailureOr<RankedTensorType> lookupParam(Operation *user,
                                        SymbolTableCollection &symbols,
                                        FlatSymbolRefAttr name);
} // namespace mlir::nn

#include "dialect/nn/Nndialect.h.inc"
#include "dialect/nn/Nnenum.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialect/nn/Nntypedef.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialect/nn/Nnattrdef.h.inc"
#define GET_OP_CLASSES
#include "dialect/nn/NnOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/nn/NnGradOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/nn/NnSequenceOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/nn/NnStructureOps.h.inc"
#define GET_OP_CLASSES
#include "dialect/nn/NnTrainOps.h.inc"

#endif
