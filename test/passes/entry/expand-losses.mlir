// RUN: moe-opt %s --moe-expand-losses | FileCheck %s

// CHECK-LABEL: func.func @expert
// CHECK-SAME: %[[P:.*]]: tensor<?x4xf32>, %[[I:.*]]: tensor<?x2xi32>
func.func @expert(%p: tensor<?x4xf32>, %i: tensor<?x2xi32>) -> tensor<f32> {
  // CHECK: %[[ONES:.*]] = nn.fill 1.{{.*}} like %[[I]]
  // CHECK: %[[M:.*]] = moe.scatter_pick %[[ONES]], %[[I]] experts(4)
  // CHECK: %[[F:.*]] = nn.reduce mean %[[M]] axis(0)
  // CHECK: %[[Q:.*]] = nn.reduce mean %[[P]] axis(0)
  // CHECK: %[[S:.*]] = nn.reduce sum %{{.*}} axis(0) : tensor<4xf32>
  // E / K times the coefficient.
  // CHECK: %[[C:.*]] = nn.fill 2.000000e-02 : f64 like %[[S]]
  // CHECK: %[[L:.*]] = arith.mulf %[[S]], %[[C]] : tensor<f32>
  // CHECK: return %[[L]]
  %l = moe.balance_loss expert %p, %i coef(1.0e-2) per_choice : tensor<?x4xf32>, tensor<?x2xi32> -> tensor<f32>
  return %l : tensor<f32>
}

// CHECK-LABEL: func.func @device
func.func @device(%p: tensor<?x4xf32>, %i: tensor<?x2xi32>, %c: tensor<?xi32>) -> tensor<f32> {
  // Two devices of two experts, each sequence apart, then their mean.
  // CHECK: nn.reshape %{{.*}} : tensor<?x4xf32> -> tensor<?x2x2xf32>
  // CHECK: nn.segment_reduce mean
  // CHECK: nn.segment_reduce mean
  // CHECK: nn.reduce sum %{{.*}} axis(1) : tensor<?x2xf32>
  // CHECK: nn.reduce mean %{{.*}} axis(0) : tensor<?xf32>
  %l = moe.balance_loss device %p, %i coef(0.05) seqs(%c : tensor<?xi32>) {devices = 2 : i64} : tensor<?x4xf32>, tensor<?x2xi32> -> tensor<f32>
  return %l : tensor<f32>
}

// CHECK-LABEL: func.func @communication
func.func @communication(%p: tensor<?x4xf32>, %i: tensor<?x2xi32>) -> tensor<f32> {
  // A token counts once for a device, however many of its experts it chose.
  // CHECK: %[[SENT:.*]] = arith.cmpf ogt
  // CHECK: arith.select %[[SENT]]
  %l = moe.balance_loss communication %p, %i coef(0.02) {devices = 2 : i64, limit = 1 : i64} : tensor<?x4xf32>, tensor<?x2xi32> -> tensor<f32>
  return %l : tensor<f32>
}

// CHECK-LABEL: func.func @z
func.func @z(%z: tensor<?x4xf32>) -> tensor<f32> {
  // The largest logit is taken out without a gradient: that of the sum of exponentials is the whole one.
  // CHECK: %[[MAX:.*]] = nn.reduce max
  // CHECK: moe.stop_gradient %[[MAX]]
  // CHECK: math.exp
  // CHECK: math.log
  %l = moe.z_loss %z coef(1.0e-3) : tensor<?x4xf32> -> tensor<f32>
  return %l : tensor<f32>
}

// CHECK-LABEL: func.func @variation
func.func @variation(%x: tensor<?x4xf32>) -> tensor<f32> {
  // CHECK: nn.reduce sum %{{.*}} axis(0)
  // The coefficient over E - 1.
  // CHECK: nn.fill 5.000000e-01 : f64 like
  %l = moe.variation_loss %x coef(1.5) unbiased : tensor<?x4xf32> -> tensor<f32>
  return %l : tensor<f32>
}
