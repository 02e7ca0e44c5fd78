// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Values of whole sequences: reductions over their tokens, and the way back.
#ifndef MOE_DIALECT_NN_NNSEQUENCEOPS_TD
#define MOE_DIALECT_NN_NNSEQUENCEOPS_TD

include "dialect/nn/NnBase.td"

def Nn_FillOp : Nn_Op<"fill", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "one number in every element";
  let description = [{
    `y[..] = value`, with the rows of `like`.

    (C1) a dynamic dimension of `y` is axis 0, where `like` has as many rows.
    (C2) an integer `y` takes an integer value.

    ```mlir
    %half = nn.fill 0.5 like %p : tensor<?x8xf32> -> tensor<?x8xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$like, AnyAttrOf<[F64Attr, I64Attr]>:$value);
  let results = (outs RankedTensorOf<[F32, F64, I32]>:$y);
  let assemblyFormat = "$value `like` $like attr-dict `:` type($like) `->` type($y)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The value as a number, whatever the attribute that holds it.
    double getNumber();
  }];
}

def Nn_SegmentReduceOp : Nn_CoreOp<"segment_reduce", [Pure, Nn_Differentiable]> {
  let summary = "reduces the tokens of each sequence";
  let description = [{
    `y[b] = reduce(x[cu_seqlens[b]], …, x[cu_seqlens[b+1] − 1])` in ascending
    order, element by element. An empty sequence gives 0 for `sum` and `mean`,
    the identity for `max` and `min`. Maxima and minima have no gradient.

    (C1) `x` is `[T, …]`. (C2) `cu_seqlens` is `[B+1]`.

    ```mlir
    %mean = nn.segment_reduce mean %x seqs(%cu) : tensor<?x128xf32>, tensor<?xi32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$x, Nn_Ints:$cu_seqlens, Nn_ReduceKindAttr:$kind);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$kind $x `seqs` `(` $cu_seqlens `)` attr-dict `:` type($x) `,` type($cu_seqlens)";
}

def Nn_SegmentBroadcastOp : Nn_CoreOp<"segment_broadcast", [Pure, Nn_Differentiable]> {
  let summary = "gives the value of a sequence to each of its tokens";
  let description = [{
    `y[t] = x[b]` where token t is of sequence b; `like` has the tokens.

    (C1) `x` is `[B, …]`, `like` is `[T, …]`. (C2) `cu_seqlens` is `[B+1]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64, I32]>:$x, AnyRankedTensor:$like, Nn_Ints:$cu_seqlens);
  let results = (outs RankedTensorOf<[F32, F64, I32]>:$y);
  let assemblyFormat = "$x `like` $like `seqs` `(` $cu_seqlens `)` attr-dict `:` type($x) `,` type($like) `,` type($cu_seqlens)";
}

def Nn_SegmentSoftmaxOp : Nn_CoreOp<"segment_softmax", [Pure, Nn_Differentiable]> {
  let summary = "softmax over the tokens of each sequence";
  let description = [{
    `y[t, e] = exp(x[t, e] − m) / Σ_t' exp(x[t', e] − m)` over the tokens t' of
    the sequence of t, m their maximum.

    (C1) `x` is `[T, …]`. (C2) `cu_seqlens` is `[B+1]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$x, Nn_Ints:$cu_seqlens);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$x `seqs` `(` $cu_seqlens `)` attr-dict `:` type($x) `,` type($cu_seqlens)";
}

def Nn_SegmentLinearOp : Nn_CoreOp<"segment_linear", [Pure, Nn_Differentiable]> {
  let summary = "the tokens of each sequence times its own weight";
  let description = [{
    `y[t, n] = Σ_k x[t, k]·w[b, n, k]` where token t is of sequence b, in the
    order of `nn.linear`: the feed-forward of merged experts (SMEAR, 2023).

    (C1) `x` is `[T, K]`, `w` is `[B, N, K]` with the same K.
    (C2) `cu_seqlens` is `[B+1]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$x, RankedTensorOf<[F32, F64]>:$w, Nn_Ints:$cu_seqlens);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$x `,` $w `seqs` `(` $cu_seqlens `)` attr-dict `:` type($x) `,` type($w) `,` type($cu_seqlens)";
}

#endif
