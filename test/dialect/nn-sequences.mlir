// Operations over sequences print as they are read, as text and as bytecode.
// RUN: moe-opt %s --verify-roundtrip | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt --verify-roundtrip | FileCheck %s

// CHECK-LABEL: func.func @fill
// CHECK: nn.fill 5.000000e-01 : f64 like %{{.*}} : tensor<?x8xf32> -> tensor<?x8xf32>
// CHECK: nn.fill 3{{.*}} like %{{.*}} : tensor<?x8xf32> -> tensor<?x2xi32>
// CHECK: nn.fill {{.*}} like %{{.*}} : tensor<?x8xf32> -> tensor<f32>
func.func @fill(%x: tensor<?x8xf32>) {
  %0 = nn.fill 0.5 like %x : tensor<?x8xf32> -> tensor<?x8xf32>
  %1 = nn.fill 3 : i64 like %x : tensor<?x8xf32> -> tensor<?x2xi32>
  %2 = nn.fill 1.0 like %x : tensor<?x8xf32> -> tensor<f32>
  return
}

// CHECK-LABEL: func.func @segments
// CHECK: nn.segment_reduce sum %{{.*}} seqs(%{{.*}}) : tensor<?x8xf32>, tensor<?xi32>
// CHECK: nn.segment_reduce max %{{.*}} seqs(%{{.*}}) : tensor<?xf32>, tensor<3xi32>
// CHECK: nn.segment_broadcast %{{.*}} like %{{.*}} seqs(%{{.*}}) : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?xi32>
// CHECK: nn.segment_broadcast %{{.*}} like %{{.*}} seqs(%{{.*}}) : tensor<2xi32>, tensor<?x8xf32>, tensor<3xi32>
// CHECK: nn.segment_softmax %{{.*}} seqs(%{{.*}}) : tensor<?x8xf32>, tensor<?xi32>
// CHECK: nn.segment_linear %{{.*}}, %{{.*}} seqs(%{{.*}}) : tensor<?x8xf32>, tensor<2x5x8xf32>, tensor<3xi32>
// CHECK: nn.segment_linear_dx %{{.*}}, %{{.*}} seqs(%{{.*}}) : tensor<?x5xf32>, tensor<2x5x8xf32>, tensor<3xi32>
// CHECK: nn.segment_linear_dw %{{.*}}, %{{.*}} seqs(%{{.*}}) : tensor<?x5xf32>, tensor<?x8xf32>, tensor<3xi32>
func.func @segments(%x: tensor<?x8xf32>, %v: tensor<?xf32>, %cu: tensor<?xi32>, %two: tensor<3xi32>, %n: tensor<2xi32>, %w: tensor<2x5x8xf32>) {
  %0 = nn.segment_reduce sum %x seqs(%cu) : tensor<?x8xf32>, tensor<?xi32>
  %1 = nn.segment_reduce mean %x seqs(%cu) : tensor<?x8xf32>, tensor<?xi32>
  %2 = nn.segment_reduce max %v seqs(%two) : tensor<?xf32>, tensor<3xi32>
  %3 = nn.segment_reduce min %v seqs(%two) : tensor<?xf32>, tensor<3xi32>
  %4 = nn.segment_broadcast %0 like %x seqs(%cu) : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?xi32>
  %5 = nn.segment_broadcast %n like %x seqs(%two) : tensor<2xi32>, tensor<?x8xf32>, tensor<3xi32>
  %6 = nn.segment_softmax %x seqs(%cu) : tensor<?x8xf32>, tensor<?xi32>
  %7 = nn.segment_linear %x, %w seqs(%two) : tensor<?x8xf32>, tensor<2x5x8xf32>, tensor<3xi32>
  %dx = nn.segment_linear_dx %7, %w seqs(%two) : tensor<?x5xf32>, tensor<2x5x8xf32>, tensor<3xi32>
  %dw = nn.segment_linear_dw %7, %x seqs(%two) : tensor<?x5xf32>, tensor<?x8xf32>, tensor<3xi32>
  return
}

// CHECK-LABEL: func.func @integers
// CHECK: nn.embedding %{{.*}}, %{{.*}} : tensor<?xi32>, tensor<16x2xi32> -> tensor<?x2xi32>
// CHECK: nn.concat %{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x1xi32>
func.func @integers(%ids: tensor<?xi32>, %table: tensor<16x2xi32>, %one: tensor<?x1xi32>) {
  %0 = nn.embedding %ids, %table : tensor<?xi32>, tensor<16x2xi32> -> tensor<?x2xi32>
  %1 = nn.concat %0, %one : tensor<?x2xi32>, tensor<?x1xi32>
  return
}
