// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Core operations that gradients need and forward programs do not have. The
// gradient of a parameter is f32 (f64 where all is f64), and 0 for an expert
// without rows.
#ifndef MOE_DIALECT_MOE_MOEGRADOPS_TD
#define MOE_DIALECT_MOE_MOEGRADOPS_TD

include "dialect/moe/MoeBase.td"

def Moe_DispatchGradOp : Moe_Op<"dispatch_grad", [Pure]> {
  let summary = "gradient of moe.dispatch: adds up the rows of each token";
  let description = [{
    `dx[t] = Σ_k drows[slot2row[t, k]]`, ascending k; a token without rows gets
    0.

    (C1) `drows` is `[R, D]`, `dx` is `[T, D]` of the same element type.
  }];
  let arguments = (ins Nn_Activation:$drows, Moe_PlanType:$plan);
  let results = (outs Nn_Activation:$dx);
  let assemblyFormat = "$drows `,` $plan attr-dict `:` type($drows) `,` type($plan) `->` type($dx)";
  let hasVerifier = 1;
}

def Moe_CombineGradOp : Moe_CoreOp<"combine_grad", [Pure]> {
  let summary = "gradients of moe.combine";
  let description = [{
    `drows[slot2row[t, k]] = w[t, k]·dy[t]` and
    `dw[t, k] = <dy[t], rows[slot2row[t, k]]>`, 0 for dropped pairs.

    (C1) `rows` is `[R, D]`, `dy` is `[T, D]`.
    (C2) `w` is `[T, K]` with the K of the plan.
  }];
  let arguments = (ins Nn_Activation:$rows, Moe_PlanType:$plan, RankedTensorOf<[F32, F64]>:$w, Nn_Activation:$dy);
  let results = (outs Nn_Activation:$drows, RankedTensorOf<[F32, F64]>:$dw);
  let assemblyFormat = "$rows `,` $plan `,` $w `,` $dy attr-dict `:` type($rows) `,` type($plan) `,` type($w) `,` type($dy)";
}

def Moe_WeighOp : Moe_CoreOp<"weigh", [Pure]> {
  let summary = "multiplies the rows of experts by their weights";
  let description = [{
    `y[r] = w[row2slot[r]]·rows[r]`: `moe.combine` is the sum of the weighed rows
    of each token.

    (C1) `rows` is `[R, N]`. (C2) `w` is `[T, K]` with the K of the plan.
  }];
  let arguments = (ins Nn_Activation:$rows, Moe_PlanType:$plan, RankedTensorOf<[F32, F64]>:$w);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$rows `,` $plan `,` $w attr-dict `:` type($rows) `,` type($plan) `,` type($w)";
}

def Moe_WeighGradOp : Moe_CoreOp<"weigh_grad", [Pure]> {
  let summary = "gradients of moe.weigh";
  let description = [{
    `drows[r] = w[row2slot[r]]·dy[r]` and
    `dw[t, k] = <dy[r], rows[r]>, r = slot2row[t, k]`, 0 for dropped pairs.

    A down projection commutes with weights: with `dy[r]` the gradient of a
    token times the projection of its expert, `dw` is that of `moe.combine`
    behind the projection, and no row of the width of the model is kept.

    (C1) `rows` is `[R, N]`, `dy` is like `rows`. (C2) `w` is `[T, K]` with the K
    of the plan.
  }];
  let arguments = (ins Nn_Activation:$rows, Moe_PlanType:$plan, RankedTensorOf<[F32, F64]>:$w, Nn_Activation:$dy);
  let results = (outs Nn_Activation:$drows, RankedTensorOf<[F32, F64]>:$dw);
  let assemblyFormat = "$rows `,` $plan `,` $w `,` $dy attr-dict `:` type($rows) `,` type($plan) `,` type($w) `,` type($dy)";
}

def Moe_GroupedMatmulDxOp : Moe_CoreOp<"grouped_matmul_dx", [Pure]> {
  let summary = "gradient of moe.grouped_matmul with respect to its rows";
  let description = [{
    `dx[r, k] = Σ_n dy[r, n]·w[e(r), n, k]`, in the order of `nn.linear_dx`. For
    gathered rows `moe.dispatch_grad` adds them up.

    (C1) `dy` is `[R, N]`, `w` is `[E, N, K]` with the E of the plan.
  }];
  let arguments = (ins Nn_Activation:$dy, Moe_PlanType:$plan, Nn_Weight:$w);
  let results = (outs Nn_Activation:$dx);
  let assemblyFormat = "$dy `,` $plan `,` $w attr-dict `:` type($dy) `,` type($plan) `,` type($w)";
}

def Moe_GroupedMatmulDwOp : Moe_CoreOp<"grouped_matmul_dw", [Pure]> {
  let summary = "gradient of moe.grouped_matmul with respect to its weight";
  let description = [{
    `dw[e, n, k] = Σ_{r: e(r) = e} dy[r, n]·x[r, k]`, in the order of
    `nn.linear_dw`. With `gather` row r of `x` is token `row2slot[r] / K`.

    (C1) `dy` is `[R, N]`, `x` is `[R, K]` (`[T, K]` with `gather`).
  }];
  let arguments = (ins Nn_Activation:$dy, Moe_PlanType:$plan, Nn_Activation:$x, UnitAttr:$gather);
  let results = (outs Nn_WeightGrad:$dw);
  let assemblyFormat = "(`gather` $gather^)? $dy `,` $plan `,` $x attr-dict `:` type($dy) `,` type($plan) `,` type($x)";
}

def Moe_GroupedSumOp : Moe_CoreOp<"grouped_sum", [Pure]> {
  let summary = "sum of the rows of each expert";
  let description = [{
    `y[e] = Σ_{r: e(r) = e} rows[r]` in ascending r: the gradient of a vector
    that stands under all rows of its expert.

    (C1) `rows` is `[R, N]`.
  }];
  let arguments = (ins Nn_Activation:$rows, Moe_PlanType:$plan);
  let results = (outs Nn_WeightGrad:$y);
  let assemblyFormat = "$rows `,` $plan attr-dict `:` type($rows) `,` type($plan)";
}

def Moe_GroupMaskGradOp : Moe_CoreOp<"group_mask_grad", [Pure, Nn_RowWise]> {
  let summary = "gradient of moe.group_mask";
  let description = [{
    `dy` where the group of `s` was kept, else 0; the choice itself carries no
    gradient.

    (C1) `s` is `[T, E]` with G dividing E, and `dy` is like `s`.
    (C2) `1 <= keep <= G`. (C3) `1 <= top <= E/G`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$s, RankedTensorOf<[F32, F64]>:$dy, I64Attr:$groups, I64Attr:$keep,
                       Moe_GroupScoreAttr:$score, DefaultValuedAttr<I64Attr, "1">:$top);
  let results = (outs RankedTensorOf<[F32, F64]>:$ds);
  let assemblyFormat = "$s `,` $dy `groups` `(` $groups `)` `keep` `(` $keep `)` `score` `(` $score `)` attr-dict `:` type($s) `,` type($dy)";
}

#endif
