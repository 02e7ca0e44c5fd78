// RUN: moe-opt %s --canonicalize | FileCheck %s

// A layers loop keeps and slices only what is used.
// CHECK-LABEL: func.func @f
// CHECK-SAME: %[[X:.*]]: tensor<?x3xf32>, %[[A:.*]]: tensor<2x3xf32>, %[[B:.*]]: tensor<2x3xf32>
func.func @f(%x: tensor<?x3xf32>, %a: tensor<2x3xf32>, %b: tensor<2x3xf32>) -> (tensor<?x3xf32>, tensor<2x3xf32>) {
  // CHECK: %[[Y:.*]]:2 = nn.layers 0 to 2(%[[X]]) slices(%[[B]] : tensor<2x3xf32>) : (tensor<?x3xf32>) -> (tensor<?x3xf32>, tensor<2x3xf32>)
  // CHECK: ^bb0(%{{.*}}: index, %[[H:.*]]: tensor<?x3xf32>, %[[S:.*]]: tensor<3xf32>):
  // CHECK: nn.yield %[[H]], %[[S]]
  // CHECK: return %[[Y]]#0, %[[Y]]#1
  %y:3 = nn.layers 0 to 2 (%x) slices(%a, %b : tensor<2x3xf32>, tensor<2x3xf32>)
      : (tensor<?x3xf32>) -> (tensor<?x3xf32>, tensor<2x?x3xf32>, tensor<2x3xf32>) {
  ^bb0(%i: index, %h: tensor<?x3xf32>, %s: tensor<3xf32>, %t: tensor<3xf32>):
    nn.yield %h, %h, %t : tensor<?x3xf32>, tensor<?x3xf32>, tensor<3xf32>
  }
  return %y#0, %y#2 : tensor<?x3xf32>, tensor<2x3xf32>
}
