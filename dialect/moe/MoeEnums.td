// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_DIALECT_MOE_MOEENUMS_TD
#define MOE_DIALECT_MOE_MOEENUMS_TD

include "mlir/IR/EnumAttr.td"

def Moe_Roundings : I32EnumAttr<"CapacityRounding", "how a capacity becomes an integer", [
  I32EnumAttrCase<"Floor", 0, "floor">, I32EnumAttrCase<"Ceil", 1, "ceil">, I32EnumAttrCase<"Nearest", 2, "nearest">]> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}

def Moe_Streams : I32EnumAttr<"RandomStream", "what random numbers are for", [
  I32EnumAttrCase<"Jitter", 0, "jitter">, I32EnumAttrCase<"GateNoise", 1, "gate_noise">,
  I32EnumAttrCase<"SecondExpert", 2, "second_expert">, I32EnumAttrCase<"Gumbel", 3, "gumbel">,
  I32EnumAttrCase<"Rts", 4, "rts">, I32EnumAttrCase<"Thor", 5, "thor">,
  I32EnumAttrCase<"Shuffle", 6, "shuffle">, I32EnumAttrCase<"ExpertDropout", 7, "expert_dropout">,
  I32EnumAttrCase<"TokenDropout", 8, "token_dropout">, I32EnumAttrCase<"EmbeddingDropout", 9, "embedding_dropout">,
  I32EnumAttrCase<"MixerDropout", 10, "mixer_dropout">, I32EnumAttrCase<"MlpDropout", 11, "mlp_dropout">]> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}

def Moe_Distributions : I32EnumAttr<"Distribution", "distribution of random numbers", [
  I32EnumAttrCase<"Uniform", 0, "uniform">, I32EnumAttrCase<"Normal", 1, "normal">,
  I32EnumAttrCase<"Gumbel", 2, "gumbel">, I32EnumAttrCase<"Exponential", 3, "exponential">]> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}

def Moe_BalanceKinds : I32EnumAttr<"BalanceKind", "what a balance loss balances", [
  I32EnumAttrCase<"Expert", 0, "expert">, I32EnumAttrCase<"Device", 1, "device">,
  I32EnumAttrCase<"Communication", 2, "communication">]> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}

def Moe_GroupScores : I32EnumAttr<"GroupScore", "score of a group of experts", [
  I32EnumAttrCase<"Max", 0, "max">, I32EnumAttrCase<"SumTop", 1, "sum_top">]> {
  let cppNamespace = "::mlir::moe";
  let genSpecializedAttr = 0;
}

#endif
