// RUN: moe-opt %s --moe-differentiate="entry=f of=x,1" --canonicalize --cse | FileCheck %s
// RUN: moe-opt %s --moe-differentiate="entry=f of=1 wrt=none" --canonicalize --cse | FileCheck %s --check-prefix=ROWS
// RUN: moe-opt %s --moe-differentiate="entry=f wrt=b" --canonicalize --cse | FileCheck %s --check-prefix=BIAS

nn.param @w : tensor<2x3xbf16> from [#nn.source<"w", [2, 3]>]
nn.param @b : tensor<2xf32> from [#nn.source<"b", [2]>]
nn.param @unread : tensor<2xf32> from [#nn.source<"unread", [2]>]

// The entry stays as it is.
// CHECK-LABEL: func.func @f(
// CHECK-SAME: -> (tensor<?x2xf32> {nn.name = "logits"}, tensor<?x3xf32>)
// CHECK-NOT: nn.linear_dx

// Its gradient has its results and more.
// CHECK-LABEL: func.func @f_grad(
// CHECK-SAME: %[[X:.*]]: tensor<?x3xf32> {nn.name = "x"}, %[[S:.*]]: tensor<?x3xf32>, %[[DY:.*]]: tensor<?x2xf32> {nn.name = "grad.logits"})
// CHECK-SAME: -> (tensor<?x2xf32> {nn.name = "logits"}, tensor<?x3xf32>, tensor<?x3xf32> {nn.name = "grad.x"}, tensor<?x3xf32> {nn.name = "grad.arg1"},
// CHECK-SAME: tensor<2x3xf32> {nn.name = "grad.w"}, tensor<2xf32> {nn.name = "grad.b"})
// CHECK-SAME: attributes {nn.entry = "f_grad", nn.gradient_of = @f}
// CHECK-DAG: %[[W:.*]] = nn.param_get @w
// CHECK-DAG: %[[P:.*]] = arith.mulf %[[X]], %[[S]]
// CHECK-DAG: %[[Y:.*]] = nn.linear %[[P]], %[[W]]
// The gradient of a weight is f32, whatever it is stored as.
// CHECK-DAG: %[[DP:.*]] = nn.linear_dx %[[DY]], %[[W]]
// CHECK-DAG: %[[DW:.*]] = nn.linear_dw %[[DY]], %[[P]]
// CHECK-DAG: %[[DB:.*]] = nn.reduce sum %[[DY]] axis(0)
// CHECK-DAG: %[[DX:.*]] = arith.mulf %[[DP]], %[[S]]
// CHECK-DAG: %[[DS:.*]] = arith.mulf %[[DP]], %[[X]]
// CHECK: return %[[Y]], %[[P]], %[[DX]], %[[DS]], %[[DW]], %[[DB]]

// Nothing is computed for what was not asked for.
// ROWS-LABEL: func.func @f_grad(
// ROWS-SAME: -> (tensor<?x2xf32> {nn.name = "logits"}, tensor<?x3xf32>, tensor<?x3xf32> {nn.name = "grad.arg1"})
// ROWS: nn.linear_dx
// ROWS-NOT: nn.linear_dw
// ROWS: return

// BIAS-LABEL: func.func @f_grad(
// BIAS-SAME: -> (tensor<?x2xf32> {nn.name = "logits"}, tensor<?x3xf32>, tensor<2xf32> {nn.name = "grad.b"})
// BIAS-NOT: nn.linear_d
// BIAS: nn.reduce sum
// BIAS-NOT: nn.linear_d
// BIAS: return
func.func @f(%x: tensor<?x3xf32> {nn.name = "x"}, %s: tensor<?x3xf32>)
    -> (tensor<?x2xf32> {nn.name = "logits"}, tensor<?x3xf32>) attributes {nn.entry = "f"} {
  %w = nn.param_get @w : tensor<2x3xbf16>
  %b = nn.param_get @b : tensor<2xf32>
  %p = arith.mulf %x, %s : tensor<?x3xf32>
  %y = nn.linear %p, %w bias(%b : tensor<2xf32>) : tensor<?x3xf32>, tensor<2x3xbf16>
  return %y, %p : tensor<?x2xf32>, tensor<?x3xf32>
}
