// RUN: moe-opt %s --moe-derive-entries=entries=prefill | FileCheck %s

// Row-wise work behind the last token of each sequence moves behind the choice of rows, but not through heads: a value
// [T, H, D] keeps all its rows, and so must what is made of it up to the choice.
// CHECK-LABEL: func.func @prefill
// CHECK: %[[H:.*]] = nn.reshape %{{.*}} : tensor<?x8xf32> -> tensor<?x2x4xf32>
// CHECK: %[[R:.*]] = nn.rope half %[[H]]
// CHECK: %[[F:.*]] = nn.reshape %[[R]] : tensor<?x2x4xf32> -> tensor<?x8xf32>
// CHECK: %[[LAST:.*]] = nn.last_rows %[[F]]
// CHECK: nn.linear %[[LAST]]
nn.param @embed : tensor<10x8xf32> from [#nn.source<"e", [10, 8]>]
nn.param @head : tensor<10x8xf32> from [#nn.source<"h", [10, 8]>]
nn.model @flat(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x10xf32> {
  %e = nn.param_get @embed : tensor<10x8xf32>
  %x = nn.embedding %ids, %e : tensor<?xi32>, tensor<10x8xf32> -> tensor<?x8xf32>
  %t = nn.rope_table %positions scale(1.0) inv_freq([1.0, 0.5]) : tensor<?xi32>
  %h = nn.reshape %x : tensor<?x8xf32> -> tensor<?x2x4xf32>
  %r = nn.rope half %h, %t start(0) : tensor<?x2x4xf32>, tensor<?x4xf32>
  %f = nn.reshape %r : tensor<?x2x4xf32> -> tensor<?x8xf32>
  %w = nn.param_get @head : tensor<10x8xf32>
  %l = nn.linear %f, %w : tensor<?x8xf32>, tensor<10x8xf32>
  nn.return %l : tensor<?x10xf32>
}
