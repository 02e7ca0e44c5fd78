// RUN: moe-opt %inputs/mixtral.mlir --verify-model
// RUN: not moe-opt %inputs/mixtral.mlir --verify-step 2>&1 | FileCheck %s --check-prefix=SUGAR
// RUN: moe-opt %inputs/mixtral.mlir --moe-to-step | moe-opt --verify-step
// RUN: not moe-opt %s --verify-model 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not moe-opt %s --verify-step 2>&1 | FileCheck %s --check-prefix=FUSED

// SUGAR: cannot stand at the step phase
// NONE: expects one nn.model at the model phase
// FUSED: 'moe.grouped_matmul' op cannot stand at the step phase
func.func @fused(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<4x5x4xf32>) {
  %y = moe.grouped_matmul %x, %p, %w : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<4x5x4xf32>
  return
}
