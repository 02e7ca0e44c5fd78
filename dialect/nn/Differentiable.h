// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations with a vector-Jacobian product, and what their rules are built
// from:
//
//   if (auto d = dyn_cast<nn::DifferentiableOpInterface>(op)) {
//     SmallVector<Value> dx(op->getNumOperands());
//     if (failed(d.buildVjp(builder, {dy}, dx))) …   // a diagnostic was emitted
//   }
#ifndef MOE_DIALECT_NN_DIFFERENTIABLE_H
#define MOE_DIALECT_NN_DIFFERENTIABLE_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/OpDefinition.h"

#include "dialect/nn/Differentiable.h.inc"

namespace mlir::nn {
/// Whether values of |type| may carry a gradient: floating-point scalars and
/// ranked tensors.
bool isDifferentiable(Type type);

/// |type| with elements that sums are kept in: f64 stays, others become f32.
Type accumulatorType(Type type);

/// |value| as |type|, which differs at most in its floating-point element.
Value castElement(OpBuilder &builder, Location loc, Value value, Type type);

/// A value of |type| with all elements |number|. A dynamic axis 0 has as many
/// rows as |like|; no other axis may be dynamic.
Value splat(OpBuilder &builder, Location loc, Type type, Value like,
            double number);

/// The sum of |x| over |axis|, in accumulators.
Value sumOver(OpBuilder &builder, Location loc, Value x, int64_t axis);

/// Gives the operations of arith and math that can stand in a differentiated
/// function their rules.
void attachUpstreamVjps(MLIRContext *context);
} // namespace mlir::nn

#endif
