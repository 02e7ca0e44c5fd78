// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Core operations of the nn dialect: what remains at the step phase.
#ifndef MOE_DIALECT_NN_NNOPS_TD
#define MOE_DIALECT_NN_NNOPS_TD

include "dialect/nn/NnBase.td"

def Nn_EmbeddingOp : Nn_Op<"embedding", [Pure, Nn_Differentiable]> {
  let summary = "gathers rows of a table by token id";
  let description = [{
    `y[t] = table[ids[t]]`, rounded to the element type of `y`. Ids are in
    `[0, V)`; the runtime refuses others before a step. A table of integers
    gives integers: the experts of a token in a hash layer (Roller et al. 2021).

    (C1) `ids` is `[T]`, `table` is `[V, D]`. (C2) `y` is `[T, D]`. (C3) a table
    and its result hold integers together.

    ```mlir
    %x = nn.embedding %ids, %table : tensor<?xi32>, tensor<256x128xbf16> -> tensor<?x128xf32>
    ```
  }];
  let arguments = (ins Nn_Ints:$ids, RankedTensorOf<[F32, BF16, F16, F64, I32]>:$table);
  let results = (outs RankedTensorOf<[F32, BF16, F64, I32]>:$y);
  let assemblyFormat = "$ids `,` $table attr-dict `:` type($ids) `,` type($table) `->` type($y)";
  let hasVerifier = 1;
}

def Nn_LinearOp : Nn_CoreOp<"linear", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "rows times the transpose of a weight";
  let description = [{
    `y[t, n] = Σ_k x[t, k]·w[n, k] (+ bias[n])`. One accumulation order, the
    same for any number of rows: for f32 `x` a chain of fused multiply-adds
    over ascending k from 0; for bf16 `x`, per 32 values of k, chains over even
    and odd k whose sum is added to the total. The element type of `y` is that
    of `x`.

    (C1) `x` is `[T, K]`, `w` is `[N, K]` with the same K.
    (C2) `bias` is `[N]`.

    ```mlir
    %y = nn.linear %x, %w : tensor<?x128xf32>, tensor<64x128xf32>
    ```
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Weight:$w, Optional<Nn_Weight>:$bias);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$x `,` $w (`bias` `(` $bias^ `:` type($bias) `)`)? attr-dict `:` type($x) `,` type($w)";
}

def Nn_HeadLinearOp : Nn_CoreOp<"head_linear", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "a linear map of its own for each head";
  let description = [{
    `y[t, h, n] = Σ_k x[t, h, k]·w[h, n, k]`, in the order of `nn.linear`.
    Latent attention absorbs its key and value expansions with it.

    (C1) `x` is `[T, H, K]`, `w` is `[H, N, K]` with the same H and K.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Weight:$w);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$x `,` $w attr-dict `:` type($x) `,` type($w)";
}

def Nn_RmsNormOp : Nn_CoreOp<"rms_norm", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "root-mean-square norm over the last axis";
  let description = [{
    `y = round(x·rsqrt(mean(x²) + eps))·w` (Zhang and Sennrich 2019); the
    normalised value is rounded to the element type before the weight is
    applied, as the released models do.

    (C1) `w` is `[D]`, D the last dimension of `x`. (C2) `eps` is not negative.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Weight:$w, F64Attr:$eps);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$x `,` $w `eps` `(` $eps `)` attr-dict `:` type($x) `,` type($w)";
}

def Nn_LayerNormOp : Nn_CoreOp<"layer_norm", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "layer norm over the last axis";
  let description = [{
    `y = round((x − mean)·rsqrt(var + eps))·w (+ bias)` with the population
    variance (Ba et al. 2016).

    (C1) `w` and `bias` are `[D]`, D the last dimension of `x`.
    (C2) `eps` is not negative.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Weight:$w, Optional<Nn_Weight>:$bias, F64Attr:$eps);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$x `,` $w (`bias` `(` $bias^ `:` type($bias) `)`)? `eps` `(` $eps `)` attr-dict `:` type($x) `,` type($w)";
}

def Nn_RopeTableOp : Nn_CoreOp<"rope_table", [Pure, Nn_RowWise]> {
  let summary = "cosines and sines of rotary positions";
  let description = [{
    `y[t] = (cos(a)·scale, sin(a)·scale)` with `a[j] = positions[t]·inv_freq[j]`
    rounded to f32; the first half of a row are cosines, the second sines
    (Su et al. 2021). `inv_freq` already holds what a rope variant (linear,
    yarn, llama3, …) makes of its base, `scale` its attention factor.

    (C1) `positions` is `[T]`. (C2) `inv_freq` is not empty.
  }];
  let arguments = (ins Nn_Ints:$positions, DenseF32ArrayAttr:$inv_freq, F64Attr:$scale);
  let results = (outs RankedTensorOf<[F32]>:$y);
  let assemblyFormat = "$positions `scale` `(` $scale `)` `inv_freq` `(` custom<Floats>($inv_freq) `)` attr-dict `:` type($positions)";
}

def Nn_RopeOp : Nn_CoreOp<"rope", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "rotates pairs of dimensions of each head";
  let description = [{
    Rotates the dimensions `[start, start + d)` of the last axis by the angles
    of `table`: a pair `(a, b)` becomes `(a·cos − b·sin, b·cos + a·sin)`. Pairs
    are `(j, j + d/2)` for `half` and `(2j, 2j + 1)` for `interleaved`. Other
    dimensions are copied.

    (C1) `x` is `[T, H, D]`, `table` is `[T, d]`. (C2) `start + d <= D`.
  }];
  let arguments = (ins Nn_Activation:$x, RankedTensorOf<[F32]>:$table,
                       Nn_PairingAttr:$pairing, I64Attr:$start);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$pairing $x `,` $table `start` `(` $start `)` attr-dict `:` type($x) `,` type($table)";
}

def Nn_AttendOp : Nn_Op<"attend", [AttrSizedOperandSegments, Nn_Differentiable,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "causal attention inside each sequence";
  let description = [{
    `out[t, h] = Σ_j softmax_j(scale·<q[t, h], k[j, g]>)·v[j, g]`, query head h
    reading key head `g = h / (H / KV)` (grouped-query attention, Ainslie et
    al. 2023). Without a cache the keys of token t are the tokens of its
    sequence in this pack up to t; with a `cache` the keys and values of the
    pack are first written at their positions of layer `layer`, and the keys of
    token t are the cached positions up to its own. `window = w > 0` keeps only
    keys with `0 <= i − j < w`.

    In latent form (`v` absent; DeepSeek-V2, 2024) the value of a key is its
    first `value_dims` elements, and one key head serves all query heads.

    With `sinks [H]` the logit `sinks[h]` joins the softmax of head h, unscaled
    and without a value (gpt-oss, 2025). With `tiled` query head h reads key
    head `g = h mod KV` (JetMoE, 2024). With `cap = c > 0` a scaled score s
    becomes `c·tanh(s/c)` (Gemma 2, Grok-1, 2024).

    Keys are taken in chunks of 64 counted from position 0 of the sequence and
    merged in order, whatever the page length or the threads.

    (C1) `q` is `[T, H, dk]`, `k` is `[T, KV, dk]` with KV dividing H.
    (C2) `v` is `[T, KV, dv]`; absent, KV is 1 and `0 < value_dims <= dk`.
    (C3) `positions` is `[T]`, `cu_seqlens` is `[B+1]`.
    (C4) `cache`, `layer`, `slot` and `block_table` come together, and the
    width of the cache is `KV·dk + KV·dv` (latent: `dk`).
    (C5) `out` is `[T, H, dv]`. (C6) `window` is not negative. (C7) `sinks` is
    `[H]`. (C8) `cap` is not negative.
  }];
  let arguments = (ins Nn_Activation:$q, Nn_Activation:$k, Optional<Nn_Activation>:$v,
                       Nn_Ints:$positions, Nn_Ints:$cu_seqlens,
                       Optional<Nn_CacheType>:$cache, Optional<Index>:$layer,
                       Optional<Nn_Ints>:$slot, Optional<Nn_Ints>:$block_table,
                       Optional<Nn_Weight>:$sinks,
                       F64Attr:$scale, DefaultValuedAttr<I64Attr, "0">:$window,
                       DefaultValuedAttr<I64Attr, "0">:$value_dims, UnitAttr:$tiled,
                       DefaultValuedAttr<F64Attr, "0.0">:$cap);
  let results = (outs Nn_Activation:$out);
  let assemblyFormat = [{
    $q `,` $k (`,` $v^)? `positions` `(` $positions `)` `seqs` `(` $cu_seqlens `)`
    (`cache` `(` $cache^ `[` $layer `]` `,` $slot `,` $block_table `)`)?
    (`sinks` `(` $sinks^ `:` type($sinks) `)`)? attr-dict
    `:` type($q) `,` type($k) (`,` type($v)^)? `seqs` type($positions) `,` type($cu_seqlens)
    (`cache` type($cache)^ `,` type($slot) `,` type($block_table))? `->` type($out)
  }];
  let hasVerifier = 1;
}

def Nn_GluOp : Nn_CoreOp<"glu", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "gated linear unit over two halves";
  let description = [{
    `y = act(x[:, :I])·x[:, I:]` (Shazeer 2020). The activation is rounded to
    the element type of `x` before the product. With `limit = c > 0` the gate is
    at most c and the other half within ±c; `shift` is added to the other half
    after that (gpt-oss, 2025: c = 7, shift 1).

    (C1) `x` is `[R, 2I]`. (C2) `limit` is not negative.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_ActivationAttr:$act,
                       DefaultValuedAttr<F64Attr, "0.0">:$limit, DefaultValuedAttr<F64Attr, "0.0">:$shift);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$act $x attr-dict `:` type($x)";
}

def Nn_ActivateOp : Nn_Op<"activate", [Pure, Nn_RowWise, SameOperandsAndResultType, Nn_Differentiable]> {
  let summary = "an activation, element by element";
  let arguments = (ins Nn_Activation:$x, Nn_ActivationAttr:$act);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$act $x attr-dict `:` type($x)";
  let hasFolder = 1;
}

def Nn_SoftmaxOp : Nn_CoreOp<"softmax", [Pure, Nn_Differentiable]> {
  let summary = "softmax over one axis";
  let description = [{
    `y = exp(x − max x) / Σ exp(x − max x)` over `axis`.

    (C1) `0 <= axis < rank`.
  }];
  let arguments = (ins Nn_Activation:$x, I64Attr:$axis);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$x `axis` `(` $axis `)` attr-dict `:` type($x)";
}

def Nn_ReduceOp : Nn_CoreOp<"reduce", [Pure, Nn_Differentiable]> {
  let summary = "reduces one axis and removes it";
  let description = [{
    Sums over the last axis run in 16 lanes and one fixed tree, over other
    axes in ascending order.

    (C1) `0 <= axis < rank`.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_ReduceKindAttr:$kind, I64Attr:$axis);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$kind $x `axis` `(` $axis `)` attr-dict `:` type($x)";
}

def Nn_BroadcastOp : Nn_Op<"broadcast", [Pure, Nn_Differentiable]> {
  let summary = "repeats a value along a new axis";
  let description = [{
    Inserts `axis` into the shape of `x`: `y[.., j, ..] = x[.., ..]` for all j.
    A vector given to all tokens takes the number of rows from `like`.

    (C1) removing `axis` from the shape of `y` gives the shape of `x`.
    (C2) a dynamic new axis is axis 0 and has a `like` operand with that many rows.
  }];
  let arguments = (ins RankedTensorOf<[F32, BF16, F16, F64, I32]>:$x, Optional<AnyRankedTensor>:$like, I64Attr:$axis);
  let results = (outs RankedTensorOf<[F32, BF16, F16, F64, I32]>:$y);
  let assemblyFormat = "$x (`like` $like^ `:` type($like))? `axis` `(` $axis `)` attr-dict `:` type($x) `->` type($y)";
  let hasVerifier = 1;
}

def Nn_ReshapeOp : Nn_Op<"reshape", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "regroups the dimensions behind the tokens";
  let description = [{
    (C1) both shapes start with the same dimension and hold equally many
    elements behind it; all other dimensions are static.
  }];
  let arguments = (ins AnyRankedTensor:$x);
  let results = (outs AnyRankedTensor:$y);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($y)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Nn_SliceOp : Nn_CoreOp<"slice", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "a range of the last axis";
  let description = [{
    (C1) `0 <= start`, `size > 0` and `start + size` is within the last axis.
  }];
  let arguments = (ins Nn_Activation:$x, I64Attr:$start, I64Attr:$size);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$x `[` $start `,` $size `]` attr-dict `:` type($x)";
  let hasFolder = 1;
}

def Nn_ConcatOp : Nn_CoreOp<"concat", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "joins values along the last axis";
  let description = [{
    (C1) at least one operand. (C2) all operands agree in element type and in
    all dimensions but the last.
  }];
  let arguments = (ins Variadic<RankedTensorOf<[F32, BF16, F64, I32]>>:$xs);
  let results = (outs RankedTensorOf<[F32, BF16, F64, I32]>:$y);
  let assemblyFormat = "$xs attr-dict `:` type($xs)";
}

def Nn_LastRowsOp : Nn_Op<"last_rows", [Pure, Nn_Differentiable]> {
  let summary = "the row of the last token of each sequence";
  let description = [{
    `y[b] = x[cu_seqlens[b+1] − 1]`.

    (C1) `x` is `[T, D]`, `cu_seqlens` is `[B+1]`, `y` is `[B, D]`.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Ints:$cu_seqlens);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$x `,` $cu_seqlens attr-dict `:` type($x) `,` type($cu_seqlens) `->` type($y)";
  let hasVerifier = 1;
}

#endif
