// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_DIALECT_NN_NNENUMS_TD
#define MOE_DIALECT_NN_NNENUMS_TD

include "mlir/IR/EnumAttr.td"

def Nn_Activations : I32EnumAttr<"Activation", "elementwise activation", [
  I32EnumAttrCase<"Identity", 0, "identity">, I32EnumAttrCase<"Silu", 1, "silu">,
  I32EnumAttrCase<"Gelu", 2, "gelu">, I32EnumAttrCase<"GeluTanh", 3, "gelu_tanh">,
  I32EnumAttrCase<"Relu", 4, "relu">, I32EnumAttrCase<"Sigmoid", 5, "sigmoid">,
  I32EnumAttrCase<"Tanh", 6, "tanh">, I32EnumAttrCase<"QuickGelu", 7, "quick_gelu">]> {
  let cppNamespace = "::mlir::nn";
  let genSpecializedAttr = 0;
}

def Nn_Pairings : I32EnumAttr<"RopePairing", "which dimensions rotate together", [
  I32EnumAttrCase<"Half", 0, "half">, I32EnumAttrCase<"Interleaved", 1, "interleaved">]> {
  let cppNamespace = "::mlir::nn";
  let genSpecializedAttr = 0;
}

def Nn_ReduceKinds : I32EnumAttr<"ReduceKind", "reduction", [
  I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Mean", 1, "mean">,
  I32EnumAttrCase<"Max", 2, "max">, I32EnumAttrCase<"Min", 3, "min">]> {
  let cppNamespace = "::mlir::nn";
  let genSpecializedAttr = 0;
}

#endif
