// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Dense mixtures: of tokens into slots, and of the parameters of experts.
#ifndef MOE_DIALECT_MOE_MOEMIXOPS_TD
#define MOE_DIALECT_MOE_MOEMIXOPS_TD

include "dialect/moe/MoeBase.td"

def Moe_MixOp : Moe_CoreOp<"mix", [Pure, Nn_Differentiable]> {
  let summary = "weighted sums of the tokens of each sequence";
  let description = [{
    `y[b, n] = Σ_t a[t, n]·x[t]` over the tokens of sequence b, ascending: the
    slots of Soft MoE (Puigcerver et al. 2023) or of a group of a mixture of
    tokens (2023).

    (C1) `a` is `[T, N]` and `x` is `[T, D]`. (C2) `cu_seqlens` is `[B+1]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$a, RankedTensorOf<[F32, F64]>:$x, Nn_Ints:$cu_seqlens);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$a `,` $x `seqs` `(` $cu_seqlens `)` attr-dict `:` type($a) `,` type($x) `,` type($cu_seqlens)";
}

def Moe_UnmixOp : Moe_CoreOp<"unmix", [Pure, Nn_Differentiable]> {
  let summary = "weighted sums of the slots of a sequence for each of its tokens";
  let description = [{
    `y[t] = Σ_n a[t, n]·s[b, n]`, ascending n, where token t is of sequence b.

    (C1) `a` is `[T, N]` and `s` is `[B, N, D]`. (C2) `cu_seqlens` is `[B+1]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$a, RankedTensorOf<[F32, F64]>:$s, Nn_Ints:$cu_seqlens);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$a `,` $s `seqs` `(` $cu_seqlens `)` attr-dict `:` type($a) `,` type($s) `,` type($cu_seqlens)";
}

def Moe_MixDotOp : Moe_CoreOp<"mix_dot", [Pure, Nn_Differentiable]> {
  let summary = "products of each token with the slots of its sequence";
  let description = [{
    `y[t, n] = <x[t], s[b, n]>` where token t is of sequence b: the gradient of
    the weights of `moe.mix` and `moe.unmix`.

    (C1) `x` is `[T, D]` and `s` is `[B, N, D]`. (C2) `cu_seqlens` is `[B+1]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$x, RankedTensorOf<[F32, F64]>:$s, Nn_Ints:$cu_seqlens);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$x `,` $s `seqs` `(` $cu_seqlens `)` attr-dict `:` type($x) `,` type($s) `,` type($cu_seqlens)";
}

def Moe_MergeParamsOp : Moe_CoreOp<"merge_params", [Pure, Nn_Differentiable]> {
  let summary = "weighted sums of the parameters of experts";
  let description = [{
    `y[b] = Σ_e w[b, e]·param[e]`, ascending e: the merged expert of an example
    or segment (SMEAR, 2023; Lory, 2024), for `nn.segment_linear`.

    (C1) `w` is `[B, E]` and `param` is `[E, …]` with the same E.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$w, Nn_Weight:$param);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$w `,` $param attr-dict `:` type($w) `,` type($param)";
}

def Moe_MergeParamsGradOp : Moe_CoreOp<"merge_params_grad", [Pure]> {
  let summary = "gradients of moe.merge_params";
  let description = [{
    `dw[b, e] = <dy[b], param[e]>` and `dparam[e] = Σ_b w[b, e]·dy[b]`,
    ascending b.

    (C1) `w` is `[B, E]`, `param` is `[E, …]` with the same E.
    (C2) `dy` is `[B, …]`, like `param` behind the first dimension.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$w, Nn_Weight:$param, RankedTensorOf<[F32, F64]>:$dy);
  let results = (outs RankedTensorOf<[F32, F64]>:$dw, Nn_WeightGrad:$dparam);
  let assemblyFormat = "$w `,` $param `,` $dy attr-dict `:` type($w) `,` type($param) `,` type($dy)";
}

#endif
