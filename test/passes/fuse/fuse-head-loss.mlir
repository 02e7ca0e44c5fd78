// RUN: moe-opt %s --moe-fuse-head-loss --split-input-file | FileCheck %s

// Logits times a constant; the gradient of each loss is computed before it.
// CHECK-LABEL: func.func @head
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>, %[[W:.*]]: tensor<65x8xf32>, %[[T:.*]]: tensor<?xi32>, %[[F:.*]]: tensor<f32>
// CHECK-NOT: nn.linear
// CHECK: %[[DY:.*]] = nn.broadcast %[[F]] like %[[T]]
// CHECK: %[[Y:.*]], %[[D:.*]]:2 = nn.head_loss %[[X]], %[[W]], %[[T]] dy(%[[DY]] : tensor<?xf32>) scale(5.000000e-01)
// CHECK-NOT: cross_entropy
// CHECK: nn.reduce {{ *}}sum %[[Y]]
// CHECK: return %{{.*}}, %[[D]]#0, %[[D]]#1
func.func @head(%x: tensor<?x8xf32>, %w: tensor<65x8xf32>, %t: tensor<?xi32>, %f: tensor<f32>) -> (tensor<f32>, tensor<?x8xf32>, tensor<65x8xf32>) {
  %two = arith.constant dense<2.0> : tensor<65xf32>
  %l = nn.linear %x, %w : tensor<?x8xf32>, tensor<65x8xf32>
  %c = nn.broadcast %two like %l : tensor<?x65xf32> axis(0) : tensor<65xf32> -> tensor<?x65xf32>
  %z = arith.divf %l, %c : tensor<?x65xf32>
  %y = nn.cross_entropy %z, %t : tensor<?x65xf32>, tensor<?xi32>
  %sum = nn.reduce sum %y axis(0) : tensor<?xf32>
  %dy = nn.broadcast %f like %y : tensor<?xf32> axis(0) : tensor<f32> -> tensor<?xf32>
  %dz = nn.cross_entropy_grad %z, %t, %dy : tensor<?x65xf32>, tensor<?xi32>, tensor<?xf32>
  %dl = arith.divf %dz, %c : tensor<?x65xf32>
  %dx = nn.linear_dx %dl, %w : tensor<?x65xf32>, tensor<65x8xf32>
  %dw = nn.linear_dw %dl, %x : tensor<?x65xf32>, tensor<?x8xf32>
  return %sum, %dx, %dw : tensor<f32>, tensor<?x8xf32>, tensor<65x8xf32>
}

// -----

// Logits of bf16 are not rounded.
// CHECK-LABEL: func.func @loss_alone
// CHECK: %[[Y:.*]] = nn.head_loss %{{.*}}, %{{.*}}, %{{.*}} scale(1.000000e+00) : tensor<?x8xbf16>, tensor<65x8xbf16>, tensor<?xi32>
// CHECK: return %[[Y]]
func.func @loss_alone(%x: tensor<?x8xbf16>, %w: tensor<65x8xbf16>, %t: tensor<?xi32>) -> tensor<?xf32> {
  %l = nn.linear %x, %w : tensor<?x8xbf16>, tensor<65x8xbf16>
  %z = arith.extf %l : tensor<?x65xbf16> to tensor<?x65xf32>
  %y = nn.cross_entropy %z, %t : tensor<?x65xf32>, tensor<?xi32>
  return %y : tensor<?xf32>
}

// -----

// Logits that are a result, too.
// CHECK-LABEL: func.func @read
// CHECK-NOT: nn.head_loss
// CHECK: return
func.func @read(%x: tensor<?x8xf32>, %w: tensor<65x8xf32>, %t: tensor<?xi32>) -> (tensor<?xf32>, tensor<?x65xf32>) {
  %z = nn.linear %x, %w : tensor<?x8xf32>, tensor<65x8xf32>
  %y = nn.cross_entropy %z, %t : tensor<?x65xf32>, tensor<?xi32>
  return %y, %z : tensor<?xf32>, tensor<?x65xf32>
}

// -----

// A factor in the logits that their gradient does not have.
// CHECK-LABEL: func.func @other_factor
// CHECK-NOT: nn.head_loss
// CHECK: return
func.func @other_factor(%x: tensor<?x8xf32>, %w: tensor<65x8xf32>, %t: tensor<?xi32>, %dy: tensor<?xf32>) -> (tensor<?xf32>, tensor<65x8xf32>) {
  %two = arith.constant dense<2.0> : tensor<65xf32>
  %l = nn.linear %x, %w : tensor<?x8xf32>, tensor<65x8xf32>
  %c = nn.broadcast %two like %l : tensor<?x65xf32> axis(0) : tensor<65xf32> -> tensor<?x65xf32>
  %z = arith.mulf %l, %c : tensor<?x65xf32>
  %y = nn.cross_entropy %z, %t : tensor<?x65xf32>, tensor<?xi32>
  %dz = nn.cross_entropy_grad %z, %t, %dy : tensor<?x65xf32>, tensor<?xi32>, tensor<?xf32>
  %dw = nn.linear_dw %dz, %x : tensor<?x65xf32>, tensor<?x8xf32>
  return %y, %dw : tensor<?xf32>, tensor<65x8xf32>
}

// -----

// The gradient depends on the loss.
// CHECK-LABEL: func.func @later
// CHECK-NOT: nn.head_loss
// CHECK: return
func.func @later(%x: tensor<?x8xf32>, %w: tensor<65x8xf32>, %t: tensor<?xi32>) -> (tensor<?xf32>, tensor<65x8xf32>) {
  %z = nn.linear %x, %w : tensor<?x8xf32>, tensor<65x8xf32>
  %y = nn.cross_entropy %z, %t : tensor<?x65xf32>, tensor<?xi32>
  %dz = nn.cross_entropy_grad %z, %t, %y : tensor<?x65xf32>, tensor<?xi32>, tensor<?xf32>
  %dw = nn.linear_dw %dz, %x : tensor<?x65xf32>, tensor<?x8xf32>
  return %y, %dw : tensor<?xf32>, tensor<65x8xf32>
}
