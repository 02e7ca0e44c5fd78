// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_DIALECT_MOE_MOEENUMS_TD
#define MOE_DIALECT_MOE_MOEENUMS_TD

include "mlir/IR/EnumAttr.td"

def Moe_Layouts : I32EnumAttr<"PlanLayout", "order of a plan", [
  I32EnumAttrCase<"TokenMajor", 0, "token_major">, I32EnumAttrCase<"ExpertMajor", 1, "expert_major">]> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}

def Moe_GroupScores : I32EnumAttr<"GroupScore", "score of a group of experts", [
  I32EnumAttrCase<"Max", 0, "max">, I32EnumAttrCase<"SumTop", 1, "sum_top">]> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}

#endif
