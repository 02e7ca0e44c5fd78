// RUN: moe-opt %s --moe-report-parameters -o %t 2>&1 | FileCheck %s

// Embedding and head are one tensor: 100·8. Norm: 8. Gate: 2 layers of 4·8. Experts: 2 layers of 4·(2·6·8 + 8·6), half
// of which a token uses.
// CHECK: small: 2024 parameters, 1448 active for a token
module attributes {moe.name = "small"} {
  nn.param @embed : tensor<100x8xf32> from [#nn.source<"e", [100, 8]>]
  nn.param @head : tensor<100x8xf32> from [#nn.source<"e", [100, 8]>]
  nn.param @norm : tensor<8xf32> from [#nn.source<"n", [8]>]
  nn.param @gate : tensor<4x8xf32> layers [0, 2] from [#nn.source<"{i}.g", [4, 8]>]
  nn.param @up : tensor<4x12x8xf32> layers [0, 2] from [#nn.source<"{i}.{e}.u", [12, 8]>]
  nn.param @down : tensor<4x8x6xf32> layers [0, 2] from [#nn.source<"{i}.{e}.d", [8, 6]>]
  moe.router @top2(%x: tensor<?x8xf32>, %w: tensor<4x8xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
    %z = nn.linear %x, %w : tensor<?x8xf32>, tensor<4x8xf32>
    %i = moe.select %z top_k(2) : tensor<?x4xf32>
    %p = moe.pick %z, %i : tensor<?x4xf32>, tensor<?x2xi32>
    %plan = moe.make_plan %i experts(4) : tensor<?x2xi32>
    moe.return %plan, %p : !moe.plan<4, 2>, tensor<?x2xf32>
  }
  nn.model @small_model(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x100xf32> {
    %e = nn.param_get @embed : tensor<100x8xf32>
    %x = nn.embedding %ids, %e : tensor<?xi32>, tensor<100x8xf32> -> tensor<?x8xf32>
    %y = nn.layers 0 to 2(%x) : (tensor<?x8xf32>) -> tensor<?x8xf32> {
    ^bb0(%i: index, %h: tensor<?x8xf32>):
      %m = moe.layer %h layer(%i) router(@top2, [@gate]) experts(4, segments = 1, [@up, @down]) : tensor<?x8xf32> -> tensor<?x8xf32> body {
      ^bb0(%t: tensor<?x8xf32>, %u: tensor<12x8xf32>, %d: tensor<8x6xf32>):
        %a = nn.linear %t, %u : tensor<?x8xf32>, tensor<12x8xf32>
        %b = nn.glu silu %a : tensor<?x12xf32>
        %c = nn.linear %b, %d : tensor<?x6xf32>, tensor<8x6xf32>
        moe.yield %c : tensor<?x8xf32>
      } shared_body {
      }
      nn.yield %m : tensor<?x8xf32>
    }
    %l = nn.head %y norm(@norm, 1.0e-6) weight(@head) : tensor<?x8xf32> -> tensor<?x100xf32>
    nn.return %l : tensor<?x100xf32>
  }
}
