// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_DIALECT_MOE_MOEOPS_TD
#define MOE_DIALECT_MOE_MOEOPS_TD

include "dialect/moe/MoeBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"

//===----------------------------------------------------------------------===//
// Routers
//===----------------------------------------------------------------------===//

def Moe_RouterOp : Moe_Op<"router", [FunctionOpInterface, IsolatedFromAbove]> {
  let summary = "a routing algorithm";
  let description = [{
    A symbol with a region: `(x [T, D], inputs and parameters…) -> (plan,
    weights [T, K], more…)`. The body is tensor `arith` and `math`, reductions,
    and the primitives of this dialect.

    An argument marked `moe.input` is no parameter: `"ids"` (token ids `[T]`),
    `"positions"` (`[T]`), `"seqs"` (`cu_seqlens [B+1]`) or `"key"` (the key of
    `moe.random`). A result marked `moe.loss = "name"` is a loss that training
    adds up, a scalar; one marked `moe.state = i` the value that argument i has
    in the next step. A router without a plan is dense: its results are weights.

    (C1) the first argument is `[T, D]`. (C2) a plan is the first result and
    followed by f32 weights `[T, K]` with its K. (C3) `moe.input` names one of
    the inputs above. (C4) a loss is a scalar, and a state has the type of its
    argument.

    ```mlir
    // Mixtral: softmax over all experts, best K, weights scaled to sum 1.
    moe.router @mixtral(%x: tensor<?x128xf32>, %w: tensor<8x128xf32>)
        -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
      %z = nn.linear %x, %w : tensor<?x128xf32>, tensor<8x128xf32>
      %p = nn.softmax %z axis(1) : tensor<?x8xf32>
      %idx = moe.select %p top_k(2) : tensor<?x8xf32>
      %s = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x2xi32>
      %sum = nn.reduce sum %s axis(1) : tensor<?x2xf32>
      %den = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x2xf32>
      %wt = arith.divf %s, %den : tensor<?x2xf32>
      %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
      moe.return %plan, %wt : !moe.plan<8, 2>, tensor<?x2xf32>
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<FunctionType>:$function_type,
                       OptionalAttr<DictArrayAttr>:$arg_attrs, OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region AnyRegion:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    /// The input of the model that argument |i| is; null for the tokens and for
    /// parameters.
    ::mlir::StringAttr getInput(unsigned i) { return getArgAttrOfType<::mlir::StringAttr>(i, "moe.input"); }
    /// The arguments that are parameters, in order.
    ::llvm::SmallVector<unsigned> getParamArguments();
  }];
}

def Moe_ReturnOp : Moe_Op<"return", [Pure, Terminator, ReturnLike, HasParent<"RouterOp">]> {
  let summary = "ends a router";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}

def Moe_RouteOp : Moe_Op<"route", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "applies a router";
  let description = [{
    (C1) the symbol is a `moe.router` whose argument types agree with the
    operands, dynamic dimensions of the router matching any. (C2) results are
    those of the router.
  }];
  let arguments = (ins FlatSymbolRefAttr:$router, Nn_Activation:$x, Variadic<AnyRankedTensor>:$params);
  let results = (outs Variadic<AnyType>:$results);
  let assemblyFormat = "$router `(` $x (`,` $params^)? `)` attr-dict `:` functional-type(operands, results)";
  let extraClassDeclaration = [{
    /// Of a router with a plan.
    ::mlir::TypedValue<::mlir::moe::PlanType> getPlan() { return ::llvm::cast<::mlir::TypedValue<::mlir::moe::PlanType>>(getResult(0)); }
    ::mlir::Value getWeights() { return getResult(1); }
  }];
}

def Moe_GroupMaskOp : Moe_CoreOp<"group_mask", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "keeps the best groups of experts";
  let description = [{
    Experts form G equal contiguous groups. A group scores its largest value
    (`max`, DeepSeek-V2) or the sum of its `top` largest (`sum_top`,
    DeepSeek-V3). The `keep` best groups (larger value, then lower index) keep
    their scores, the others become `fill`.

    (C1) `s` is `[T, E]` with G dividing E. (C2) `1 <= keep <= G`.
    (C3) `1 <= top <= E/G`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$s, I64Attr:$groups, I64Attr:$keep,
                       Moe_GroupScoreAttr:$score, DefaultValuedAttr<I64Attr, "1">:$top, F64Attr:$fill);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$s `groups` `(` $groups `)` `keep` `(` $keep `)` `score` `(` $score `)` `fill` `(` $fill `)` attr-dict `:` type($s)";
}

def Moe_SelectOp : Moe_CoreOp<"select", [Pure, Nn_RowWise]> {
  let summary = "indices of the k largest scores of each token";
  let description = [{
    Order: value descending, then index ascending; NaN is largest, −0 equals
    +0, denormals count as 0. `bias [E]` is added for choosing only. The result
    is sorted in that order; `E` marks an invalid choice. With `above` a choice
    whose value (with its bias) is not larger in that order is invalid (NaN is
    larger than anything): a number of experts
    that varies from token to token (ReMoE, 2024; DS-MoE, 2024).

    (C1) `s` is `[T, E]` with `1 <= k <= E`. (C2) `bias` is `[E]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$s, Optional<Nn_Weight>:$bias, I64Attr:$k, OptionalAttr<F64Attr>:$above);
  let results = (outs Nn_Ints:$idx);
  let assemblyFormat = "$s (`bias` `(` $bias^ `:` type($bias) `)`)? `top_k` `(` $k `)` (`above` `(` $above^ `)`)? attr-dict `:` type($s)";
}

def Moe_PickOp : Moe_CoreOp<"pick", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "scores of the selected experts";
  let description = [{
    `y[t, k] = s[t, idx[t, k]]`, 0 where `idx` is invalid. Its gradient
    scatters.

    (C1) `s` is `[T, E]`, `idx` is `[T, K]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$s, Nn_Ints:$idx);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$s `,` $idx attr-dict `:` type($s) `,` type($idx)";
}

def Moe_ScatterPickOp : Moe_CoreOp<"scatter_pick", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "spreads values of selected experts over all experts";
  let description = [{
    The transpose of `moe.pick`: `y[t, e] = Σ_{k: idx[t,k] = e} g[t, k]` in
    ascending k.

    (C1) `g` and `idx` are `[T, K]`, `experts >= 1`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$g, Nn_Ints:$idx, I64Attr:$experts);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$g `,` $idx `experts` `(` $experts `)` attr-dict `:` type($g) `,` type($idx)";
}

def Moe_StopGradientOp : Moe_Op<"stop_gradient", [Pure, Nn_RowWise, SameOperandsAndResultType, Nn_Differentiable]> {
  let summary = "the value, without a gradient";
  let arguments = (ins Nn_Activation:$x);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$x attr-dict `:` type($x)";
}

//===----------------------------------------------------------------------===//
// Plans
//===----------------------------------------------------------------------===//

def Moe_MakePlanOp : Moe_CoreOp<"make_plan", [Pure]> {
  let summary = "groups the choices of all tokens by expert";
  let description = [{
    Stable counting order: rows by expert, then token, then choice. Invalid
    choices get no row.

    (C1) `idx` is `[T, K]` with static K. (C2) `experts >= 1`.
  }];
  let arguments = (ins Nn_Ints:$idx, I64Attr:$experts);
  let results = (outs Moe_PlanType:$plan);
  let assemblyFormat = "$idx `experts` `(` $experts `)` attr-dict `:` type($idx)";
}

def Moe_PlanIndicesOp : Moe_CoreOp<"plan_indices", [Pure]> {
  let summary = "the choices a plan was made of";
  let description = [{ `idx [T, K]`, `E` marking an invalid choice. }];
  let arguments = (ins Moe_PlanType:$plan);
  let results = (outs Nn_Ints:$idx);
  let assemblyFormat = "$plan attr-dict `:` type($plan)";
}

def Moe_CountsOp : Moe_CoreOp<"counts", [Pure]> {
  let summary = "rows of each expert";
  let description = [{ `counts[e] = offsets[e+1] − offsets[e]`. }];
  let arguments = (ins Moe_PlanType:$plan);
  let results = (outs Nn_Ints:$counts);
  let assemblyFormat = "$plan attr-dict `:` type($plan)";
}

def Moe_DispatchOp : Moe_CoreOp<"dispatch", [Pure, Nn_Differentiable]> {
  let summary = "groups token rows by expert";
  let description = [{
    `rows[r] = x[row2slot[r] / K]`. Positions `[T]` are grouped as rows are.

    (C1) `x` is `[T, D]`, or integers `[T]`.

    ```mlir
    %rows = moe.dispatch %x, %plan : tensor<?x128xf32>, !moe.plan<8, 2>
    ```
  }];
  let arguments = (ins RankedTensorOf<[F32, BF16, F64, I32]>:$x, Moe_PlanType:$plan);
  let results = (outs RankedTensorOf<[F32, BF16, F64, I32]>:$rows);
  let assemblyFormat = "$x `,` $plan attr-dict `:` type($x) `,` type($plan)";
}

def Moe_UngroupOp : Moe_CoreOp<"ungroup", [Pure, Nn_Differentiable]> {
  let summary = "rows of experts back in the order of tokens and choices";
  let description = [{
    `y[t, k] = rows[slot2row[t, k]]`, 0 for dropped pairs. With `moe.group`, a
    plan is used twice: experts project queries, attention mixes them, experts
    project its output (mixture of attention heads, 2022; JetMoE, 2024).

    (C1) `rows` is `[R, D]`.

    ```mlir
    %q = moe.ungroup %rows, %plan : tensor<?x64xf32>, !moe.plan<8, 2>  // [T, 2, 64]
    ```
  }];
  let arguments = (ins Nn_Activation:$rows, Moe_PlanType:$plan);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$rows `,` $plan attr-dict `:` type($rows) `,` type($plan)";
}

def Moe_GroupOp : Moe_CoreOp<"group", [Pure, Nn_Differentiable]> {
  let summary = "values of tokens and choices as rows of experts";
  let description = [{
    The transpose of `moe.ungroup`: `rows[r] = y[t, k]` with
    `t·K + k = row2slot[r]`.

    (C1) `y` is `[T, K, D]` with the K of the plan.
  }];
  let arguments = (ins Nn_Activation:$y, Moe_PlanType:$plan);
  let results = (outs Nn_Activation:$rows);
  let assemblyFormat = "$y `,` $plan attr-dict `:` type($y) `,` type($plan)";
}

def Moe_PlanSeqsOp : Moe_CoreOp<"plan_seqs", [Pure]> {
  let summary = "sequences of the rows of one expert";
  let description = [{
    `y[b]` is the number of rows of tokens in front of sequence b: the
    `cu_seqlens` of the tokens that one expert took, whose rows keep their
    order. With it a whole block runs on them (mixture of depths, 2024).

    (C1) the plan has one expert. (C2) `cu_seqlens` is `[B+1]`.
  }];
  let arguments = (ins Moe_PlanType:$plan, Nn_Ints:$cu_seqlens);
  let results = (outs Nn_Ints:$y);
  let assemblyFormat = "$plan `seqs` `(` $cu_seqlens `)` attr-dict `:` type($plan) `,` type($cu_seqlens)";
}

def Moe_ExpertsOp : Moe_Op<"experts", [Pure, IsolatedFromAbove,
    SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "runs the rows of each expert through its own body";
  let description = [{
    The region maps the rows of one expert; its first argument are rows, the
    others the slices `[…]` of that expert of each parameter `[E, …]`. Any
    differentiable body of row-wise operations will do: gated MLP, MLP, LoRA.

    (C1) `rows` is `[R, D]`. (C2) each parameter starts with the E of the plan.
    (C3) region arguments are rows and one slice per parameter.
    (C4) the region yields `[R', N]` rows of the type of the result.
    (C5) every operation of the region is row-wise or elementwise.
  }];
  let arguments = (ins Nn_Activation:$rows, Moe_PlanType:$plan, Variadic<Nn_Weight>:$params);
  let results = (outs Nn_Activation:$y);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$rows `,` $plan `params` `(` $params `)` attr-dict `:` functional-type(operands, results) $body";
  let hasVerifier = 1;
}

def Moe_YieldOp : Moe_Op<"yield", [Pure, Terminator, ReturnLike]> {
  let summary = "ends the body of experts";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let builders = [OpBuilder<(ins), [{ (void)$_builder; }]>];
}

def Moe_CombineOp : Moe_CoreOp<"combine", [Pure, Nn_Differentiable]> {
  let summary = "weighted sum of the expert rows of each token";
  let description = [{
    `y[t] = Σ_k w[t, k]·rows[slot2row[t, k]]`, ascending k, accumulated in f32
    by fused multiply-adds from 0; dropped pairs add nothing.

    (C1) `rows` is `[R, D]`. (C2) `w` is `[T, K]` with the K of the plan.
  }];
  let arguments = (ins Nn_Activation:$rows, Moe_PlanType:$plan, RankedTensorOf<[F32, F64]>:$w);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "$rows `,` $plan `,` $w attr-dict `:` type($rows) `,` type($plan) `,` type($w)";
}

//===----------------------------------------------------------------------===//
// Sugar
//===----------------------------------------------------------------------===//

def Moe_LayerOp : Moe_Op<"layer", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a mixture-of-experts layer";
  let description = [{
    DeepSeekMoE (2024): `experts` routed experts, each `1/segments` of a
    standard feed-forward width, and optional shared experts that every token
    passes. `y = combine(experts(dispatch(x))) + shared(x)`. Router parameters
    (of the arguments that are no inputs) and expert parameters are symbols
    read at `layer`; `body` maps the rows of
    one expert (arguments: rows, slices), `shared` the rows of all tokens
    (arguments: rows, parameters). The router reads x in f32.

    (C1) `router` names a `moe.router`, parameters name `nn.param`s.
    (C2) `experts >= 1`, `segments >= 1`. (C3) expert parameters start with
    `experts`. (C4) the shared region exists exactly with shared parameters.

    ```mlir
    %m = moe.layer %n layer(%i) router(@deepseek, [@gate]) experts(64, segments = 4, [@gate_up, @down])
         shared([@shared_gate_up, @shared_down]) : tensor<?x2048xf32> -> tensor<?x2048xf32> body { … } shared_body { … }
    ```
  }];
  let arguments = (ins Nn_Activation:$x, Optional<Index>:$layer, FlatSymbolRefAttr:$router,
                       TypedArrayAttrBase<FlatSymbolRefAttr, "router parameters">:$router_params,
                       I64Attr:$experts, DefaultValuedAttr<I64Attr, "1">:$segments,
                       TypedArrayAttrBase<FlatSymbolRefAttr, "expert parameters">:$expert_params,
                       DefaultValuedAttr<TypedArrayAttrBase<FlatSymbolRefAttr, "shared parameters">, "{}">:$shared_params);
  let results = (outs Nn_Activation:$y);
  let regions = (region SizedRegion<1>:$body, AnyRegion:$shared);
  let assemblyFormat = [{
    $x (`layer` `(` $layer^ `)`)? `router` `(` $router `,` $router_params `)`
    `experts` `(` $experts `,` `segments` `=` $segments `,` $expert_params `)`
    (`shared` `(` $shared_params^ `)`)? attr-dict `:` type($x) `->` type($y)
    `body` $body `shared_body` $shared
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Fused phase
//===----------------------------------------------------------------------===//

def Moe_GroupedMatmulOp : Moe_CoreOp<"grouped_matmul", [Pure, Nn_Differentiable]> {
  let summary = "rows of each expert times its own weight";
  let description = [{
    `y[r, n] = Σ_k x[r, k]·w[e(r), n, k]`, in the order of `nn.linear`. With
    `gather` row r of the operand is token `row2slot[r] / K` of `x [T, K]`, so
    that dispatch needs no copy. Ragged rows, no padding; empty experts cost
    nothing.

    (C1) `x` is `[R, K]` (`[T, K]` with `gather`), `w` is `[E, N, K]` with the
    E of the plan. (C2) `bias` is `[E, N]`.
  }];
  let arguments = (ins Nn_Activation:$x, Moe_PlanType:$plan, Nn_Weight:$w, Optional<Nn_Weight>:$bias, UnitAttr:$gather);
  let results = (outs Nn_Activation:$y);
  let assemblyFormat = "(`gather` $gather^)? $x `,` $plan `,` $w (`bias` `(` $bias^ `:` type($bias) `)`)? attr-dict `:` type($x) `,` type($plan) `,` type($w)";
}

def Moe_GroupedBroadcastOp : Moe_CoreOp<"grouped_broadcast", [Pure, Nn_Differentiable]> {
  let summary = "a row of each expert's vector for every row";
  let description = [{
    `y[r] = v[e(r)]`: what a vector of an expert becomes when the rows of all
    experts run together.

    (C1) `v` is `[E, N]` with the E of the plan.
  }];
  let arguments = (ins Nn_Weight:$v, Moe_PlanType:$plan);
  let results = (outs Nn_Weight:$y);
  let assemblyFormat = "$v `,` $plan attr-dict `:` type($v) `,` type($plan)";
}

#endif
