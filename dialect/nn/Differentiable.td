// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_DIALECT_NN_DIFFERENTIABLE_TD
#define MOE_DIALECT_NN_DIFFERENTIABLE_TD

include "mlir/IR/OpBase.td"

def Nn_DifferentiableOpInterface : OpInterface<"DifferentiableOpInterface"> {
  let cppNamespace = "::mlir::nn";
  let description = [{
    Operations with a vector-Jacobian product. Upstream operations of the
    closed set of the training passes have it by external models.

    Integers, plans and masks carry no gradient: operands of other types than
    floating-point tensors or scalars never get one.
  }];
  let methods = [InterfaceMethod<[{
      Builds the gradients of the operands from those of the results.

      `resultGradients` has one value of the type of each result, or null where
      none reached it; at least one is not null. `operandGradients` has one null
      value for each operand: those that get a gradient are set, to values of
      the shape of the operand and of its element type or, where many terms were
      added up, of f32. The operation's own operands and results may be used.
      Gradients that nobody needs are dropped by the caller. Fails with a
      diagnostic where this form of the operation has no gradient.
    }], "::llvm::LogicalResult", "buildVjp",
    (ins "::mlir::OpBuilder &":$builder, "::mlir::ValueRange":$resultGradients,
         "::llvm::SmallVectorImpl<::mlir::Value> &":$operandGradients)>];
}

def Nn_Differentiable : DeclareOpInterfaceMethods<Nn_DifferentiableOpInterface>;

#endif
