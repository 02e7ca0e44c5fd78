// RUN: moe-opt %s --moe-assign-layouts | FileCheck %s

// Weights of products are packed, others stay; a parameter that nobody reads has no place.
// CHECK: nn.param @norm {{.*}} {nn.format = "raw", nn.index = 0 : i64}
// CHECK: nn.param @w {{.*}} {nn.format = "bf16.n32", nn.index = 3 : i64}
// CHECK: nn.param @unused
// CHECK-NOT: nn.index
// CHECK: nn.param @h {{.*}} {nn.format = "bf16.amx", nn.index = 4 : i64}
nn.param @norm : tensor<4xbf16> layers [0, 3] from [#nn.source<"l.{i}.n", [4]>]
nn.param @w : tensor<5x4xbf16> from [#nn.source<"w", [5, 4]>]
nn.param @unused : tensor<5x4xbf16> from [#nn.source<"u", [5, 4]>]
nn.param @h : tensor<6x4xf32> from [#nn.source<"h", [6, 4]>]
func.func @score(%x: tensor<?x4xf32>, %z: tensor<?x4xbf16>, %i: index) -> (tensor<?x5xf32>, tensor<?x6xbf16>) attributes {nn.entry = "score"} {
  %n = nn.param_get @norm[%i] : tensor<4xbf16>
  %a = nn.rms_norm %x, %n eps(1.0e-5) : tensor<?x4xf32>, tensor<4xbf16>
  %w = nn.param_get @w : tensor<5x4xbf16>
  %y = nn.linear %a, %w : tensor<?x4xf32>, tensor<5x4xbf16>
  %h = nn.param_get @h : tensor<6x4xf32>
  %v = nn.linear %z, %h : tensor<?x4xbf16>, tensor<6x4xf32>
  return %y, %v : tensor<?x5xf32>, tensor<?x6xbf16>
}
