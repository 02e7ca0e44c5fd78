// Operations of the end of a training step print as they are read, as text and
// as bytecode.
// RUN: moe-opt %s --verify-roundtrip | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt --verify-roundtrip | FileCheck %s

// CHECK-LABEL: func.func @cross_entropy
// CHECK: nn.cross_entropy %{{.*}}, %{{.*}} : tensor<?x65xf32>, tensor<?xi32>
// CHECK: nn.cross_entropy_grad %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x65xf32>, tensor<?xi32>, tensor<?xf32>
// CHECK: nn.cross_entropy %{{.*}}, %{{.*}} : tensor<4x65xf32>, tensor<4xi32>
// CHECK: return %{{.*}}, %{{.*}} : tensor<?xf32>, tensor<4xf32>
func.func @cross_entropy(%x: tensor<?x65xf32>, %t: tensor<?xi32>, %four: tensor<4x65xf32>, %ids: tensor<4xi32>) -> (tensor<?xf32>, tensor<4xf32>) {
  %0 = nn.cross_entropy %x, %t : tensor<?x65xf32>, tensor<?xi32>
  %1 = nn.cross_entropy_grad %x, %t, %0 : tensor<?x65xf32>, tensor<?xi32>, tensor<?xf32>
  %2 = nn.cross_entropy %four, %ids : tensor<4x65xf32>, tensor<4xi32>
  return %0, %2 : tensor<?xf32>, tensor<4xf32>
}

// CHECK-LABEL: func.func @head_loss
// CHECK: %{{.*}}, %{{.*}}:2 = nn.head_loss %{{.*}}, %{{.*}}, %{{.*}} dy(%{{.*}} : tensor<?xf32>) scale(1.250000e-01) : tensor<?x8xbf16>, tensor<65x8xbf16>, tensor<?xi32>
// CHECK: return %{{.*}}, %{{.*}}, %{{.*}} : tensor<?xf32>, tensor<?x8xbf16>, tensor<65x8xf32>
func.func @head_loss(%x: tensor<?x8xbf16>, %w: tensor<65x8xbf16>, %t: tensor<?xi32>, %dy: tensor<?xf32>) -> (tensor<?xf32>, tensor<?x8xbf16>, tensor<65x8xf32>) {
  %y, %dx, %dw = nn.head_loss %x, %w, %t dy(%dy : tensor<?xf32>) scale(0.125) : tensor<?x8xbf16>, tensor<65x8xbf16>, tensor<?xi32>
  return %y, %dx, %dw : tensor<?xf32>, tensor<?x8xbf16>, tensor<65x8xf32>
}

// CHECK-LABEL: func.func @update
// CHECK: %[[SUM:.*]] = nn.sum_squares %{{.*}}, %{{.*}} : tensor<3x4xf32>, tensor<5xf32>
// CHECK: nn.sum_squares %[[SUM]] : tensor<f32>
// CHECK: nn.adamw decayed %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<8xf32>
// CHECK: nn.adamw %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<5xf32>, tensor<5xf32>, tensor<5xf32>, tensor<5xf32>, tensor<8xf32>
func.func @update(%w: tensor<3x4xf32>, %g: tensor<3x4xf32>, %m: tensor<3x4xf32>, %v: tensor<3x4xf32>, %b: tensor<5xf32>, %h: tensor<8xf32>) -> tensor<f32> {
  %0 = nn.sum_squares %g, %b : tensor<3x4xf32>, tensor<5xf32>
  %1 = nn.sum_squares %0 : tensor<f32>
  %nw, %nm, %nv = nn.adamw decayed %w, %g, %m, %v, %h : tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<8xf32>
  %nb, %mb, %vb = nn.adamw %b, %b, %b, %b, %h : tensor<5xf32>, tensor<5xf32>, tensor<5xf32>, tensor<5xf32>, tensor<8xf32>
  return %1 : tensor<f32>
}
