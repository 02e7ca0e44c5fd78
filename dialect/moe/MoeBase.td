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
    `idx [T, K]`, `slot2row [T, K]` (−1 for dropped pairs), `row2slot [R]` and
    `offsets [E+1]`, all i32. Rows are grouped by expert and ordered by token,
    then choice, inside an expert; rows of expert e are
    `offsets[e] … offsets[e+1]`. R is at most T·K. Where experts choose tokens
    (K = E), a choice that no expert made is invalid and has no row.
    Not differentiable.

    `!moe.plan<8, 2>`: 8 experts, 2 choices for each token.
  }];
  let parameters = (ins "int64_t":$experts, "int64_t":$k);
  let assemblyFormat = "`<` $experts `,` $k `>`";
  let genVerifyDecl = 1;
}

def Moe_StreamAttr : EnumAttr<Moe_Dialect, Moe_Streams, "stream">;
def Moe_DistributionAttr : EnumAttr<Moe_Dialect, Moe_Distributions, "distribution">;
def Moe_BalanceKindAttr : EnumAttr<Moe_Dialect, Moe_BalanceKinds, "balance">;

def Moe_CapacityAttr : AttrDef<Moe_Dialect, "Capacity"> {
  let mnemonic = "capacity";
  let summary = "how many rows an expert takes of a number of tokens";
  let description = [{
    For S tokens and E experts, in f64:
    `C = max(min, ⌊times·round(factor·S / E)⌋)`, then up to a multiple of
    `multiple`, then `+ extra`. The factor counts choices: Megatron's
    `⌈S·K/E·cf⌉` is `<factor = K·cf, round = ceil>`. Every formula of Switch,
    GShard, ST-MoE, V-MoE, fairseq and Megatron-Core is one of these.
  }];
  let parameters = (ins "::mlir::FloatAttr":$factor,
                        DefaultValuedParameter<"CapacityRounding", "CapacityRounding::Ceil">:$round,
                        OptionalParameter<"::mlir::FloatAttr">:$times,
                        DefaultValuedParameter<"int64_t", "1">:$min,
                        DefaultValuedParameter<"int64_t", "1">:$multiple,
                        DefaultValuedParameter<"int64_t", "0">:$extra);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// The factor behind the rounding, 1 where none is given.
    double getTimesValue() { return getTimes() ? getTimes().getValueAsDouble() : 1.0; }
    /// Rows of one of |experts| for |tokens| tokens.
    int64_t rows(int64_t tokens, int64_t experts);
  }];
}

def Moe_GroupScoreAttr : EnumAttr<Moe_Dialect, Moe_GroupScores, "group_score">;

#endif
