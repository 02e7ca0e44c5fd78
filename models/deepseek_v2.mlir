// DeepSeek-V2 (2024): 60 layers, the first one dense; 160 routed experts, each an eighth of a standard feed-forward
// width, top-6 of 3 out of 8 groups, and 2 shared experts; latent attention with compressed queries; yarn by 40.
// Sizes are those of the published config.json.
module attributes {moe.eos_token_ids = array<i64: 100001>, moe.max_positions = 163840 : i64, moe.name = "deepseek_v2"} {
  nn.param @embed : tensor<102400x5120xbf16> from [#nn.source<"model.embed_tokens.weight", [102400, 5120]>]
  nn.param @attn_norm : tensor<5120xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [5120]>]
  nn.param @ffn_norm : tensor<5120xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [5120]>]
  nn.param @norm : tensor<5120xbf16> from [#nn.source<"model.norm.weight", [5120]>]
  nn.param @lm_head : tensor<102400x5120xbf16> from [#nn.source<"lm_head.weight", [102400, 5120]>]
  nn.param @q_a : tensor<1536x5120xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.self_attn.q_a_proj.weight", [1536, 5120]>]
  nn.param @q_norm : tensor<1536xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.self_attn.q_a_layernorm.weight", [1536]>]
  nn.param @q : tensor<24576x1536xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.self_attn.q_b_proj.weight", [24576, 1536]>]
  nn.param @kv_a : tensor<576x5120xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.self_attn.kv_a_proj_with_mqa.weight", [576, 5120]>]
  nn.param @kv_norm : tensor<512xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.self_attn.kv_a_layernorm.weight", [512]>]
  nn.param @k_up : tensor<128x512x128xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.self_attn.kv_b_proj.weight", [32768, 512] strides[131072, 1, 512]>]
  nn.param @v_up : tensor<128x128x512xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.self_attn.kv_b_proj.weight", [32768, 512] offset 65536 strides[131072, 512, 1]>]
  nn.param @o : tensor<5120x16384xbf16> layers [0, 60] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [5120, 16384]>]
  nn.param @dense_gate_up : tensor<24576x5120xbf16> layers [0, 1] from [#nn.source<"model.layers.{i}.mlp.gate_proj.weight", [12288, 5120] rows 12288>, #nn.source<"model.layers.{i}.mlp.up_proj.weight", [12288, 5120] at 12288 rows 12288>]
  nn.param @dense_down : tensor<5120x12288xbf16> layers [0, 1] from [#nn.source<"model.layers.{i}.mlp.down_proj.weight", [5120, 12288]>]
  nn.param @gate : tensor<160x5120xbf16> layers [1, 60] from [#nn.source<"model.layers.{i}.mlp.gate.weight", [160, 5120]>]
  nn.param @gate_up : tensor<160x3072x5120xbf16> layers [1, 60] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.gate_proj.weight", [1536, 5120] rows 1536>, #nn.source<"model.layers.{i}.mlp.experts.{e}.up_proj.weight", [1536, 5120] at 1536 rows 1536>]
  nn.param @down : tensor<160x5120x1536xbf16> layers [1, 60] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.down_proj.weight", [5120, 1536]>]
  nn.param @shared_gate_up : tensor<6144x5120xbf16> layers [1, 60] from [#nn.source<"model.layers.{i}.mlp.shared_experts.gate_proj.weight", [3072, 5120] rows 3072>, #nn.source<"model.layers.{i}.mlp.shared_experts.up_proj.weight", [3072, 5120] at 3072 rows 3072>]
  nn.param @shared_down : tensor<5120x3072xbf16> layers [1, 60] from [#nn.source<"model.layers.{i}.mlp.shared_experts.down_proj.weight", [5120, 3072]>]
  moe.router @deepseek_v2(%arg0: tensor<?x5120xf32>, %arg1: tensor<160x5120xbf16>) -> (!moe.plan<160, 6>, tensor<?x6xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x5120xf32>, tensor<160x5120xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x160xf32>
    %2 = moe.group_mask %1 groups(8) keep(3) score(max) fill(0.0) : tensor<?x160xf32>
    %3 = moe.select %2 top_k(6) : tensor<?x160xf32>
    %4 = moe.pick %2, %3 : tensor<?x160xf32>, tensor<?x6xi32>
    %cst = arith.constant dense<16.0> : tensor<6xf32>
    %5 = nn.broadcast %cst like %4 : tensor<?x6xf32> axis(0) : tensor<6xf32> -> tensor<?x6xf32>
    %6 = arith.mulf %4, %5 : tensor<?x6xf32>
    %7 = moe.make_plan %3 experts(160) : tensor<?x6xi32>
    moe.return %7, %6 : !moe.plan<160, 6>, tensor<?x6xf32>
  }
  nn.model @deepseek_v2_model(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x102400xf32> {
    %0 = nn.param_get @embed : tensor<102400x5120xbf16>
    %1 = nn.embedding %ids, %0 : tensor<?xi32>, tensor<102400x5120xbf16> -> tensor<?x5120xbf16>
    %2 = nn.rope_table %positions scale(1.0) inv_freq([1.0, 7.498942e-01, 5.623413e-01, 4.216965e-01, 3.162278e-01, 2.371374e-01, 1.778279e-01, 1.333521e-01, 1.000000e-01, 7.498942e-02, 5.623413e-02, 3.900693e-02, 2.687936e-02, 1.837815e-02, 1.244796e-02, 8.334509e-03, 5.500000e-03, 3.561998e-03, 2.249365e-03, 1.370514e-03, 7.905694e-04, 4.149904e-04, 1.778279e-04, 3.333804e-05, 2.500000e-05, 1.874736e-05, 1.405853e-05, 1.054241e-05, 7.905694e-06, 5.928434e-06, 4.445698e-06, 3.333804e-06]) : tensor<?xi32>
    %3 = nn.layers 0 to 1(%1) : (tensor<?x5120xbf16>) -> tensor<?x5120xbf16> {
    ^bb0(%i: index, %h: tensor<?x5120xbf16>):
      %6 = nn.latent_attention %h rope(%2) positions(%positions) seqs(%seqs) layer(%i) norm(@attn_norm, 1.0e-6) q_a(@q_a, @q_norm) q(@q) kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@o) heads(128) dims(512, 128, 64, 128) latent_eps(1.0e-6) scale(0.13523377886088009) : tensor<?x5120xbf16>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x5120xbf16>
      %7 = nn.mlp %6 layer(%i) norm(@ffn_norm, 1.0e-6) glu(silu, @dense_gate_up, @dense_down) : tensor<?x5120xbf16> -> tensor<?x5120xbf16>
      nn.yield %7 : tensor<?x5120xbf16>
    }
    %4 = nn.layers 1 to 60(%3) : (tensor<?x5120xbf16>) -> tensor<?x5120xbf16> {
    ^bb0(%i: index, %h: tensor<?x5120xbf16>):
      %6 = nn.latent_attention %h rope(%2) positions(%positions) seqs(%seqs) layer(%i) norm(@attn_norm, 1.0e-6) q_a(@q_a, @q_norm) q(@q) kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@o) heads(128) dims(512, 128, 64, 128) latent_eps(1.0e-6) scale(0.13523377886088009) : tensor<?x5120xbf16>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x5120xbf16>
      %7 = nn.param_get @ffn_norm[%i] : tensor<5120xbf16>
      %8 = nn.rms_norm %6, %7 eps(1.0e-6) : tensor<?x5120xbf16>, tensor<5120xbf16>
      %9 = moe.layer %8 layer(%i) router(@deepseek_v2, [@gate]) experts(160, segments = 8, [@gate_up, @down]) shared([@shared_gate_up, @shared_down]) : tensor<?x5120xbf16> -> tensor<?x5120xbf16> body {
      ^bb0(%t: tensor<?x5120xbf16>, %gate_up: tensor<3072x5120xbf16>, %down: tensor<5120x1536xbf16>):
        %11 = nn.linear %t, %gate_up : tensor<?x5120xbf16>, tensor<3072x5120xbf16>
        %12 = nn.glu silu %11 : tensor<?x3072xbf16>
        %13 = nn.linear %12, %down : tensor<?x1536xbf16>, tensor<5120x1536xbf16>
        moe.yield %13 : tensor<?x5120xbf16>
      } shared_body {
      ^bb0(%t: tensor<?x5120xbf16>, %gate_up: tensor<6144x5120xbf16>, %down: tensor<5120x3072xbf16>):
        %11 = nn.linear %t, %gate_up : tensor<?x5120xbf16>, tensor<6144x5120xbf16>
        %12 = nn.glu silu %11 : tensor<?x6144xbf16>
        %13 = nn.linear %12, %down : tensor<?x3072xbf16>, tensor<5120x3072xbf16>
        moe.yield %13 : tensor<?x5120xbf16>
      }
      %10 = arith.addf %6, %9 : tensor<?x5120xbf16>
      nn.yield %10 : tensor<?x5120xbf16>
    }
    %5 = nn.head %4 norm(@norm, 1.0e-6) weight(@lm_head) : tensor<?x5120xbf16> -> tensor<?x102400xf32>
    nn.return %5 : tensor<?x102400xf32>
  }
}
