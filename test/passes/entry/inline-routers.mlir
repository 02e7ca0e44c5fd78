// RUN: moe-opt %s --moe-inline-routers | FileCheck %s

// A router of any width takes the sizes of its operands.
moe.router @any(%x: tensor<?x?xf32>, %w: tensor<?x?xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x?xf32>, tensor<?x?xf32>
  %idx = moe.select %z top_k(2) : tensor<?x?xf32>
  %s = moe.pick %z, %idx : tensor<?x?xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  moe.return %plan, %s : !moe.plan<8, 2>, tensor<?x2xf32>
}
// CHECK-NOT: moe.router
// CHECK-LABEL: func.func @use
func.func @use(%x: tensor<?x16xf32>, %w: tensor<8x16xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  // CHECK: %[[Z:.*]] = nn.linear %{{.*}} : tensor<?x16xf32>, tensor<8x16xf32>
  // CHECK: moe.select %[[Z]] top_k(2) : tensor<?x8xf32>
  // CHECK-NOT: moe.route
  %p, %s = moe.route @any(%x, %w) : (tensor<?x16xf32>, tensor<8x16xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>)
  return %p, %s : !moe.plan<8, 2>, tensor<?x2xf32>
}
