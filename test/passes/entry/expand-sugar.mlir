// RUN: moe-opt %inputs/mixtral.mlir --verify-model --moe-expand-sugar | FileCheck %s

// CHECK-LABEL: nn.model @tiny
// CHECK-NOT: nn.attention
// CHECK-NOT: moe.layer
// CHECK: %[[Q:.*]] = nn.reshape %{{.*}} : tensor<?x128xf32> -> tensor<?x4x32xf32>
// CHECK: nn.rope half %[[Q]]
// CHECK: nn.attend
// CHECK: %[[R:.*]]:2 = moe.route @mixtral
// CHECK: %[[ROWS:.*]] = moe.dispatch %{{.*}}, %[[R]]#0
// CHECK: %[[OUT:.*]] = moe.experts %[[ROWS]], %[[R]]#0 params
// CHECK: moe.combine %[[OUT]], %[[R]]#0, %[[R]]#1
// CHECK-NOT: nn.head
