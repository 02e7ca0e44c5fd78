// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Step phase: gradients.
#ifndef MOE_PASSES_TRAIN_PASSES_TD
#define MOE_PASSES_TRAIN_PASSES_TD

include "mlir/Pass/PassBase.td"

def Differentiate : Pass<"moe-differentiate", "::mlir::ModuleOp"> {
  let summary = "makes the reverse-mode gradient of an entry";
  let description = [{
    From the function `@NAME(args…) -> (y, …)` of the step phase makes
    `@NAME_grad(args…, dy) -> (y, …, gradients)`: the results of `@NAME`, then
    the gradients of `Σ y·dy` with respect to the arguments named by `of`, in
    that order, then with respect to parameters, in the order of their
    declarations. The gradient of an argument has its type. That of a parameter
    is f32 (f64 where it is f64), of all layers (`[L, …]`) where it has layers,
    and 0 where nothing reaches it. Names (`nn.name`) are `grad.` and the name
    of the argument, parameter or result.

    A layers loop keeps values for its backward loop, stacked by layer: the
    fewest bytes from which the rest can be computed again, as `recompute` lets
    it: `none` what moves elements, `selective` norms, activations and other
    element-wise operations too, `full` products and attention too. Choices of
    experts and plans are never computed again. Gradients are the same to the
    bit. Bodies of experts run as grouped operations, forward and backward, and
    weights of experts are taken into account before their last product, so
    that none of its rows is kept.

    Integers, plans, masks and `moe.stop_gradient` carry no gradient. Any other
    operation without a rule that a gradient reaches is refused by name.
  }];
  let options = [
    Option<"entry", "entry", "std::string", "\"\"", "the function to differentiate">,
    ListOption<"of", "of", "std::string", "arguments, by nn.name or number, that get a gradient">,
    ListOption<"wrt", "wrt", "std::string", "params (default), none, or names of parameters">,
    Option<"recompute", "recompute", "std::string", "\"selective\"", "none, selective or full">
  ];
  let dependentDialects = ["::mlir::moe::MoeDialect", "::mlir::nn::NnDialect"];
}

def DeriveTraining : Pass<"moe-derive-training", "::mlir::ModuleOp"> {
  let summary = "completes the entries of training";
  let description = [{
    Where `moe-derive-entries` made `@grad`, adds the gradients of its first
    result with respect to every floating-point parameter that it reads (f32,
    `[L, …]` where the parameter has layers), and beside it `@grad_norm`, the
    sum of the squares of all gradients, and `@update`, one AdamW step of all
    parameters. A program without it stays as it is. With several policies of
    `recompute` the first is that of `@grad`, others that of `@grad_POLICY`.
  }];
  let options = [
    ListOption<"recompute", "recompute", "std::string", "none, selective or full (default: selective)">
  ];
  let dependentDialects = ["::mlir::moe::MoeDialect", "::mlir::nn::NnDialect"];
}

#endif
