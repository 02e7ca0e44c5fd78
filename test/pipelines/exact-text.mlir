// RUN: moe-opt %s | moe-opt | FileCheck %s
// What a program prints is what it holds, to the last bit of a float.

// CHECK: inv_freq([4.21696514e-01, 3.16227786e-02, -0.00000000e+00, 1.00000000e+00])
func.func @table(%p: tensor<?xi32>) -> tensor<?x8xf32> {
  %y = nn.rope_table %p scale(1.0) inv_freq([0.421696514, 0.0316227786, -0.0, 1.0]) : tensor<?xi32>
  return %y : tensor<?x8xf32>
}
