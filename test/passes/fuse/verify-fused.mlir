// RUN: not moe-opt %s --verify-fused 2>&1 | FileCheck %s
// RUN: moe-opt %s --moe-distribute-experts --verify-fused

// CHECK: 'moe.experts' op cannot stand at the fused phase
func.func @experts(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>) -> tensor<?x4xf32> {
  %y = moe.experts %x, %p params() : (tensor<?x4xf32>, !moe.plan<4, 2>) -> tensor<?x4xf32> {
  ^bb0(%t: tensor<?x4xf32>):
    moe.yield %t : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}
