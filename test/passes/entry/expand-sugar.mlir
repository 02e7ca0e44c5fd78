// RUN: moe-opt %inputs/mixtral.mlir --verify-model --moe-expand-sugar | FileCheck %s

// CHECK-LABEL: nn.model @tiny
// CHECK-NOT: nn.attention
// CHECK-NOT: moe.layer
// CHECK: %[[Q:.*]] = nn.reshape %{{.*}} : tensor<?x128xf32> -> tensor<?x4x32xf32>
// CHECK: nn.rope half %[[Q]]
// CHECK: nn.attend
// CHECK: %[[PLAN:.*]], %[[W:.*]] = moe.route @mixtral
// CHECK: %[[ROWS:.*]] = moe.dispatch %{{.*}}, %[[PLAN]]
// CHECK: %[[OUT:.*]] = moe.experts %[[ROWS]], %[[PLAN]] params
// CHECK: moe.combine %[[OUT]], %[[PLAN]], %[[W]]
// CHECK-NOT: nn.head
