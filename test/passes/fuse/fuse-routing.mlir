// RUN: moe-opt %s --moe-fuse-routing | FileCheck %s
// RUN: moe-opt %s --moe-fuse-routing --moe-unfuse-routing --cse | FileCheck %s --check-prefix=BACK
// RUN: moe-opt %s --moe-fuse-routing --remarks-filter-missed=".*" --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=MISSED

// Mixtral: softmax over all experts, best two, weights scaled to sum 1.
// CHECK-LABEL: func.func @mixtral
// BACK-LABEL: func.func @mixtral
func.func @mixtral(%x: tensor<?x16xf32>, %g: tensor<8x16xf32>) -> tensor<?x16xf32> {
  // CHECK-NEXT: %[[PLAN:.*]], %[[W:.*]] = moe.route_permute %{{.*}} params(%{{.*}}) : (tensor<?x16xf32>, tensor<8x16xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  // CHECK-NEXT: ^bb0(%[[T:.*]]: tensor<?x16xf32>, %[[G:.*]]: tensor<8x16xf32>):
  // CHECK-NEXT: %[[Z:.*]] = nn.linear %[[T]], %[[G]]
  // CHECK-NEXT: %[[P:.*]] = nn.softmax %[[Z]]
  // CHECK-NEXT: %[[I:.*]] = moe.select %[[P]]
  // CHECK-NEXT: %[[S:.*]] = moe.pick %[[P]], %[[I]]
  // CHECK-NEXT: nn.reduce sum %[[S]]
  // CHECK-NEXT: nn.broadcast
  // CHECK-NEXT: %[[Y:.*]] = arith.divf
  // CHECK-NEXT: moe.yield %[[I]], %[[Y]]
  // CHECK-NEXT: }
  // CHECK-NEXT: moe.dispatch %{{.*}}, %[[PLAN]]
  // CHECK-NEXT: moe.combine %{{.*}}, %[[PLAN]], %[[W]]
  // BACK-NOT: moe.route_permute
  // BACK: %[[I:.*]] = moe.select
  // BACK: moe.make_plan %[[I]] experts(8)
  // BACK: moe.combine
  %z = nn.linear %x, %g : tensor<?x16xf32>, tensor<8x16xf32>
  %p = nn.softmax %z axis(1) : tensor<?x8xf32>
  %idx = moe.select %p top_k(2) : tensor<?x8xf32>
  %s = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x2xi32>
  %sum = nn.reduce sum %s axis(1) : tensor<?x2xf32>
  %den = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x2xf32>
  %w = arith.divf %s, %den : tensor<?x2xf32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  %r = moe.dispatch %x, %plan : tensor<?x16xf32>, !moe.plan<8, 2>
  %y = moe.combine %r, %plan, %w : tensor<?x16xf32>, !moe.plan<8, 2>, tensor<?x2xf32>
  return %y : tensor<?x16xf32>
}

// DeepSeek-V2: the best groups only, weights scaled by a constant; rows in
// bf16, and what makes them stays outside.
// CHECK-LABEL: func.func @deepseek_v2
func.func @deepseek_v2(%h: tensor<?x16xbf16>, %n: tensor<16xbf16>, %g: tensor<8x16xf32>) -> (!moe.plan<8, 3>, tensor<?x3xf32>) {
  // CHECK-NEXT: %[[X:.*]] = nn.rms_norm
  // CHECK-NEXT: moe.route_permute %[[X]] params(%{{.*}}) : (tensor<?x16xbf16>, tensor<8x16xf32>)
  // CHECK-NEXT: ^bb0(%[[T:.*]]: tensor<?x16xbf16>, %{{.*}}: tensor<8x16xf32>):
  // CHECK-NEXT: arith.extf %[[T]]
  // CHECK-NEXT: nn.linear
  // CHECK-NEXT: nn.softmax
  // CHECK-NEXT: moe.group_mask
  // CHECK-NEXT: moe.select
  // CHECK-NEXT: moe.pick
  // CHECK-NEXT: arith.constant
  // CHECK-NEXT: nn.broadcast
  // CHECK-NEXT: arith.mulf
  // CHECK-NEXT: moe.yield
  // CHECK-NEXT: }
  // CHECK-NEXT: return
  %scale = arith.constant dense<16.0> : tensor<3xf32>
  %x = nn.rms_norm %h, %n eps(1.0e-6) : tensor<?x16xbf16>, tensor<16xbf16>
  %f = arith.extf %x : tensor<?x16xbf16> to tensor<?x16xf32>
  %z = nn.linear %f, %g : tensor<?x16xf32>, tensor<8x16xf32>
  %p = nn.softmax %z axis(1) : tensor<?x8xf32>
  %m = moe.group_mask %p groups(4) keep(2) score(max) fill(0.0) : tensor<?x8xf32>
  %idx = moe.select %m top_k(3) : tensor<?x8xf32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x3xi32>
  %s = moe.pick %m, %idx : tensor<?x8xf32>, tensor<?x3xi32>
  %all = nn.broadcast %scale like %s : tensor<?x3xf32> axis(0) : tensor<3xf32> -> tensor<?x3xf32>
  %w = arith.mulf %s, %all : tensor<?x3xf32>
  return %plan, %w : !moe.plan<8, 3>, tensor<?x3xf32>
}

// Tokens compete for experts: not one row alone.
// CHECK-LABEL: func.func @over_tokens
// CHECK-NOT: moe.route_permute
// CHECK: moe.make_plan
// MISSED: [Missed] FuseRouting
// MISSED-SAME: 'nn.softmax' looks at other tokens
func.func @over_tokens(%x: tensor<?x16xf32>, %g: tensor<8x16xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %g : tensor<?x16xf32>, tensor<8x16xf32>
  %p = nn.softmax %z axis(0) : tensor<?x8xf32>
  %idx = moe.select %p top_k(2) : tensor<?x8xf32>
  %s = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  return %plan, %s : !moe.plan<8, 2>, tensor<?x2xf32>
}

// Indices that come from nowhere near a gate.
// CHECK-LABEL: func.func @given
// CHECK-NOT: moe.route_permute
// CHECK: moe.make_plan
func.func @given(%idx: tensor<?x2xi32>, %p: tensor<?x8xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  %s = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x2xi32>
  return %plan, %s : !moe.plan<8, 2>, tensor<?x2xf32>
}
