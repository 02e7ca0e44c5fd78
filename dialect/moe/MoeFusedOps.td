// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations of the fused phase that hold whole chains of others.
#ifndef MOE_DIALECT_MOE_MOEFUSEDOPS_TD
#define MOE_DIALECT_MOE_MOEFUSEDOPS_TD

include "dialect/moe/MoeBase.td"

def Moe_RoutePermuteOp : Moe_Op<"route_permute", [Pure, IsolatedFromAbove,
    SingleBlockImplicitTerminator<"YieldOp">]> {
  let summary = "from token rows to a plan in one pass over tokens";
  let description = [{
    A whole router whose decision for a token depends on that token alone. The
    region maps rows of tokens to the indices `[T, K]` and weights `[T, K]` of
    their experts; the plan is what `moe.make_plan` makes of the indices. As
    every row stands alone, a target may run the region row by row and count
    experts on the way: no scores in memory, no sort.

    (C1) `x` is `[T, D]`. (C2) region arguments are `x` and the parameters.
    (C3) the region yields i32 `[T, K]` with the K of the plan and values of
    the type of the weights, `[T, K]`. 
    (C4) every operation of the region is row-wise or elementwise, a constant,
    or a softmax, reduction or broadcast within rows.

    ```mlir
    %plan, %weights = moe.route_permute %x params(%w) : (tensor<?x128xf32>, tensor<8x128xf32>)
        -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
    ^bb0(%t: tensor<?x128xf32>, %g: tensor<8x128xf32>):
      %z = nn.linear %t, %g : tensor<?x128xf32>, tensor<8x128xf32>
      %p = nn.softmax %z axis(1) : tensor<?x8xf32>
      %idx = moe.select %p top_k(2) : tensor<?x8xf32>
      %s = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x2xi32>
      moe.yield %idx, %s : tensor<?x2xi32>, tensor<?x2xf32>
    }
    ```
  }];
  let arguments = (ins Nn_Activation:$x, Variadic<AnyRankedTensor>:$params);
  let results = (outs Moe_PlanType:$plan, RankedTensorOf<[F32, F64]>:$weights);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$x `params` `(` $params `)` attr-dict `:` functional-type(operands, results) $body";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether row t of the results of |op| depends on row t of its operands
    /// alone, T being the first dimension: what the region may hold.
    static bool isRowWise(::mlir::Operation *op);
    /// What the region yields.
    ::mlir::Value getYieldedIndices();
    ::mlir::Value getYieldedWeights();
  }];
}

#endif
