// RUN: moe-opt %s --verify-step
// RUN: moe-opt %s --moe-differentiate="entry=f of=0" --verify-step | FileCheck %s
// RUN: moe-opt %s --moe-differentiate="entry=f of=0" --canonicalize --cse --verify-step
// RUN: moe-opt %s --moe-differentiate="entry=f of=0" | sed "s/ attributes {nn.gradient_of = @f}//" | not moe-opt --verify-step 2>&1 | FileCheck %s --check-prefix=PLAIN

// A gradient holds bodies of experts as grouped operations, forward and backward: core operations of the step phase
// there, and refused in any other function.
// CHECK-LABEL: func.func @f(
// CHECK: moe.experts
// CHECK-LABEL: func.func @f_grad(
// CHECK-SAME: attributes {nn.gradient_of = @f}
// CHECK: moe.grouped_broadcast
// CHECK: moe.grouped_matmul
// CHECK: moe.grouped_matmul_dw
// PLAIN: 'moe.grouped_broadcast' op cannot stand at the step phase

nn.param @w : tensor<4x3x3xbf16> from [#nn.source<"{e}.w", [3, 3]>]
nn.param @s : tensor<4x3xbf16> from [#nn.source<"{e}.s", [3]>]

func.func @f(%x: tensor<?x3xf32>, %idx: tensor<?x2xi32>, %weights: tensor<?x2xf32>) -> tensor<?x3xf32> {
  %w = nn.param_get @w : tensor<4x3x3xbf16>
  %s = nn.param_get @s : tensor<4x3xbf16>
  %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x3xf32>, !moe.plan<4, 2>
  %out = moe.experts %rows, %plan params(%w, %s)
      : (tensor<?x3xf32>, !moe.plan<4, 2>, tensor<4x3x3xbf16>, tensor<4x3xbf16>) -> tensor<?x3xf32> {
  ^bb0(%t: tensor<?x3xf32>, %we: tensor<3x3xbf16>, %se: tensor<3xbf16>):
    %0 = nn.broadcast %se like %t : tensor<?x3xf32> axis(0) : tensor<3xbf16> -> tensor<?x3xbf16>
    %1 = arith.extf %0 : tensor<?x3xbf16> to tensor<?x3xf32>
    %2 = arith.mulf %t, %1 : tensor<?x3xf32>
    %3 = nn.linear %2, %we : tensor<?x3xf32>, tensor<3x3xbf16>
    moe.yield %3 : tensor<?x3xf32>
  }
  %y = moe.combine %out, %plan, %weights : tensor<?x3xf32>, !moe.plan<4, 2>, tensor<?x2xf32>
  return %y : tensor<?x3xf32>
}
