// A two-layer Mixtral at the model phase.
nn.param @embed : tensor<256x128xbf16> from [#nn.source<"model.embed_tokens.weight", [256, 128]>]
nn.param @attn_norm : tensor<128xbf16> layers [0, 2] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [128]>]
nn.param @q : tensor<128x128xbf16> layers [0, 2] from [#nn.source<"model.layers.{i}.self_attn.q_proj.weight", [128, 128]>]
nn.param @k : tensor<64x128xbf16> layers [0, 2] from [#nn.source<"model.layers.{i}.self_attn.k_proj.weight", [64, 128]>]
nn.param @v : tensor<64x128xbf16> layers [0, 2] from [#nn.source<"model.layers.{i}.self_attn.v_proj.weight", [64, 128]>]
nn.param @o : tensor<128x128xbf16> layers [0, 2] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [128, 128]>]
nn.param @ffn_norm : tensor<128xbf16> layers [0, 2] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [128]>]
nn.param @gate : tensor<8x128xbf16> layers [0, 2] from [#nn.source<"model.layers.{i}.block_sparse_moe.gate.weight", [8, 128]>]
nn.param @gate_up : tensor<8x512x128xbf16> layers [0, 2] from [
  #nn.source<"model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight", [256, 128] rows 256>,
  #nn.source<"model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight", [256, 128] at 256 rows 256>]
nn.param @down : tensor<8x128x256xbf16> layers [0, 2] from [#nn.source<"model.layers.{i}.block_sparse_moe.experts.{e}.w2.weight", [128, 256]>]
nn.param @norm : tensor<128xbf16> from [#nn.source<"model.norm.weight", [128]>]
nn.param @lm_head : tensor<256x128xbf16> from [#nn.source<"lm_head.weight", [256, 128]>]

moe.router @mixtral(%x: tensor<?x128xf32>, %w: tensor<8x128xbf16>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %w : tensor<?x128xf32>, tensor<8x128xbf16>
  %p = nn.softmax %z axis(1) : tensor<?x8xf32>
  %idx = moe.select %p top_k(2) : tensor<?x8xf32>
  %s = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x2xi32>
  %sum = nn.reduce sum %s axis(1) : tensor<?x2xf32>
  %den = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x2xf32>
  %wt = arith.divf %s, %den : tensor<?x2xf32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  moe.return %plan, %wt : !moe.plan<8, 2>, tensor<?x2xf32>
}

nn.model @tiny(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x256xf32> {
  %table = nn.param_get @embed : tensor<256x128xbf16>
  %x = nn.embedding %ids, %table : tensor<?xi32>, tensor<256x128xbf16> -> tensor<?x128xf32>
  %rope = nn.rope_table %positions scale(1.0) inv_freq([1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125]) : tensor<?xi32>
  %y = nn.layers 0 to 2 (%x) : (tensor<?x128xf32>) -> tensor<?x128xf32> {
  ^bb0(%i: index, %h: tensor<?x128xf32>):
    %a = nn.attention %h rope(%rope) positions(%positions) seqs(%seqs) layer(%i) norm(@attn_norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o)
      heads(4, 2, 32) scale(0.17677669529663687) : tensor<?x128xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x128xf32>
    %w = nn.param_get @ffn_norm[%i] : tensor<128xbf16>
    %n = nn.rms_norm %a, %w eps(1.0e-5) : tensor<?x128xf32>, tensor<128xbf16>
    %m = moe.layer %n layer(%i) router(@mixtral, [@gate]) experts(8, segments = 1, [@gate_up, @down]) : tensor<?x128xf32> -> tensor<?x128xf32> body {
    ^bb0(%t: tensor<?x128xf32>, %gu: tensor<512x128xbf16>, %d: tensor<128x256xbf16>):
      %g = nn.linear %t, %gu : tensor<?x128xf32>, tensor<512x128xbf16>
      %u = nn.glu silu %g : tensor<?x512xf32>
      %r = nn.linear %u, %d : tensor<?x256xf32>, tensor<128x256xbf16>
      moe.yield %r : tensor<?x128xf32>
    } shared_body {
    }
    %r = arith.addf %a, %m : tensor<?x128xf32>
    nn.yield %r : tensor<?x128xf32>
  }
  %l = nn.head %y norm(@norm, 1.0e-5) weight(@lm_head) : tensor<?x128xf32> -> tensor<?x256xf32>
  nn.return %l : tensor<?x256xf32>
}
