// RUN: moe-opt %s --pass-pipeline="builtin.module(moe-expand-sugar,moe-derive-entries{entries=grad,eval_step dropout=0.25})" | FileCheck %s

// CHECK-LABEL: func.func @grad
// CHECK-SAME: %[[KEY:[a-z0-9]+]]: tensor<6xi32> {nn.name = "key"}
// What goes into the first layer.
// CHECK: %[[E:.*]] = nn.embedding
// CHECK: %[[K0:.*]] = moe.layer_key %[[KEY]][%{{.*}} + 0]
// CHECK: moe.random {{ *}}uniform stream({{ ?}}embedding_dropout) key(%[[K0]]) like %[[E]]
// CHECK: arith.cmpf oge
// CHECK: arith.select
// CHECK: %[[D:.*]] = arith.mulf %[[E]]
// CHECK: nn.layers 0 to 2(%[[D]]
// CHECK-NEXT: ^bb0(%{{.*}}: index, %[[H:.*]]: tensor<?x8xf32>):
// Two branches of one layer draw different numbers.
// CHECK: %[[N:.*]] = arith.muli %{{.*}}, %c2
// CHECK: %[[OWN:.*]] = moe.layer_key %[[KEY]][%[[N]] + 0]
// CHECK: %[[U:.*]] = moe.random {{ *}}uniform stream({{ ?}}mlp_dropout) key(%[[OWN]])
// CHECK: %[[M:.*]] = arith.mulf
// CHECK: %[[NEXT:.*]] = arith.addf %[[H]], %[[M]]
// CHECK: moe.layer_key %[[KEY]][%[[N]] + 1]
// CHECK: moe.random {{ *}}uniform stream({{ ?}}mlp_dropout)
// CHECK: %[[M2:.*]] = arith.mulf
// CHECK: arith.addf %[[NEXT]], %[[M2]]
// Evaluation drops nothing.
// CHECK-LABEL: func.func @eval_step
// CHECK-NOT: moe.random
nn.param @table : tensor<16x8xf32> from [#nn.source<"table", [16, 8]>]
nn.param @up : tensor<16x8xf32> layers [0, 2] from [#nn.source<"{i}.up", [16, 8]>]
nn.param @down : tensor<8x8xf32> layers [0, 2] from [#nn.source<"{i}.down", [8, 8]>]
nn.param @norm : tensor<8xf32> layers [0, 2] from [#nn.source<"{i}.norm", [8]>]
nn.model @m(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x16xf32> {
  %t = nn.param_get @table : tensor<16x8xf32>
  %x = nn.embedding %ids, %t : tensor<?xi32>, tensor<16x8xf32> -> tensor<?x8xf32>
  %y = nn.layers 0 to 2 (%x) : (tensor<?x8xf32>) -> tensor<?x8xf32> {
  ^bb0(%i: index, %h: tensor<?x8xf32>):
    %a = nn.mlp %h layer(%i) norm(@norm, 1.0e-5) glu(silu, @up, @down) : tensor<?x8xf32> -> tensor<?x8xf32>
    %c = nn.mlp %a layer(%i) norm(@norm, 1.0e-5) glu(silu, @up, @down) : tensor<?x8xf32> -> tensor<?x8xf32>
    nn.yield %c : tensor<?x8xf32>
  }
  %z = nn.linear %y, %t : tensor<?x8xf32>, tensor<16x8xf32>
  nn.return %z : tensor<?x16xf32>
}
