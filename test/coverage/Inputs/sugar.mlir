// The operations of the model phase that the Mixtral of the pass tests has not: a dense layer, then latent attention
// with a grouped router and shared experts.
nn.param @embed : tensor<32x16xbf16> from [#nn.source<"embed", [32, 16]>]
nn.param @norm : tensor<16xbf16> from [#nn.source<"norm", [16]>]
nn.param @q : tensor<16x16xbf16> from [#nn.source<"q", [16, 16]>]
nn.param @kv_a : tensor<9x16xbf16> from [#nn.source<"kv_a", [9, 16]>]
nn.param @kv_norm : tensor<5xbf16> from [#nn.source<"kv_norm", [5]>]
nn.param @k_up : tensor<2x5x4xbf16> from [#nn.source<"kv_b", [14, 5] strides [35, 1, 5]>]
nn.param @v_up : tensor<2x3x5xbf16> from [#nn.source<"kv_b", [14, 5] offset 20 strides [35, 5, 1]>]
nn.param @o : tensor<16x6xbf16> from [#nn.source<"o", [16, 6]>]
nn.param @up : tensor<16x16xbf16> from [#nn.source<"up", [16, 16]>]
nn.param @down : tensor<16x8xbf16> from [#nn.source<"down", [16, 8]>]
nn.param @gate : tensor<4x16xbf16> from [#nn.source<"gate", [4, 16]>]
nn.param @gate_up : tensor<4x24x16xbf16> from [#nn.source<"{e}.gate_up", [24, 16]>]
nn.param @expert_down : tensor<4x16x12xbf16> from [#nn.source<"{e}.down", [16, 12]>]
nn.param @lm_head : tensor<32x16xbf16> from [#nn.source<"lm_head", [32, 16]>]

moe.router @grouped(%x: tensor<?x16xf32>, %w: tensor<4x16xbf16>) -> (!moe.plan<4, 1>, tensor<?x1xf32>) {
  %z = nn.linear %x, %w : tensor<?x16xf32>, tensor<4x16xbf16>
  %p = nn.softmax %z axis(1) : tensor<?x4xf32>
  %m = moe.group_mask %p groups(2) keep(1) score(max) fill(0.0) : tensor<?x4xf32>
  %idx = moe.select %m top_k(1) : tensor<?x4xf32>
  %s = moe.pick %p, %idx : tensor<?x4xf32>, tensor<?x1xi32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x1xi32>
  moe.return %plan, %s : !moe.plan<4, 1>, tensor<?x1xf32>
}

nn.model @model(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x32xf32> {
  %table = nn.param_get @embed : tensor<32x16xbf16>
  %x = nn.embedding %ids, %table : tensor<?xi32>, tensor<32x16xbf16> -> tensor<?x16xf32>
  %rope = nn.rope_table %positions scale(1.0) inv_freq([1.0, 0.25]) : tensor<?xi32>
  %h = nn.mlp %x norm(@norm, 1.0e-5) glu(silu, @up, @down) : tensor<?x16xf32> -> tensor<?x16xf32>
  %a = nn.latent_attention %h rope(%rope) positions(%positions) seqs(%seqs) norm(@norm, 1.0e-5) q(@q)
    kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@o) heads(2) dims(5, 4, 4, 3) latent_eps(1.0e-6) scale(0.375)
    : tensor<?x16xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x16xf32>
  %m = moe.layer %a router(@grouped, [@gate]) experts(4, segments = 1, [@gate_up, @expert_down]) shared([@up, @down])
      : tensor<?x16xf32> -> tensor<?x16xf32> body {
  ^bb0(%t: tensor<?x16xf32>, %gu: tensor<24x16xbf16>, %d: tensor<16x12xbf16>):
    %g = nn.linear %t, %gu : tensor<?x16xf32>, tensor<24x16xbf16>
    %u = nn.glu silu %g : tensor<?x24xf32>
    %r = nn.linear %u, %d : tensor<?x12xf32>, tensor<16x12xbf16>
    moe.yield %r : tensor<?x16xf32>
  } shared_body {
  ^bb0(%t: tensor<?x16xf32>, %gu: tensor<16x16xbf16>, %d: tensor<16x8xbf16>):
    %g = nn.linear %t, %gu : tensor<?x16xf32>, tensor<16x16xbf16>
    %u = nn.glu gelu %g : tensor<?x16xf32>
    %r = nn.linear %u, %d : tensor<?x8xf32>, tensor<16x8xbf16>
    moe.yield %r : tensor<?x16xf32>
  }
  %y = arith.addf %a, %m : tensor<?x16xf32>
  %l = nn.head %y norm(@norm, 1.0e-5) weight(@lm_head) : tensor<?x16xf32> -> tensor<?x32xf32>
  nn.return %l : tensor<?x32xf32>
}
