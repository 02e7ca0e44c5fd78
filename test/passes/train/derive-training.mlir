// RUN: moe-opt %s --moe-derive-training --split-input-file --verify-diagnostics | FileCheck %s

// The gradient of the objective, and beside it the norm and the step.
nn.param @w : tensor<4x8xf32> from [#nn.source<"w", [4, 8]>]
nn.param @norm : tensor<8xbf16> layers [0, 2] from [#nn.source<"norm.{i}", [8]>]
nn.param @table : tensor<4x2xi32> from [#nn.source<"table", [4, 2]>]
func.func @grad(%x: tensor<?x8xf32> {nn.name = "x"}) -> (tensor<f32> {nn.name = "objective"}, tensor<f32> {nn.name = "loss"}, tensor<f32> {nn.name = "aux_loss"}) attributes {nn.entry = "grad"} {
  %h = nn.layers 0 to 2 (%x) : (tensor<?x8xf32>) -> tensor<?x8xf32> {
  ^bb0(%i: index, %a: tensor<?x8xf32>):
    %g = nn.param_get @norm[%i] : tensor<8xbf16>
    %n = nn.rms_norm %a, %g eps(1.0e-6) : tensor<?x8xf32>, tensor<8xbf16>
    nn.yield %n : tensor<?x8xf32>
  }
  %w = nn.param_get @w : tensor<4x8xf32>
  %y = nn.linear %h, %w : tensor<?x8xf32>, tensor<4x8xf32>
  %r = nn.reduce sum %y axis(1) : tensor<?x4xf32>
  %s = nn.reduce sum %r axis(0) : tensor<?xf32>
  return %s, %s, %s : tensor<f32>, tensor<f32>, tensor<f32>
}
// CHECK: func.func @grad(
// CHECK-SAME: nn.name = "grad.w"
// CHECK-SAME: tensor<2x8xf32> {nn.name = "grad.norm"}
// CHECK-NOT: grad.table
// CHECK: nn.linear_dw
// CHECK: nn.layers 0 to 2 reverse
// CHECK: nn.rms_norm_grad
// CHECK: func.func @grad_norm(
// CHECK: nn.sum_squares
// CHECK: func.func @update(
// CHECK-SAME: nn.name = "param.w"
// CHECK-SAME: nn.name = "master.norm"
// CHECK-SAME: nn.name = "next.param.norm"
// CHECK: nn.adamw decayed
// CHECK: nn.adamw %
// CHECK: arith.truncf

// -----

// Tied parameters are one; what shares a part of a tensor is refused.
nn.param @embed : tensor<4x8xf32> from [#nn.source<"w", [4, 8]>]
// expected-error @below {{shares a part of a tensor with "embed", which training cannot split}}
nn.param @half : tensor<2x8xf32> from [#nn.source<"w", [4, 8] rows 2>]
func.func @grad(%x: tensor<?x8xf32>) -> (tensor<f32> {nn.name = "objective"}, tensor<f32>, tensor<f32>) attributes {nn.entry = "grad"} {
  %w = nn.param_get @embed : tensor<4x8xf32>
  %y = nn.linear %x, %w : tensor<?x8xf32>, tensor<4x8xf32>
  %r = nn.reduce sum %y axis(1) : tensor<?x4xf32>
  %s = nn.reduce sum %r axis(0) : tensor<?xf32>
  return %s, %s, %s : tensor<f32>, tensor<f32>, tensor<f32>
}
