// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The end of a training step: the loss, and the update of parameters.
#ifndef MOE_DIALECT_NN_NNTRAINOPS_TD
#define MOE_DIALECT_NN_NNTRAINOPS_TD

include "dialect/nn/NnBase.td"

def Nn_CrossEntropyOp : Nn_CoreOp<"cross_entropy", [Pure, Nn_RowWise, Nn_Differentiable]> {
  let summary = "negative log-likelihood of a target in each row";
  let description = [{
    `y[t] = log Σ_v exp(x[t, v] − m) + m − x[t, targets[t]]` with `m` the
    largest of the row, in nats; 0 where `targets[t] < 0`, a token without a
    target. Other targets are in `[0, V)`; the runtime refuses others before a
    step.

    (C1) `x` is `[T, V]`, `targets` is `[T]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$x, Nn_Ints:$targets);
  let results = (outs RankedTensorOf<[F32, F64]>:$y);
  let assemblyFormat = "$x `,` $targets attr-dict `:` type($x) `,` type($targets)";
}

def Nn_CrossEntropyGradOp : Nn_CoreOp<"cross_entropy_grad", [Pure, Nn_RowWise]> {
  let summary = "gradient of nn.cross_entropy";
  let description = [{
    `dx[t, v] = dy[t]·(softmax(x[t])[v] − [v = targets[t]])`, 0 in rows without
    a target.

    (C1) `x` is `[T, V]`, `targets` and `dy` are `[T]`.
  }];
  let arguments = (ins RankedTensorOf<[F32, F64]>:$x, Nn_Ints:$targets, RankedTensorOf<[F32, F64]>:$dy);
  let results = (outs RankedTensorOf<[F32, F64]>:$dx);
  let assemblyFormat = "$x `,` $targets `,` $dy attr-dict `:` type($x) `,` type($targets) `,` type($dy)";
}

def Nn_HeadLossOp : Nn_CoreOp<"head_loss", [Pure]> {
  let summary = "output projection, cross-entropy and its gradients at once";
  let description = [{
    The negative log-likelihoods `y` of `nn.cross_entropy` for the logits
    `scale·nn.linear(x, w)`, taken in f32, and the gradients of `Σ dy·y`: `dx`
    like `x`, and `dw`. Without `dy` the result is `y` alone. Logits exist for a chunk of tokens at a time, so that
    nothing of size tokens x vocabulary is kept. The order of operations is that
    of `nn.linear`, `nn.cross_entropy_grad`, `nn.linear_dx` and `nn.linear_dw`.

    (C1) `x` is `[T, K]`, `w` is `[V, K]`. (C2) `targets` and `dy` are `[T]`.
  }];
  let arguments = (ins Nn_Activation:$x, Nn_Weight:$w, Nn_Ints:$targets, Optional<RankedTensorOf<[F32, F64]>>:$dy, F64Attr:$scale);
  let results = (outs RankedTensorOf<[F32, F64]>:$y, Variadic<AnyRankedTensor>:$gradients);
  let assemblyFormat = "$x `,` $w `,` $targets (`dy` `(` $dy^ `:` type($dy) `)`)? `scale` `(` $scale `)` attr-dict `:` type($x) `,` type($w) `,` type($targets)";
  let extraClassDeclaration = [{
    /// Null without `dy`.
    ::mlir::Value getDx() { return getDy() ? getGradients()[0] : ::mlir::Value(); }
    ::mlir::Value getDw() { return getDy() ? getGradients()[1] : ::mlir::Value(); }
  }];
}

def Nn_SumSquaresOp : Nn_CoreOp<"sum_squares", [Pure]> {
  let summary = "sum of the squares of all elements of several tensors";
  let description = [{
    `y = Σ_i Σ_j xs[i][j]²`: the square of the global norm of gradients. Each
    tensor is cut into blocks of 4096 elements in row-major order; a block is
    summed in 16 lanes and one fixed tree, blocks and tensors are added in
    order.

    (C1) at least one operand, all of static shape and one element type.
  }];
  let arguments = (ins Variadic<Nn_WeightGrad>:$xs);
  let results = (outs Nn_WeightGrad:$y);
  let assemblyFormat = "$xs attr-dict `:` type($xs)";
}

def Nn_AdamwOp : Nn_CoreOp<"adamw", [Pure]> {
  let summary = "one AdamW step of a parameter";
  let description = [{
    AdamW with decoupled decay (Loshchilov and Hutter 2019), in f32. `hyper`
    holds lr, β1, β2, ε, decay, `1 − β1^t`, `1 − β2^t` of step t and `scale`,
    the factor of all gradients (of the clip by the global norm, of accumulated
    batches):

      g  = grad·scale
      m' = β1·m + (1 − β1)·g
      v' = β2·v + (1 − β2)·g²
      w' = w·(1 − lr·decay) − lr/(1 − β1^t) · m' / (√(v'/(1 − β2^t)) + ε)

    Without `decayed` the decay is 0: norms, biases and other vectors.

    (C1) `w`, `grad`, `m` and `v` have one static shape. (C2) `hyper` is `[8]`.
  }];
  let arguments = (ins Nn_WeightGrad:$w, Nn_WeightGrad:$grad, Nn_WeightGrad:$m, Nn_WeightGrad:$v,
                       Nn_WeightGrad:$hyper, UnitAttr:$decayed);
  let results = (outs Nn_WeightGrad:$new_w, Nn_WeightGrad:$new_m, Nn_WeightGrad:$new_v);
  let assemblyFormat = "(`decayed` $decayed^)? $w `,` $grad `,` $m `,` $v `,` $hyper attr-dict `:` type($w) `,` type($grad) `,` type($m) `,` type($v) `,` type($hyper)";
}

#endif
