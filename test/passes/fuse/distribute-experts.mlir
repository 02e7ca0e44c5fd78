// RUN: moe-opt %s --moe-distribute-experts | FileCheck %s

// CHECK-LABEL: func.func @glu
// CHECK-SAME: %[[X:.*]]: tensor<?x4xf32>, %[[P:.*]]: !moe.plan<4, 2>, %[[GU:.*]]: tensor<4x12x4xf32>, %[[D:.*]]: tensor<4x4x6xf32>, %[[B:.*]]: tensor<4x4xf32>
func.func @glu(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %gu: tensor<4x12x4xf32>, %d: tensor<4x4x6xf32>, %b: tensor<4x4xf32>) -> tensor<?x4xf32> {
  // CHECK: %[[H:.*]] = moe.grouped_matmul %[[X]], %[[P]], %[[GU]]
  // CHECK: %[[A:.*]] = nn.glu silu %[[H]] : tensor<?x12xf32>
  // CHECK: %[[Y:.*]] = moe.grouped_matmul %[[A]], %[[P]], %[[D]] bias(%[[B]]
  // CHECK: return %[[Y]]
  %y = moe.experts %x, %p params(%gu, %d, %b) : (tensor<?x4xf32>, !moe.plan<4, 2>, tensor<4x12x4xf32>, tensor<4x4x6xf32>, tensor<4x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%t: tensor<?x4xf32>, %g: tensor<12x4xf32>, %w: tensor<4x6xf32>, %c: tensor<4xf32>):
    %h = nn.linear %t, %g : tensor<?x4xf32>, tensor<12x4xf32>
    %a = nn.glu silu %h : tensor<?x12xf32>
    %o = nn.linear %a, %w bias(%c : tensor<4xf32>) : tensor<?x6xf32>, tensor<4x6xf32>
    moe.yield %o : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// A vector of the expert for each of its rows.
// CHECK-LABEL: func.func @scale
func.func @scale(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %v: tensor<4x4xf32>) -> tensor<?x4xf32> {
  // CHECK: %[[V:.*]] = moe.grouped_broadcast
  // CHECK: arith.mulf %{{.*}}, %[[V]]
  %y = moe.experts %x, %p params(%v) : (tensor<?x4xf32>, !moe.plan<4, 2>, tensor<4x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%t: tensor<?x4xf32>, %s: tensor<4xf32>):
    %b = nn.broadcast %s like %t : tensor<?x4xf32> axis(0) : tensor<4xf32> -> tensor<?x4xf32>
    %o = arith.mulf %t, %b : tensor<?x4xf32>
    moe.yield %o : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
