// RUN: moe-opt %s --moe-assign-layouts --split-input-file --verify-diagnostics

nn.param @w : tensor<5x4xf32> from [#nn.source<"w", [5, 4]>]
func.func @twice(%x: tensor<?x4xf32>, %ids: tensor<?xi32>) -> (tensor<?x5xf32>, tensor<?x4xf32>) attributes {nn.entry = "score"} {
  // expected-error@+1 {{reads @w as}}
  %w = nn.param_get @w : tensor<5x4xf32>
  %y = nn.linear %x, %w : tensor<?x4xf32>, tensor<5x4xf32>
  %e = nn.embedding %ids, %w : tensor<?xi32>, tensor<5x4xf32> -> tensor<?x4xf32>
  return %y, %e : tensor<?x5xf32>, tensor<?x4xf32>
}
