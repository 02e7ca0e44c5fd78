// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef MOE_DIALECT_NN_NNBASE_TD
#define MOE_DIALECT_NN_NNBASE_TD

include "dialect/nn/Differentiable.td"
include "dialect/nn/NnEnums.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Nn_Dialect : Dialect {
  let name = "nn";
  let cppNamespace = "::mlir::nn";
  let summary = "Transformer blocks around a mixture of experts";
  let description = [{
    The parts of a transformer that are not specific to mixture-of-experts
    routing: parameters, the layers loop, matrix products, norms, rotary
    positions, attention over packed or cached sequences, activations.

    Shapes. Tokens of all sequences are packed along a leading dynamic
    dimension `T`; there is no padding. `positions [T]` holds the position of
    each token in its sequence and `cu_seqlens [B+1]` the first packed index
    of each sequence.

    Numerics. Arithmetic is f32 whatever the element type of a tensor; the
    result is rounded once to the element type of the result.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::func::FuncDialect",
                           "::mlir::math::MathDialect"];
}

class Nn_Op<string mnemonic, list<Trait> traits = []>
    : Op<Nn_Dialect, mnemonic, traits>;

// Shapes of results follow from operands and attributes; the same function
// checks the labelled constraints, so that parser, builders and verifier
// agree.
class Nn_CoreOp<string mnemonic, list<Trait> traits = []>
    : Nn_Op<mnemonic, !listconcat([InferTypeOpAdaptor], traits)>;

// Row t of every result depends on row t of the tensor operands alone, and
// the operation accepts any number of rows. Bodies of experts are made of
// such operations, so that they can run on the rows of all experts at once.
def Nn_RowWise : NativeOpTrait<"RowWise"> {
  let cppNamespace = "::mlir::nn";
}

def Nn_Float : AnyTypeOf<[F32, BF16, F16, F64]>;
// Activations: [T, …], computed in f32 or rounded to bf16.
def Nn_Activation : RankedTensorOf<[F32, BF16, F64]>;
// Weights: as stored in the checkpoint.
def Nn_Weight : RankedTensorOf<[F32, BF16, F16, F64]>;
def Nn_Ints : RankedTensorOf<[I32]>;
// Gradients of weights.
def Nn_WeightGrad : RankedTensorOf<[F32, F64]>;

def Nn_CacheType : TypeDef<Nn_Dialect, "Cache"> {
  let mnemonic = "cache";
  let summary = "paged key-value cache of all layers";
  let description = [{
    A handle to the key-value cache that the runtime owns. A record of one
    token in one layer holds `width` elements: the keys of all heads, then the
    values of all heads; in latent form the compressed key alone. Records lie
    in pages; a block table row names the pages of a sequence in order.
  }];
  let parameters = (ins "int64_t":$width, "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $width `x` $elementType `>`";
}

def Nn_StackType : TypeDef<Nn_Dialect, "Stack"> {
  let mnemonic = "stack";
  let summary = "one value per layer of a layers loop";
  let description = [{
    What a layers loop kept of each layer, in order of the layer index, for
    values that are not tensors (routing plans). Tensors are stacked to a
    tensor of one more leading dimension.
  }];
  let parameters = (ins "int64_t":$layers, "::mlir::Type":$valueType);
  let assemblyFormat = "`<` $layers `x` $valueType `>`";
}

def Nn_ActivationAttr : EnumAttr<Nn_Dialect, Nn_Activations, "act">;

def Nn_PairingAttr : EnumAttr<Nn_Dialect, Nn_Pairings, "pairing">;

def Nn_ReduceKindAttr : EnumAttr<Nn_Dialect, Nn_ReduceKinds, "reduce_kind">;

def Nn_ScaledAttr : AttrDef<Nn_Dialect, "Scaled"> {
  let mnemonic = "scaled";
  let summary = "how the numbers of a checkpoint tensor are scaled";
  let description = [{
    The tensor holds numbers of the type `stored`: `f8E4M3FN`, or `f4E2M1FN`,
    two to a byte, the low half first, the tensor being of u8. As a matrix
    whose rows are its last dimension, it is cut into blocks of `block[0]` rows
    and `block[1]` columns, and the numbers of a block are multiplied by one
    number of the tensor `pattern` of shape `shape`, blocks in row-major order:
    f32 for `f8E4M3FN`, u8 for `f4E2M1FN`, where b stands for 2^(b − 127).
    The product is rounded once to the element type of the parameter.
  }];
  let parameters = (ins "::mlir::Type":$stored, "::mlir::StringAttr":$pattern,
                        ArrayRefParameter<"int64_t">:$shape,
                        ArrayRefParameter<"int64_t">:$block);
  let assemblyFormat = [{
    `<` $stored `,` $pattern `,` `[` $shape `]` `,` `block` `[` $block `]` `>`
  }];
}

def Nn_SourceAttr : AttrDef<Nn_Dialect, "Source"> {
  let mnemonic = "source";
  let summary = "where the rows of a parameter lie in a checkpoint";
  let description = [{
    `pattern` is the name of a checkpoint tensor, `{i}` standing for the layer
    (`{2i+1}` for twice the layer and one: layers that take turns) and `{e}` for
    the expert; `shape` is its full shape there. The tensor gives
    the rows `[at, at + rows)` of the parameter: element `(g, n, k)` of the
    parameter is element `offset + g·strides[0] + (n − at)·strides[1] +
    k·strides[2]` of the tensor (row-major). `rows = 0` means all rows of the
    parameter, empty `strides` the plain row-major order of `[rows, K]`.
    Concatenation is several sources; slices, transposes and interleaved
    halves are strides. Offsets and strides count numbers, also where two lie
    in a byte; `shape` is the stored one (bytes).
  }];
  let parameters = (ins "::mlir::StringAttr":$pattern,
                        ArrayRefParameter<"int64_t">:$shape,
                        DefaultValuedParameter<"int64_t", "0">:$at,
                        DefaultValuedParameter<"int64_t", "0">:$rows,
                        DefaultValuedParameter<"int64_t", "0">:$offset,
                        OptionalArrayRefParameter<"int64_t">:$strides,
                        OptionalParameter<"::mlir::nn::ScaledAttr">:$scaled);
  let assemblyFormat = [{
    `<` $pattern `,` `[` $shape `]` (`at` $at^)? (`rows` $rows^)?
    (`offset` $offset^)? (`strides` `[` $strides^ `]`)?
    (`scaled` $scaled^)? `>`
  }];
}
def Nn_SourceArray : TypedArrayAttrBase<Nn_SourceAttr, "checkpoint sources">;

#endif
