// RUN: moe-opt %s --moe-settle-random --split-input-file --verify-diagnostics | FileCheck %s

// A layer without a key: each number is neutral.
// CHECK-LABEL: func.func @score
// CHECK-NOT: moe.random
// CHECK: %[[F:.*]] = nn.fill 2.500000e-01 : f64 like %{{.*}} : tensor<?x4xf32> -> tensor<?x4xf32>
// CHECK: return %[[F]]
func.func @score(%z: tensor<?x4xf32>, %i: index) -> tensor<?x4xf32> {
  %none = arith.constant dense<0> : tensor<6xi32>
  %key = moe.layer_key %none[%i + 0] : tensor<6xi32>
  %u = moe.random uniform stream(jitter) key(%key) like %z neutral(0.25) : tensor<6xi32>, tensor<?x4xf32>
  return %u : tensor<?x4xf32>
}

// A key that is there.
// CHECK-LABEL: func.func @grad
// CHECK: moe.random
func.func @grad(%z: tensor<?x4xf32>, %i: index, %k: tensor<6xi32>) -> tensor<?x4xf32> {
  %key = moe.layer_key %k[%i + 0] : tensor<6xi32>
  %u = moe.random uniform stream(jitter) key(%key) like %z neutral(0.25) : tensor<6xi32>, tensor<?x4xf32>
  return %u : tensor<?x4xf32>
}

// -----

func.func @score(%z: tensor<?x4xf32>, %i: index) -> tensor<?x4xf32> {
  %none = arith.constant dense<0> : tensor<6xi32>
  %key = moe.layer_key %none[%i + 0] : tensor<6xi32>
  // expected-error@+1 {{needs random numbers, and @score has none; give it a neutral value}}
  %u = moe.random normal stream(gate_noise) key(%key) like %z : tensor<6xi32>, tensor<?x4xf32>
  return %u : tensor<?x4xf32>
}
