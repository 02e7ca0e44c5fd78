// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Losses of routers, sugar over reductions. `--moe-expand-losses` writes them out.
#ifndef MOE_DIALECT_MOE_MOELOSSOPS_TD
#define MOE_DIALECT_MOE_MOELOSSOPS_TD

include "dialect/moe/MoeBase.td"

def Moe_BalanceLossOp : Moe_Op<"balance_loss", [Pure]> {
  let summary = "loss that spreads choices evenly";
  let description = [{
    With c_e the choices of expert e among `idx` (constants for the gradient),
    P_e the mean of `p[:, e]` over the T tokens:

    - `expert`: `coef·Σ_e f_e·P_e`, `f_e = E·c_e/T` (Switch, GShard: idx are
      first choices; transformers: all K); with `per_choice` `f_e = E·c_e/(K·T)`
      (DeepSeekMoE, Megatron-Core).
    - `device`: `coef·Σ_d f'_d·P'_d` over `devices` contiguous groups of
      experts, f'_d the mean of their f_e, P'_d the sum of their P_e
      (DeepSeekMoE, 2024).
    - `communication`: `f''_d = devices/(limit·T)` times the tokens with a choice
      on device d, P'_d as above (DeepSeek-V2, 2024; each token reaches at most
      `limit` devices).

    With `seqs` the loss of each sequence, then their mean.

    (C1) `p` is `[T, E]` with static E, `idx` is `[T, K]`. (C2) `devices`
    divides E and `1 <= limit <= devices`. (C3) `cu_seqlens` is `[B+1]`.
    (C4) the result is a scalar of the element type of `p`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$p, Nn_Ints:$idx, Optional<Nn_Ints>:$cu_seqlens,
                       Moe_BalanceKindAttr:$kind, F64Attr:$coef, DefaultValuedAttr<I64Attr, "1">:$devices,
                       DefaultValuedAttr<I64Attr, "1">:$limit, UnitAttr:$per_choice);
  let results = (outs RankedTensorOf<[F32, F64]>:$loss);
  let assemblyFormat = [{
    $kind $p `,` $idx `coef` `(` $coef `)` (`per_choice` $per_choice^)? (`seqs` `(` $cu_seqlens^ `:` type($cu_seqlens) `)`)?
    attr-dict `:` type($p) `,` type($idx) `->` type($loss)
  }];
  let hasVerifier = 1;
}

def Moe_ZLossOp : Moe_Op<"z_loss", [Pure]> {
  let summary = "loss that keeps logits small";
  let description = [{
    `coef·mean_t (log Σ_e exp z[t, e])²` (ST-MoE, 2022).

    (C1) `z` is `[T, E]`. (C2) the result is a scalar of the element type of `z`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$z, F64Attr:$coef);
  let results = (outs RankedTensorOf<[F32, F64]>:$loss);
  let assemblyFormat = "$z `coef` `(` $coef `)` attr-dict `:` type($z) `->` type($loss)";
  let hasVerifier = 1;
}

def Moe_VariationLossOp : Moe_Op<"variation_loss", [Pure]> {
  let summary = "squared coefficient of variation over experts";
  let description = [{
    `coef·var(v)/(mean(v)² + eps)` with `v_e = Σ_t x[t, e]`: importance and load
    of noisy top-k (Shazeer et al. 2017). `unbiased` divides the variance by
    E − 1 instead of E.

    (C1) `x` is `[T, E]` with static E, at least 2 with `unbiased`. (C2) the
    result is a scalar of the element type of `x`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$x, F64Attr:$coef, DefaultValuedAttr<F64Attr, "0.0">:$eps, UnitAttr:$unbiased);
  let results = (outs RankedTensorOf<[F32, F64]>:$loss);
  let assemblyFormat = "$x `coef` `(` $coef `)` (`unbiased` $unbiased^)? attr-dict `:` type($x) `->` type($loss)";
  let hasVerifier = 1;
}

#endif
