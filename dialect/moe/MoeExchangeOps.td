// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rows on their way between the ranks that hold the experts (local phase).
#ifndef MOE_DIALECT_MOE_MOEEXCHANGEOPS_TD
#define MOE_DIALECT_MOE_MOEEXCHANGEOPS_TD

include "dialect/moe/MoeBase.td"

// The order of exchanges is the same on every rank: they read and write the
// channel, so that none is moved across another, merged or dropped.
def Moe_Channel : MemoryEffects<[MemRead, MemWrite]>;

def Moe_AllToAllVOp : Moe_CoreOp<"all_to_all_v", [Moe_Channel]> {
  let summary = "sends the rows of each expert to the rank that holds it";
  let description = [{
    P ranks along a mesh axis hold E/P experts each, in order: rank p holds
    `p·E/P … (p+1)·E/P − 1`. Every rank calls with its own rows, grouped by its
    own plan over all E experts (GShard, 2020; ragged as in MegaBlocks, 2022).
    Rows arrive ordered by sending rank, then expert, then row of the sender:
    those of rank s are `from[s] … from[s+1]`. The new plan groups them by
    local expert, the arrived rows being its tokens (K = 1). No padding, no
    capacity; a rank may send or receive nothing. A rank receives at most
    P·Tmax·min(K, E/P) rows, Tmax being the most tokens of a rank.

    (C1) `rows` is `[R, D]` with static D. (C2) `ranks >= 1` divides the E of
    the plan.

    ```mlir
    %in, %local, %from = moe.all_to_all_v %rows, %plan ranks(2) axis("ep") : tensor<?x128xf32>, !moe.plan<8, 2>
    ```
  }];
  let arguments = (ins Nn_Activation:$rows, Moe_PlanType:$plan, I64Attr:$ranks, StrAttr:$axis);
  let results = (outs Nn_Activation:$arrived, Moe_PlanType:$local, Nn_Ints:$from);
  let assemblyFormat = "$rows `,` $plan `ranks` `(` $ranks `)` `axis` `(` $axis `)` attr-dict `:` type($rows) `,` type($plan)";
}

def Moe_AllToAllVBackOp : Moe_CoreOp<"all_to_all_v_back", [Moe_Channel]> {
  let summary = "returns rows to the ranks they came from";
  let description = [{
    The way back of `moe.all_to_all_v` for one result row per arrived row: row
    r of `y` belongs to row r of `local`, which with `from` came from that
    operation; `plan` is the plan of the sender, and row r of the result
    belongs to row r of it.

    (C1) `y` is `[R', N]` with static N. (C2) `from` is `[P + 1]` with P
    dividing the E of the plan. (C3) `local` has E/P experts and K = 1.

    ```mlir
    %rows = moe.all_to_all_v_back %y, %local, %from, %plan axis("ep")
        : tensor<?x128xf32>, !moe.plan<4, 1>, tensor<3xi32>, !moe.plan<8, 2>
    ```
  }];
  let arguments = (ins Nn_Activation:$y, Moe_PlanType:$local, Nn_Ints:$from, Moe_PlanType:$plan, StrAttr:$axis);
  let results = (outs Nn_Activation:$rows);
  let assemblyFormat = "$y `,` $local `,` $from `,` $plan `axis` `(` $axis `)` attr-dict `:` type($y) `,` type($local) `,` type($from) `,` type($plan)";
}

#endif
