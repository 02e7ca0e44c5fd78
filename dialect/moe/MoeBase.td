// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_DIALECT_MOE_MOEBASE_TD
#define MOE_DIALECT_MOE_MOEBASE_TD

include "dialect/moe/MoeEnums.td"
include "dialect/nn/NnBase.td"

def Moe_Dialect : Dialect {
  let name = "moe";
  let cppNamespace = "::mlir::moe";
  let summary = "Mixture of experts: routing, segmentation, shared experts";
  let description = [{
    A routing decision is one SSA value, `!moe.plan`: integers only, made once
    and read by dispatch, experts, combine, losses and exchanges. A routing
    algorithm is a symbol, `moe.router`, with a region over tensor arithmetic
    and a few primitives.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::mlir::nn::NnDialect"];
}

class Moe_Op<string mnemonic, list<Trait> traits = []>
    : Op<Moe_Dialect, mnemonic, traits>;

class Moe_CoreOp<string mnemonic, list<Trait> traits = []>
    : Moe_Op<mnemonic, !listconcat([InferTypeOpAdaptor], traits)>;

def Moe_PlanType : TypeDef<Moe_Dialect, "Plan"> {
  let mnemonic = "plan";
  let summary = "which token goes to which expert";
  let description = [{
    Token-major: `idx [T, K]`, `slot2row [T, K]` (−1 for dropped pairs),
    `row2slot [R]` and `offsets [E+1]`, all i32. Rows are grouped by expert and
    ordered by token, then choice, inside an expert; rows of expert e are
    `offsets[e] … offsets[e+1]`. R is at most T·K. Not differentiable.
  }];
  let parameters = (ins EnumParameter<Moe_Layouts>:$layout, "int64_t":$experts, "int64_t":$k);
  let assemblyFormat = "`<` $layout `,` $experts `,` $k `>`";
  let genVerifyDecl = 1;
}

def Moe_GroupScoreAttr : EnumAttr<Moe_Dialect, Moe_GroupScores, "group_score">;

#endif
