// RUN: moe-opt %s --moe-differentiate="entry=f of=0" --canonicalize --cse | FileCheck %s
// RUN: moe-opt %s --moe-differentiate="entry=g of=0" --canonicalize --cse | FileCheck %s --check-prefix=KEPT

// The size of a gradient does not depend on the number of layers.
nn.param @norm : tensor<3xf32> layers [0, 9] from [#nn.source<"{i}.norm", [3]>]
nn.param @gate : tensor<4x3xf32> layers [1, 9] from [#nn.source<"{i}.gate", [4, 3]>]
nn.param @w : tensor<4x3x3xbf16> layers [1, 9] from [#nn.source<"{i}.{e}.w", [3, 3]>]

// CHECK-LABEL: func.func @f_grad(
// CHECK-SAME: %[[X:.*]]: tensor<?x3xf32>, %[[DY:.*]]: tensor<?x3xf32> {nn.name = "grad.result0"})
// CHECK-SAME: -> (tensor<?x3xf32>, tensor<?x3xf32> {nn.name = "grad.arg0"},
// CHECK-SAME: tensor<9x3xf32> {nn.name = "grad.norm"}, tensor<8x4x3xf32> {nn.name = "grad.gate"}, tensor<8x4x3x3xf32> {nn.name = "grad.w"})
// CHECK: %[[Y:.*]]:[[N:[0-9]+]] = nn.layers 1 to 9(%[[X]])
// CHECK: moe.make_plan
// CHECK: nn.yield
// CHECK: %[[B:.*]]:4 = nn.layers 1 to 9 reverse(%[[DY]]) slices({{.*}} : {{.*}}!nn.stack<8 x !moe.plan<4, 2>>
// CHECK: ^bb0(%[[I:.*]]: index, %[[DN:[a-z0-9]+]]: tensor<?x3xf32>
// CHECK-NOT: moe.make_plan
// CHECK-DAG: nn.param_get @w[%[[I]]]
// Rows are gathered again.
// CHECK-DAG: %[[DR:.*]] = moe.dispatch %[[DN]]
// CHECK-DAG: %[[G:.*]] = moe.grouped_matmul_dx %[[DR]]
// CHECK-DAG: %[[ROWS:.*]] = moe.dispatch %{{[0-9]+}}
// CHECK-DAG: moe.weigh_grad %[[ROWS]], %{{.*}}, %{{.*}}, %[[G]]
// CHECK-DAG: %[[WEIGHED:.*]] = moe.weigh %[[ROWS]]
// CHECK-DAG: %[[DW:.*]] = moe.grouped_matmul_dw %[[DR]], %{{.*}}, %[[WEIGHED]]
// CHECK-DAG: moe.dispatch_grad
// CHECK-DAG: %[[DX:.*]], %[[DNORM:.*]] = nn.rms_norm_grad
// CHECK-DAG: %[[DG:.*]] = nn.linear_dw
// CHECK: nn.yield %{{.*}}, %[[DW]], %[[DG]], %[[DNORM]]
// Layer 0 is read by no loop.
// CHECK: %[[ALL:.*]] = nn.join_layers %{{.*}}, %[[B]]#
// CHECK: return %[[Y]]#0, %[[B]]#0, %[[ALL]], %[[B]]#
func.func @f(%x: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %y = nn.layers 1 to 9 (%x) : (tensor<?x3xf32>) -> tensor<?x3xf32> {
  ^bb0(%i: index, %h: tensor<?x3xf32>):
    %norm = nn.param_get @norm[%i] : tensor<3xf32>
    %gate = nn.param_get @gate[%i] : tensor<4x3xf32>
    %w = nn.param_get @w[%i] : tensor<4x3x3xbf16>
    %n = nn.rms_norm %h, %norm eps(1.0e-6) : tensor<?x3xf32>, tensor<3xf32>
    %z = nn.linear %n, %gate : tensor<?x3xf32>, tensor<4x3xf32>
    %p = nn.softmax %z axis(1) : tensor<?x4xf32>
    %idx = moe.select %p top_k(2) : tensor<?x4xf32>
    %s = moe.pick %p, %idx : tensor<?x4xf32>, tensor<?x2xi32>
    %plan = moe.make_plan %idx experts(4) : tensor<?x2xi32>
    %rows = moe.dispatch %n, %plan : tensor<?x3xf32>, !moe.plan<4, 2>
    %out = moe.experts %rows, %plan params(%w)
        : (tensor<?x3xf32>, !moe.plan<4, 2>, tensor<4x3x3xbf16>) -> tensor<?x3xf32> {
    ^bb0(%t: tensor<?x3xf32>, %we: tensor<3x3xbf16>):
      %0 = nn.linear %t, %we : tensor<?x3xf32>, tensor<3x3xbf16>
      moe.yield %0 : tensor<?x3xf32>
    }
    %m = moe.combine %out, %plan, %s : tensor<?x3xf32>, !moe.plan<4, 2>, tensor<?x2xf32>
    %r = arith.addf %h, %m : tensor<?x3xf32>
    nn.yield %r : tensor<?x3xf32>
  }
  return %y : tensor<?x3xf32>
}

// What is stacked already is not kept twice.
// KEPT-LABEL: func.func @g_grad(
// KEPT: %[[Y:.*]]:2 = nn.layers 0 to 4
// KEPT: nn.layers 0 to 4 reverse(%{{.*}}) slices(%[[Y]]#1 : tensor<4x3xf32>)
func.func @g(%x: tensor<3xf32>) -> (tensor<3xf32>, tensor<4x3xf32>) {
  %y:2 = nn.layers 0 to 4 (%x) : (tensor<3xf32>) -> (tensor<3xf32>, tensor<4x3xf32>) {
  ^bb0(%i: index, %h: tensor<3xf32>):
    %e = math.exp %h : tensor<3xf32>
    nn.yield %e, %e : tensor<3xf32>, tensor<3xf32>
  }
  return %y#0, %y#1 : tensor<3xf32>, tensor<4x3xf32>
}
