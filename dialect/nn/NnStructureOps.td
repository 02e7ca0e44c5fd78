// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Parameters, the model and the layers loop, and the sugar of the model phase.
#ifndef MOE_DIALECT_NN_NNSTRUCTUREOPS_TD
#define MOE_DIALECT_NN_NNSTRUCTUREOPS_TD

include "dialect/nn/NnBase.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"

def Nn_ParamOp : Nn_Op<"param", [Symbol]> {
  let summary = "declares one logical parameter";
  let description = [{
    The tensor of one layer (all layers share the shape) and where its rows lie
    in a checkpoint. A leading dimension in front of `[N, K]` counts experts or
    heads. `layers = [lo, hi)` names the layers that have it; absent, the
    parameter exists once. The compiler reads shapes only, never weights.

    (C1) rank 1 to 3, static shape. (C2) sources cover every row exactly once.
    (C3) `layers` is a non-empty range, and a pattern holds `{i}` exactly then.
    (C4) a scaled source has one scale for each block, and `{i}` and `{e}` in
    both patterns or in neither.

    ```mlir
    nn.param @gate : tensor<16x128xbf16> layers [1, 4]
      from [#nn.source<"model.layers.{i}.mlp.gate.weight", [16, 128]>]
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<AnyRankedTensor>:$type,
                       OptionalAttr<DenseI64ArrayAttr>:$layers, Nn_SourceArray:$sources);
  let assemblyFormat = "$sym_name `:` $type (`layers` $layers^)? `from` $sources attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getTensorType() { return ::llvm::cast<::mlir::RankedTensorType>(getType()); }
    // Leading dimension in front of [N, K]: experts or heads; 1 without one.
    int64_t getGroups() { return getTensorType().getRank() == 3 ? getTensorType().getDimSize(0) : 1; }
    // Rows of one group.
    int64_t getRows() { auto t = getTensorType(); return t.getDimSize(t.getRank() == 3 ? 1 : 0); }
  }];
}

def Nn_ParamGetOp : Nn_Op<"param_get", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "the value of a parameter, of one layer where it has layers";
  let description = [{
    (C1) the symbol is an `nn.param` of this type. (C2) a layer index is given
    exactly where the parameter has layers.
  }];
  let arguments = (ins FlatSymbolRefAttr:$param, Optional<Index>:$layer);
  let results = (outs AnyRankedTensor:$value);
  let assemblyFormat = "$param (`[` $layer^ `]`)? attr-dict `:` type($value)";
}

def Nn_ModelOp : Nn_Op<"model", [FunctionOpInterface, IsolatedFromAbove]> {
  let summary = "the forward graph of a model";
  let description = [{
    `(ids [T], positions [T], cu_seqlens [B+1]) -> logits [T, V]`. Entries
    (score, prefill, decode, …) are derived from it.

    (C1) three i32 vectors in, one `[T, V]` tensor out.
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
  }];
}

def Nn_ReturnOp : Nn_Op<"return", [Pure, Terminator, ReturnLike, HasParent<"ModelOp">]> {
  let summary = "ends a model";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}

def Nn_LayersOp : Nn_Op<"layers", [AttrSizedOperandSegments, RecursiveMemoryEffects,
    SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "a loop over identical blocks";
  let description = [{
    Runs the body for the layers `lower <= i < upper` (descending with
    `reverse`). Block arguments: the layer index, the carried values, and for
    each operand of `slices` its value of this layer. The body yields the next
    carried values, then values to keep; results are the final carried values,
    then the kept ones stacked by layer (a tensor of one more leading dimension,
    or `!nn.stack`). Size of the code and time to compile do not depend on the
    number of layers.

    (C1) `0 <= lower < upper`. (C2) the body takes an index, the carried values
    and the slices. (C3) the body yields carried values of the type of `inits`,
    then one value for each stacked result.
    (C4) stacked types are `[upper − lower, …]` of the type of one layer.

    ```mlir
    %y = nn.layers 0 to 4 (%x) : (tensor<?x128xf32>) -> tensor<?x128xf32> {
    ^bb0(%i: index, %h: tensor<?x128xf32>):
      %w = nn.param_get @norm[%i] : tensor<128xf32>
      %n = nn.rms_norm %h, %w eps(1.0e-6) : tensor<?x128xf32>, tensor<128xf32>
      nn.yield %n : tensor<?x128xf32>
    }
    ```
  }];
  let arguments = (ins I64Attr:$lower, I64Attr:$upper, UnitAttr:$reverse,
                       Variadic<AnyType>:$inits, Variadic<AnyType>:$slices);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $lower `to` $upper (`reverse` $reverse^)? `(` $inits `)` (`slices` `(` $slices^ `:` type($slices) `)`)?
    attr-dict `:` functional-type($inits, $results) $body
  }];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    int64_t getNumLayers() { return getUpper() - getLower(); }
    ::mlir::Value getLayerIndex() { return getBody().getArgument(0); }
    ::mlir::ResultRange getCarried() { return getResults().take_front(getInits().size()); }
    ::mlir::ResultRange getStacked() { return getResults().drop_front(getInits().size()); }
    // The stacked form of a value of one layer.
    static ::mlir::Type stackedType(int64_t layers, ::mlir::Type type);
  }];
}

def Nn_YieldOp : Nn_Op<"yield", [Pure, Terminator, ReturnLike]> {
  let summary = "ends a layers loop or the body of sugar";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let builders = [OpBuilder<(ins), [{ (void)$_builder; }]>];
}

//===----------------------------------------------------------------------===//
// Sugar: expanded at the step phase.
//===----------------------------------------------------------------------===//

class Nn_SugarBlock<string mnemonic> : Nn_Op<mnemonic, [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let results = (outs Nn_Activation:$y);
}

def Nn_AttentionOp : Nn_SugarBlock<"attention"> {
  let summary = "norm, grouped-query attention and residual";
  let description = [{
    `y = x + o(attend(rope(q(n)), rope(k(n)), v(n)))`, n the RMS norm of x.
    Parameters are symbols, read at `layer`.

    (C1) every symbol is an `nn.param`. (C2) `kv_heads` divides `heads`.
  }];
  let arguments = (ins Nn_Activation:$x, RankedTensorOf<[F32]>:$rope, Nn_Ints:$positions,
                       Nn_Ints:$cu_seqlens, Optional<Index>:$layer,
                       FlatSymbolRefAttr:$norm, F64Attr:$eps,
                       FlatSymbolRefAttr:$q, FlatSymbolRefAttr:$k, FlatSymbolRefAttr:$v, FlatSymbolRefAttr:$o,
                       I64Attr:$heads, I64Attr:$kv_heads, I64Attr:$head_dim, F64Attr:$scale,
                       DefaultValuedAttr<I64Attr, "0">:$window,
                       DefaultValuedAttr<Nn_PairingAttr, "::mlir::nn::RopePairing::Half">:$pairing);
  let assemblyFormat = [{
    $x `rope` `(` $rope `)` `positions` `(` $positions `)` `seqs` `(` $cu_seqlens `)` (`layer` `(` $layer^ `)`)?
    `norm` `(` $norm `,` $eps `)` `q` `(` $q `)` `k` `(` $k `)` `v` `(` $v `)` `o` `(` $o `)`
    `heads` `(` $heads `,` $kv_heads `,` $head_dim `)` `scale` `(` $scale `)` attr-dict
    `:` type($x) `,` type($rope) `,` type($positions) `,` type($cu_seqlens) `->` type($y)
  }];
  let hasVerifier = 1;
}

def Nn_LatentAttentionOp : Nn_SugarBlock<"latent_attention"> {
  let summary = "norm, multi-head latent attention and residual";
  let description = [{
    Multi-head latent attention (DeepSeek-V2, 2024): queries straight from the
    norm (`q`) or compressed through `q_a`, `q_norm`, `q`; keys and values from
    a latent of `rank` dimensions and one shared rotary key. `kv_a` is
    `[rank + rope, D]`; `k_up` `[H, rank, nope]` and `v_up` `[H, value, rank]`
    are the two halves of the expansion, applied to query and output, so that
    the cache holds the latent and the rotary key alone.

    (C1) every symbol is an `nn.param`. (C2) `q_a` and `q_norm` come together.
  }];
  let arguments = (ins Nn_Activation:$x, RankedTensorOf<[F32]>:$rope, Nn_Ints:$positions,
                       Nn_Ints:$cu_seqlens, Optional<Index>:$layer,
                       FlatSymbolRefAttr:$norm, F64Attr:$eps,
                       OptionalAttr<FlatSymbolRefAttr>:$q_a, OptionalAttr<FlatSymbolRefAttr>:$q_norm,
                       FlatSymbolRefAttr:$q, FlatSymbolRefAttr:$kv_a, FlatSymbolRefAttr:$kv_norm,
                       FlatSymbolRefAttr:$k_up, FlatSymbolRefAttr:$v_up, FlatSymbolRefAttr:$o,
                       I64Attr:$heads, I64Attr:$rank, I64Attr:$nope_dim, I64Attr:$rope_dim, I64Attr:$value_dim,
                       F64Attr:$latent_eps, F64Attr:$scale,
                       OptionalAttr<FlatSymbolRefAttr>:$q_a_bias, OptionalAttr<FlatSymbolRefAttr>:$kv_a_bias,
                       OptionalAttr<FlatSymbolRefAttr>:$o_bias,
                       DefaultValuedAttr<Nn_PairingAttr, "::mlir::nn::RopePairing::Interleaved">:$pairing);
  let assemblyFormat = [{
    $x `rope` `(` $rope `)` `positions` `(` $positions `)` `seqs` `(` $cu_seqlens `)` (`layer` `(` $layer^ `)`)?
    `norm` `(` $norm `,` $eps `)` (`q_a` `(` $q_a^ `,` $q_norm `)`)? `q` `(` $q `)`
    `kv_a` `(` $kv_a `,` $kv_norm `)` `up` `(` $k_up `,` $v_up `)` `o` `(` $o `)`
    `heads` `(` $heads `)` `dims` `(` $rank `,` $nope_dim `,` $rope_dim `,` $value_dim `)`
    `latent_eps` `(` $latent_eps `)` `scale` `(` $scale `)` attr-dict
    `:` type($x) `,` type($rope) `,` type($positions) `,` type($cu_seqlens) `->` type($y)
  }];
  let hasVerifier = 1;
}

def Nn_MlpOp : Nn_SugarBlock<"mlp"> {
  let summary = "norm, gated MLP and residual";
  let description = [{
    `y = x + down(glu(gate_up(norm(x))))`; `gate_up` holds the gate rows, then
    the up rows.

    (C1) every symbol is an `nn.param`.
  }];
  let arguments = (ins Nn_Activation:$x, Optional<Index>:$layer, FlatSymbolRefAttr:$norm, F64Attr:$eps,
                       FlatSymbolRefAttr:$gate_up, FlatSymbolRefAttr:$down, Nn_ActivationAttr:$act,
                       OptionalAttr<FlatSymbolRefAttr>:$gate_up_bias, OptionalAttr<FlatSymbolRefAttr>:$down_bias);
  let assemblyFormat = [{
    $x (`layer` `(` $layer^ `)`)? `norm` `(` $norm `,` $eps `)` `glu` `(` $act `,` $gate_up `,` $down `)`
    attr-dict `:` type($x) `->` type($y)
  }];
}

def Nn_HeadOp : Nn_SugarBlock<"head"> {
  let summary = "final norm and output projection";
  let description = [{
    `y = cast_f32(norm(x)·weightᵀ)`: logits are f32.

    (C1) every symbol is an `nn.param`.
  }];
  let arguments = (ins Nn_Activation:$x, FlatSymbolRefAttr:$norm, F64Attr:$eps, FlatSymbolRefAttr:$weight);
  let assemblyFormat = "$x `norm` `(` $norm `,` $eps `)` `weight` `(` $weight `)` attr-dict `:` type($x) `->` type($y)";
}

#endif
