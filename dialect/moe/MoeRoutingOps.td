// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Choices beyond the k best of a token: capacity, choice by experts, balanced
// assignment, random numbers, gradients given by hand.
#ifndef MOE_DIALECT_MOE_MOEROUTINGOPS_TD
#define MOE_DIALECT_MOE_MOEROUTINGOPS_TD

include "dialect/moe/MoeBase.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"

def Moe_Scores : RankedTensorOf<[F32, F64]>;

def Moe_CapacityOp : Moe_CoreOp<"capacity", [Pure, AttrSizedOperandSegments]> {
  let summary = "drops the choices an expert has no room for";
  let description = [{
    An expert keeps at most C of its choices, C by `limit` from the tokens of
    the call, or of each sequence where `seqs` is given. Choices come in order
    of: choice where `choice_major` is set (all first choices, then all second:
    GShard, 2020); `priority`, larger first (a probability: Megatron-Core; the
    best probability of the token: batch-prioritised, V-MoE, 2021; random
    numbers: DeepSpeed); token; choice. Those beyond the C-th become E, which is
    an invalid choice. Tokens compete with later ones where a priority is
    given: not causal.

    (C1) `idx` is `[T, K]`. (C2) `experts >= 1`. (C3) `priority` is `[T, K]`.
    (C4) `cu_seqlens` is `[B+1]`.

    ```mlir
    %kept = moe.capacity %idx experts(8) limit(<factor = 2.5>) choice_major : tensor<?x2xi32>
    ```
  }];
  let arguments = (ins Nn_Ints:$idx, Optional<Moe_Scores>:$priority, Optional<Nn_Ints>:$cu_seqlens,
                       I64Attr:$experts, Moe_CapacityAttr:$limit, UnitAttr:$choice_major);
  let results = (outs Nn_Ints:$kept);
  let assemblyFormat = [{
    $idx `experts` `(` $experts `)` `limit` `(` $limit `)` (`choice_major` $choice_major^)?
    (`priority` `(` $priority^ `:` type($priority) `)`)? (`seqs` `(` $cu_seqlens^ `:` type($cu_seqlens) `)`)?
    attr-dict `:` type($idx)
  }];
}

def Moe_NextChoiceOp : Moe_CoreOp<"next_choice", [Pure]> {
  let summary = "gives tokens without an expert their next choice while there is room";
  let description = [{
    No token left behind (Fedus et al. 2021; Mesh-TensorFlow). In rounds over
    k: tokens not placed yet ask for `idx[t, k]` in order of position and are
    placed while the expert holds fewer than C rows, C by `limit`. The result
    is the expert of each token, E where none had room.

    (C1) `idx` is `[T, K]`. (C2) `experts >= 1`.
  }];
  let arguments = (ins Nn_Ints:$idx, I64Attr:$experts, Moe_CapacityAttr:$limit);
  let results = (outs Nn_Ints:$placed);
  let assemblyFormat = "$idx `experts` `(` $experts `)` `limit` `(` $limit `)` attr-dict `:` type($idx)";
}

def Moe_SelectTokensOp : Moe_CoreOp<"select_tokens", [Pure]> {
  let summary = "each expert takes its best tokens";
  let description = [{
    Expert choice (Zhou et al. 2022): `idx[t, e] = e` where `s[t, e]` is among
    the C largest of column e (then lower token), E elsewhere; C by `limit`,
    at most the tokens, of the call or of each sequence where `seqs` is given.
    Not causal: tokens compete with later ones.

    (C1) `s` is `[T, E]` with static E. (C2) `cu_seqlens` is `[B+1]`.

    ```mlir
    %idx = moe.select_tokens %p limit(<factor = 2.0>) : tensor<?x8xf32>
    ```
  }];
  let arguments = (ins Moe_Scores:$s, Optional<Nn_Ints>:$cu_seqlens, Moe_CapacityAttr:$limit);
  let results = (outs Nn_Ints:$idx);
  let assemblyFormat = "$s `limit` `(` $limit `)` (`seqs` `(` $cu_seqlens^ `:` type($cu_seqlens) `)`)? attr-dict `:` type($s)";
}

def Moe_MaskChoicesOp : Moe_CoreOp<"mask_choices", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "takes chosen experts out of the scores";
  let description = [{
    `y[t, e] = fill` where e is among `idx[t, :]`, `s[t, e]` elsewhere: what
    the next of several picks chooses from.

    (C1) `s` is `[T, E]`, `idx` is `[T, K]`.
  }];
  let arguments = (ins Moe_Scores:$s, Nn_Ints:$idx, F64Attr:$fill);
  let results = (outs Moe_Scores:$y);
  let assemblyFormat = "$s `,` $idx `fill` `(` $fill `)` attr-dict `:` type($s) `,` type($idx)";
}

def Moe_AssignOp : Moe_CoreOp<"assign", [Pure]> {
  let summary = "balanced assignment of tokens to experts";
  let description = [{
    BASE layers (Lewis et al. 2021): every expert gets T/E tokens, by the
    auction of their release. With ε = max((max − min)/50, 1e-4) each expert
    bids, in rounds, on the T/E tokens worth most to it (value minus price):
    the value less that of the best token left out, plus ε; what it won before
    keeps a bid of at least ε. A token goes to its highest bidder, and its
    price for the others rises by that bid; to the winner it is worth the
    maximum for the first 100 rounds, its value afterwards. The auction ends
    when every token has a bid. Values that are not finite count as the least.
    Its total was within 0.7 % of the best on random scores of 64 tokens and 8
    experts, and within 4 % on scores of few different values.

    With `exact` tokens bid for places at experts instead (Bertsekas 1988), in
    phases of a smaller and smaller ε; the total is within T·ε of the best, the
    last ε being 2⁻³⁰ of the range of scores in f64 and 2⁻¹⁸ in f32.
    Not causal.

    (C1) `s` is `[T, E]` with static E. (C2) E divides a static T; otherwise a
    step with a T that E does not divide fails.
  }];
  let arguments = (ins Moe_Scores:$s, UnitAttr:$exact);
  let results = (outs Nn_Ints:$idx);
  let assemblyFormat = "$s (`exact` $exact^)? attr-dict `:` type($s)";
}

def Moe_SinkhornOp : Moe_CoreOp<"sinkhorn", [Pure, Nn_Differentiable]> {
  let summary = "scores scaled so that tokens and experts are used equally";
  let description = [{
    Sinkhorn routing (Clark et al. 2022; Megatron-Core). With c = exp(z),
    d0 = 1 for all tokens and d1 = 1 for all experts, repeats
    `d0 = 1/(T·(Σ_e d1·c + 1e-8))`, `d1 = 1/(E·(Σ_t d0·c + 1e-8))` until the
    mean |Δd1| is at most `tolerance`, `max_iterations` times at most; the
    result is `d1·c·d0`. For choosing only: no gradient. Not causal.

    (C1) `z` is `[T, E]` with static E. (C2) `tolerance` is not negative and
    `max_iterations >= 1`.
  }];
  let arguments = (ins Moe_Scores:$z, F64Attr:$tolerance, I64Attr:$max_iterations);
  let results = (outs Moe_Scores:$y);
  let assemblyFormat = "$z `tolerance` `(` $tolerance `)` `max_iterations` `(` $max_iterations `)` attr-dict `:` type($z)";
}

def Moe_RandomOp : Moe_CoreOp<"random", [Pure, Nn_Differentiable]> {
  let summary = "random numbers that depend on seed, step, layer and element alone";
  let description = [{
    Philox-4x32-10 (Salmon et al. 2011) with the seed as its key and, for
    element j of token t of rows of width W, the counter (lo, hi of
    `(first + t)·W + j`, `layer·64 + stream`, step). `key` is (seed lo, seed hi,
    step, layer, first lo, first hi), `first` being the number of tokens on
    other ranks in front of this call's: numbers do not depend on sharding,
    threads or fusion. With the words r of a counter, u = (r0 >> 8)·2⁻²⁴:
    `uniform` u in [0, 1); with v = max(u, 2⁻²⁴): `exponential` −log v,
    `gumbel` −log(−log v), `normal` √(−2 log v)·cos(2π·(r1 >> 8)·2⁻²⁴).

    Numbers are drawn in training. Elsewhere each of them is `neutral`; without
    it a program that has no key cannot use them.

    (C1) `key` is `[6]`. (C2) `like` is `[T, …]` with static dimensions behind T.

    ```mlir
    %n = moe.random normal stream(gate_noise) key(%key) like %z : tensor<6xi32>, tensor<?x8xf32>
    ```
  }];
  let arguments = (ins Nn_Ints:$key, Moe_Scores:$like, Moe_DistributionAttr:$distribution, Moe_StreamAttr:$stream,
                       OptionalAttr<F64Attr>:$neutral);
  let results = (outs Moe_Scores:$y);
  let assemblyFormat = "$distribution `stream` `(` $stream `)` `key` `(` $key `)` `like` $like (`neutral` `(` $neutral^ `)`)? attr-dict `:` type($key) `,` type($like)";
}

def Moe_LayerKeyOp : Moe_CoreOp<"layer_key", [Pure]> {
  let summary = "the key of random numbers of one layer";
  let description = [{
    `key` with `layer + offset` as its layer, element 3.

    (C1) `key` is `[6]`.

    ```mlir
    %own = moe.layer_key %key[%i + 1] : tensor<6xi32>
    ```
  }];
  let arguments = (ins Nn_Ints:$key, Index:$layer, I64Attr:$offset);
  let results = (outs Nn_Ints:$own);
  let assemblyFormat = "$key `[` $layer `+` $offset `]` attr-dict `:` type($key)";
}

def Moe_CustomVjpOp : Moe_Op<"custom_vjp", [Pure, IsolatedFromAbove, Nn_Differentiable,
    SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "a computation with a gradient of its own";
  let description = [{
    Results are what `forward` yields of the operands. The gradients are what
    `backward` yields of the operands, the results and their gradients, one for
    each operand, whatever the derivative of `forward` is (SparseMixer, 2023;
    detached normalisation).

    (C1) `forward` takes the operands and yields the results. (C2) `backward`
    takes operands, results and gradients of the results, and yields a value of
    the type of each operand.

    ```mlir
    %y = moe.custom_vjp (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> forward {
    ^bb0(%a: tensor<?x4xf32>):
      %r = nn.activate relu %a : tensor<?x4xf32>
      moe.yield %r : tensor<?x4xf32>
    } backward {
    ^bb0(%a: tensor<?x4xf32>, %r: tensor<?x4xf32>, %dr: tensor<?x4xf32>):
      moe.yield %dr : tensor<?x4xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$inputs);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region SizedRegion<1>:$forward, SizedRegion<1>:$backward);
  let assemblyFormat = "`(` $inputs `)` attr-dict `:` functional-type($inputs, $results) `forward` $forward `backward` $backward";
  let hasVerifier = 1;
}

#endif
