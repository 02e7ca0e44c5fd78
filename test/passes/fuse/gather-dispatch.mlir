// RUN: moe-opt %s --moe-gather-dispatch | FileCheck %s

// CHECK-LABEL: func.func @gather
func.func @gather(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<4x5x4xf32>) -> tensor<?x5xf32> {
  // CHECK-NOT: moe.dispatch
  // CHECK: moe.grouped_matmul gather %{{.*}}
  %r = moe.dispatch %x, %p : tensor<?x4xf32>, !moe.plan<4, 2>
  %y = moe.grouped_matmul %r, %p, %w : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<4x5x4xf32>
  return %y : tensor<?x5xf32>
}

// Rows of another plan are not those of this product.
// CHECK-LABEL: func.func @other_plan
func.func @other_plan(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %q: !moe.plan<4, 2>, %w: tensor<4x5x4xf32>) -> tensor<?x5xf32> {
  // CHECK: moe.dispatch
  // CHECK-NOT: gather
  %r = moe.dispatch %x, %p : tensor<?x4xf32>, !moe.plan<4, 2>
  %y = moe.grouped_matmul %r, %q, %w : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<4x5x4xf32>
  return %y : tensor<?x5xf32>
}
