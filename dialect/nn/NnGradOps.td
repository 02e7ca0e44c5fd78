// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Core operations that gradients need and forward programs do not have. The
// gradient of a weight is f32 (f64 where all is f64), whatever the weight is
// stored as; sums over tokens run in ascending order.
#ifndef MOE_DIALECT_NN_NNGRADOPS_TD
#define MOE_DIALECT_NN_NNGRADOPS_TD

include "dialect/nn/NnBase.td"

def Nn_LinearDxOp : Nn_CoreOp<"linear_dx", [Pure, Nn_RowWise]> {
  let summary = "gradient of nn.linear with respect to its rows";
  let description = [{
    `dx[t, k] = Σ_n dy[t, n]·w[n, k]`, a chain of fused multiply-adds over
    ascending n from 0. The element type is that of `dy`.

    (C1) `dy` is `[T, N]`, `w` is `[N, K]` with the same N.
  }];
  let arguments = (ins Nn_Activation:$dy, Nn_Weight:$w);
  let results = (outs Nn_Activation:$dx);
  let assemblyFormat = "$dy `,` $w attr-dict `:` type($dy) `,` type($w)";
}

def Nn_LinearDwOp : Nn_CoreOp<"linear_dw", [Pure]> {
  let summary = "gradient of nn.linear with respect to its weight";
  let description = [{
    `dw[n, k] = Σ_t dy[t, n]·x[t, k]`, a chain of fused multiply-adds over
    ascending t from 0.

    (C1) `dy` is `[T, N]`, `x` is `[T, K]` with the same T.
  }];
  let arguments = (ins Nn_Activation:$dy, Nn_Activation:$x);
  let results = (outs Nn_WeightGrad:$dw);
  let assemblyFormat = "$dy `,` $x attr-dict `:` type($dy) `,` type($x)";
}

def Nn_HeadLinearDxOp : Nn_CoreOp<"head_linear_dx", [Pure, Nn_RowWise]> {
  let summary = "gradient of nn.head_linear with respect to its rows";
  let description = [{
    `dx[t, h, k] = Σ_n dy[t, h, n]·w[h, n, k]`, in the order of `nn.linear_dx`.

    (C1) `dy` is `[T, H, N]`, `w` is `[H, N, K]` with the same H and N.
  }];
  let arguments = (ins Nn_Activation:$dy, Nn_Weight:$w);
  let results = (outs Nn_Activation:$dx);
  let assemblyFormat = "$dy `,` $w attr-dict `:` type($dy) `,` type($w)";
}

def Nn_HeadLinearDwOp : Nn_CoreOp<"head_linear_dw", [Pure]> {
  let summary = "gradient of nn.head_linear with respect to its weight";
  let description = [{
    `dw[h, n, k] = Σ_t dy[t, h, n]·x[t, h, k]`, in the order of `nn.linear_dw`.

    (C1) `dy` is `[T, H, N]`, `x` is `[T, H, K]` with the same T and H.
  }];
  let arguments = (ins Nn_Activation:$dy, Nn_Activation:$x);
  let results = (outs Nn_WeightGrad:$dw);
  let assemblyFormat = "$dy `,` $x attr-dict `:` type($dy) `,` type($x)";
}

def Nn_SegmentLinearDxOp : Nn_CoreOp<"segment_linear_dx", [Pure]> {
  let summary = "gradient of nn.segment_linear with respect to its rows";
  let description = [{
    `dx[t, k] = Σ_n dy[t, n]·w[b, n, k]` where token t is of sequence b, in the
    order of `nn.linear_dx`.

    (C1) `dy` is `[T, N]`, `w` is `[B, N, K]` with the same N.
    (C2) `cu_seqlens` is `[B+1]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$dy, RankedTensorOf<[F32, F64]>:$w, Nn_Ints:$cu_seqlens);
  let results = (outs RankedTensorOf<[F32, F64]>:$dx);
  let assemblyFormat = "$dy `,` $w `seqs` `(` $cu_seqlens `)` attr-dict `:` type($dy) `,` type($w) `,` type($cu_seqlens)";
}

def Nn_SegmentLinearDwOp : Nn_CoreOp<"segment_linear_dw", [Pure]> {
  let summary = "gradient of nn.segment_linear with respect to its weights";
  let description = [{
    `dw[b, n, k] = Σ_t dy[t, n]·x[t, k]` over the tokens t of sequence b, in the
    order of `nn.linear_dw`.

    (C1) `dy` is `[T, N]`, `x` is `[T, K]` with the same T.
    (C2) `cu_seqlens` is `[B+1]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$dy, RankedTensorOf<[F32, F64]>:$x, Nn_Ints:$cu_seqlens);
  let results = (outs RankedTensorOf<[F32, F64]>:$dw);
  let assemblyFormat = "$dy `,` $x `seqs` `(` $cu_seqlens `)` attr-dict `:` type($dy) `,` type($x) `,` type($cu_seqlens)";
}

def Nn_RmsNormGradOp : Nn_CoreOp<"rms_norm_grad", [Pure]> {
  let summary = "gradients of nn.rms_norm";
  let description = [{
    With `s = rsqrt(mean(x²) + eps)`, `h = x·s` and `g = dy·w`:
    `dx = s·(g − h·mean(g·h))` and `dw = Σ dy·h` over all rows.

    (C1) `w` is `[D]`, D the last dimension of `x`, and `dy` is like `x`.
    (C2) `eps` is not negative.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Weight:$w, Nn_Activation:$dy, F64Attr:$eps);
  let results = (outs Nn_Activation:$dx, Nn_WeightGrad:$dw);
  let assemblyFormat = "$x `,` $w `,` $dy `eps` `(` $eps `)` attr-dict `:` type($x) `,` type($w) `,` type($dy)";
}

def Nn_LayerNormGradOp : Nn_CoreOp<"layer_norm_grad", [Pure]> {
  let summary = "gradients of nn.layer_norm";
  let description = [{
    With `s = rsqrt(var + eps)`, `h = (x − mean)·s` and `g = dy·w`:
    `dx = s·(g − mean(g) − h·mean(g·h))`, `dw = Σ dy·h` and `dbias = Σ dy` over
    all rows.

    (C1) `w` is `[D]`, D the last dimension of `x`, and `dy` is like `x`.
    (C2) `eps` is not negative.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Weight:$w, Nn_Activation:$dy, F64Attr:$eps);
  let results = (outs Nn_Activation:$dx, Nn_WeightGrad:$dw, Nn_WeightGrad:$dbias);
  let assemblyFormat = "$x `,` $w `,` $dy `eps` `(` $eps `)` attr-dict `:` type($x) `,` type($w) `,` type($dy)";
}

def Nn_ActivateGradOp : Nn_CoreOp<"activate_grad", [Pure, Nn_RowWise]> {
  let summary = "gradient of nn.activate";
  let description = [{
    `dx = dy·act'(x)`; the derivative of relu at 0 is 0.

    (C1) `dy` is like `x`.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Activation:$dy, Nn_ActivationAttr:$act);
  let results = (outs Nn_Activation:$dx);
  let assemblyFormat = "$act $x `,` $dy attr-dict `:` type($x) `,` type($dy)";
}

def Nn_GluGradOp : Nn_CoreOp<"glu_grad", [Pure, Nn_RowWise]> {
  let summary = "gradient of nn.glu";
  let description = [{
    `dx[:, :I] = dy·x[:, I:]·act'(x[:, :I])` and `dx[:, I:] = dy·act(x[:, :I])`;
    with `limit` and `shift` of `nn.glu`, values outside their limits get none.

    (C1) `x` is `[R, 2I]`, `dy` is `[R, I]` of the same element type.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Activation:$dy, Nn_ActivationAttr:$act,
                       DefaultValuedAttr<F64Attr, "0.0">:$limit, DefaultValuedAttr<F64Attr, "0.0">:$shift);
  let results = (outs Nn_Activation:$dx);
  let assemblyFormat = "$act $x `,` $dy attr-dict `:` type($x) `,` type($dy)";
}

def Nn_ReduceGradOp : Nn_CoreOp<"reduce_grad", [Pure]> {
  let summary = "gradient of nn.reduce";
  let description = [{
    `dy` at every element for `sum`, divided by their number for `mean`; at the
    first element that equals `y` for `max` and `min`.

    (C1) `0 <= axis < rank`. (C2) `y` and `dy` are like `x` without `axis`.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Activation:$y, Nn_Activation:$dy, Nn_ReduceKindAttr:$kind, I64Attr:$axis);
  let results = (outs Nn_Activation:$dx);
  let assemblyFormat = "$kind $x `,` $y `,` $dy `axis` `(` $axis `)` attr-dict `:` type($x) `,` type($y) `,` type($dy)";
}

def Nn_AttendGradOp : Nn_Op<"attend_grad", [AttrSizedOperandSegments, Pure]> {
  let summary = "gradients of nn.attend without a cache";
  let description = [{
    `dq`, `dk`, then `dv` where there is `v`, then `dsinks` where there are
    `sinks`. Scores and probabilities are computed again from `q` and `k`. In
    latent form (`v` and `dv` absent) the gradient of the values is part of `dk`.

    (C1) `q` is `[T, H, dk]`, `k` is `[T, KV, dk]` with KV dividing H.
    (C2) `v` is `[T, KV, dv]`; absent, KV is 1 and `0 < value_dims <= dk`.
    (C3) `dy` is `[T, H, dv]`. (C4) `dq`, `dk` and `dv` are like `q`, `k`, `v`,
    `dsinks` is `[H]`. (C5) `window` and `cap` are not negative. (C6) `sinks` is
    `[H]`.
  }];
  let arguments = (ins Nn_Activation:$q, Nn_Activation:$k, Optional<Nn_Activation>:$v, Nn_Ints:$cu_seqlens,
                       Nn_Activation:$dy, Optional<Nn_Weight>:$sinks, F64Attr:$scale,
                       DefaultValuedAttr<I64Attr, "0">:$window, DefaultValuedAttr<I64Attr, "0">:$value_dims,
                       UnitAttr:$tiled, DefaultValuedAttr<F64Attr, "0.0">:$cap);
  let results = (outs Nn_Activation:$dq, Nn_Activation:$dk, Variadic<Nn_Activation>:$more);
  let assemblyFormat = [{
    $q `,` $k (`,` $v^)? `seqs` `(` $cu_seqlens `)` `dy` `(` $dy `)` (`sinks` `(` $sinks^ `:` type($sinks) `)`)? attr-dict
    `:` type($q) `,` type($k) (`,` type($v)^)? `seqs` type($cu_seqlens) `,` type($dy) `->` type(results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Null without `v`.
    ::mlir::Value getDv() { return getV() ? getMore()[0] : ::mlir::Value(); }
    /// Null without `sinks`.
    ::mlir::Value getDsinks() { return getSinks() ? getMore()[getV() ? 1 : 0] : ::mlir::Value(); }
  }];
}

def Nn_EmbeddingGradOp : Nn_Op<"embedding_grad", [Pure]> {
  let summary = "gradient of nn.embedding with respect to its table";
  let description = [{
    `dtable[v] = Σ_{t: ids[t] = v} dy[t]` in ascending t.

    (C1) `ids` is `[T]`, `dy` is `[T, D]`. (C2) `dtable` is `[V, D]`. (C3) a
    dynamic V is the number of rows of `like`, which is given then alone.
  }];
  let arguments = (ins Nn_Ints:$ids, Nn_Activation:$dy, Optional<AnyRankedTensor>:$like);
  let results = (outs Nn_WeightGrad:$dtable);
  let assemblyFormat = [{
    $ids `,` $dy (`like` `(` $like^ `:` type($like) `)`)? attr-dict `:` type($ids) `,` type($dy) `->` type($dtable)
  }];
  let hasVerifier = 1;
}

def Nn_LastRowsGradOp : Nn_Op<"last_rows_grad", [Pure]> {
  let summary = "gradient of nn.last_rows";
  let description = [{
    `dx[cu_seqlens[b+1] − 1] = dy[b]`, added up in ascending b where rows
    coincide; 0 elsewhere. `dx` has as many rows as `like`.

    (C1) `dy` is `[B, D]`, `cu_seqlens` is `[B+1]`, `dx` is `[T, D]`.
  }];
  let arguments = (ins Nn_Activation:$dy, Nn_Ints:$cu_seqlens, AnyRankedTensor:$like);
  let results = (outs Nn_Activation:$dx);
  let assemblyFormat = "$dy `,` $cu_seqlens `like` $like attr-dict `:` type($dy) `,` type($cu_seqlens) `,` type($like) `->` type($dx)";
  let hasVerifier = 1;
}

def Nn_JoinLayersOp : Nn_CoreOp<"join_layers", [Pure]> {
  let summary = "joins stacked values of several ranges of layers";
  let description = [{
    Tensors of `[L_i, …]` become one of `[Σ L_i, …]`, in the order given.

    (C1) at least one operand, each with a static axis 0.
    (C2) operands agree in element type and in all dimensions but the first.
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$xs);
  let results = (outs AnyRankedTensor:$y);
  let assemblyFormat = "$xs attr-dict `:` type($xs)";
  let hasFolder = 1;
}

#endif
