// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-partition-experts{mesh=dp=2,ep=2},verify-local)' --verify-roundtrip | FileCheck %s
// RUN: moe-opt %s --pass-pipeline='builtin.module(moe-partition-experts{mesh=dp=1,ep=1},verify-local)' | FileCheck %s --check-prefix=ONE
// ONE-NOT: moe.mesh
// ONE-NOT: all_to_all_v

// CHECK: module attributes {moe.mesh = {dp = 2 : i64, ep = 2 : i64}}

// Each rank reads its half of the experts; what is not an expert's stays whole.
// CHECK: nn.param @gate : tensor<8x16xf32> from
// CHECK-NOT: moe.shard
// CHECK: nn.param @up : tensor<4x24x16xf32> layers {{.*}} {moe.shard = 2 : i64}
nn.param @gate : tensor<8x16xf32> from [#nn.source<"gate.weight", [8, 16]>]
nn.param @up : tensor<8x24x16xf32> layers [0, 2]
  from [#nn.source<"model.layers.{i}.experts.{e}.up.weight", [24, 16]>]

// CHECK-LABEL: func.func @layer
// CHECK-SAME: %[[X:.*]]: tensor<?x16xf32>, %[[IDX:.*]]: tensor<?x3xi32>, %[[W:.*]]: tensor<?x3xf32>, %[[DOWN:.*]]: tensor<4x16x12xf32>
// CHECK: %[[PLAN:.*]] = moe.make_plan
// CHECK: %[[ROWS:.*]] = moe.dispatch %[[X]], %[[PLAN]]
// CHECK: %[[UP:.*]] = nn.param_get @up[%{{.*}}] : tensor<4x24x16xf32>
// CHECK: %[[IN:.*]], %[[LOCAL:.*]], %[[FROM:.*]] = moe.all_to_all_v %[[ROWS]], %[[PLAN]] ranks(2) axis("ep")
// CHECK: %[[OWN:.*]] = moe.dispatch %[[IN]], %[[LOCAL]] : tensor<?x16xf32>, <4, 1>
// CHECK: %[[Y:.*]] = moe.experts %[[OWN]], %[[LOCAL]] params(%[[UP]], %[[DOWN]])
// CHECK: %[[BACK:.*]] = moe.all_to_all_v_back %[[Y]], %[[LOCAL]], %[[FROM]], %[[PLAN]] axis("ep")
// CHECK: moe.combine %[[BACK]], %[[PLAN]], %[[W]]
func.func @layer(%x: tensor<?x16xf32>, %idx: tensor<?x3xi32>, %w: tensor<?x3xf32>, %down: tensor<8x16x12xf32>) -> tensor<?x16xf32> {
  %plan = moe.make_plan %idx experts(8) : tensor<?x3xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x16xf32>, !moe.plan<8, 3>
  %one = arith.constant 1 : index
  %up = nn.param_get @up[%one] : tensor<8x24x16xf32>
  %out = moe.experts %rows, %plan params(%up, %down) : (tensor<?x16xf32>, !moe.plan<8, 3>, tensor<8x24x16xf32>, tensor<8x16x12xf32>) -> tensor<?x16xf32> {
  ^bb0(%r: tensor<?x16xf32>, %u: tensor<24x16xf32>, %d: tensor<16x12xf32>):
    %h = nn.linear %r, %u : tensor<?x16xf32>, tensor<24x16xf32>
    %a = nn.glu silu %h : tensor<?x24xf32>
    %o = nn.linear %a, %d : tensor<?x12xf32>, tensor<16x12xf32>
    moe.yield %o : tensor<?x16xf32>
  }
  %y = moe.combine %out, %plan, %w : tensor<?x16xf32>, !moe.plan<8, 3>, tensor<?x3xf32>
  return %y : tensor<?x16xf32>
}

// No experts: nothing to exchange.
// CHECK-LABEL: func.func @dense
// CHECK-NOT: all_to_all
// CHECK: nn.param_get @gate : tensor<8x16xf32>
func.func @dense(%x: tensor<?x16xf32>) -> tensor<?x8xf32> {
  %g = nn.param_get @gate : tensor<8x16xf32>
  %y = nn.linear %x, %g : tensor<?x16xf32>, tensor<8x16xf32>
  return %y : tensor<?x8xf32>
}
