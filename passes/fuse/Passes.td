// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Local phase to fused phase.
#ifndef MOE_PASSES_FUSE_PASSES_TD
#define MOE_PASSES_FUSE_PASSES_TD

include "mlir/Pass/PassBase.td"

def DistributeExperts : Pass<"moe-distribute-experts", "::mlir::ModuleOp"> {
  let summary = "runs the bodies of all experts as grouped operations";
  let description = [{
    Products with a parameter of the expert become `moe.grouped_matmul`, its
    vectors `moe.grouped_broadcast`; row-wise operations of rows alone stay as
    they are, on the rows of all experts.
  }];
}

def InlineForward : Pass<"moe-inline-forward", "::mlir::ModuleOp"> {
  let summary = "replaces operations with a gradient of their own by what they compute";
}

def FuseHeadLoss : Pass<"moe-fuse-head-loss", "::mlir::ModuleOp"> {
  let summary = "output projection, loss and their gradients as one operation";
  let description = [{
    A cross-entropy of a product and the gradients of both become one
    `nn.head_loss`, which has logits for a chunk of tokens at a time. A head with
    a bias, or whose logits are read elsewhere, stays as it is.
  }];
  let dependentDialects = ["::mlir::nn::NnDialect"];
}

def GatherDispatch : Pass<"moe-gather-dispatch", "::mlir::ModuleOp"> {
  let summary = "reads token rows in the grouped product instead of copying them";
}

def FuseRouting : Pass<"moe-fuse-routing", "::mlir::ModuleOp"> {
  let summary = "routers as one operation, from token rows to plan";
  let description = [{
    Moves the row-wise operations that make the indices of a `moe.make_plan` and
    the weights beside it, from the product with the gate on, into a
    `moe.route_permute`. Routers that look at other tokens stay as they are.
  }];
}

def UnfuseRouting : Pass<"moe-unfuse-routing", "::mlir::ModuleOp"> {
  let summary = "the operations of moe.route_permute one by one";
}

def VerifyFused : Pass<"verify-fused", "::mlir::ModuleOp"> {
  let summary = "closes the fused phase: no body of experts remains";
}

#endif
