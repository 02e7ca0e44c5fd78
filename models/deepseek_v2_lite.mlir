// DeepSeek-V2-Lite (2024): sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:102400,\22num_hidden_layers\22:27,\22hidden_size\22:2048,\22num_attention_heads\22:16,\22num_key_value_heads\22:16,\22max_position_embeddings\22:163840,\22rms_norm_eps\22:1e-06,\22rope_theta\22:10000.0,\22hidden_act\22:\22silu\22,\22q_lora_rank\22:null,\22kv_lora_rank\22:512,\22qk_nope_head_dim\22:128,\22qk_rope_head_dim\22:64,\22v_head_dim\22:128,\22rope_scaling\22:{\22type\22:\22yarn\22,\22factor\22:40,\22original_max_position_embeddings\22:4096,\22beta_fast\22:32,\22beta_slow\22:1,\22mscale\22:0.707,\22mscale_all_dim\22:0.707},\22model_type\22:\22deepseek_v2\22,\22intermediate_size\22:10944,\22moe_intermediate_size\22:1408,\22n_routed_experts\22:64,\22n_shared_experts\22:2,\22num_experts_per_tok\22:6,\22first_k_dense_replace\22:1,\22topk_method\22:\22greedy\22,\22n_group\22:1,\22topk_group\22:1,\22routed_scaling_factor\22:1.0}", moe.eos_token_ids = array<i64>, moe.max_positions = 163840 : i64, moe.name = "deepseek_v2_lite"} {
  nn.param @embed : tensor<102400x2048xbf16> from [#nn.source<"model.embed_tokens.weight", [102400, 2048]>]
  nn.param @attn_norm : tensor<2048xbf16> layers [0, 27] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [2048]>]
  nn.param @ffn_norm : tensor<2048xbf16> layers [0, 27] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [2048]>]
  nn.param @norm : tensor<2048xbf16> from [#nn.source<"model.norm.weight", [2048]>]
  nn.param @lm_head : tensor<102400x2048xbf16> from [#nn.source<"lm_head.weight", [102400, 2048]>]
  nn.param @q : tensor<3072x2048xbf16> layers [0, 27] from [#nn.source<"model.layers.{i}.self_attn.q_proj.weight", [3072, 2048]>]
  nn.param @kv_a : tensor<576x2048xbf16> layers [0, 27] from [#nn.source<"model.layers.{i}.self_attn.kv_a_proj_with_mqa.weight", [576, 2048]>]
  nn.param @kv_norm : tensor<512xbf16> layers [0, 27] from [#nn.source<"model.layers.{i}.self_attn.kv_a_layernorm.weight", [512]>]
  nn.param @k_up : tensor<16x512x128xbf16> layers [0, 27] from [#nn.source<"model.layers.{i}.self_attn.kv_b_proj.weight", [4096, 512] strides[131072, 1, 512]>]
  nn.param @v_up : tensor<16x128x512xbf16> layers [0, 27] from [#nn.source<"model.layers.{i}.self_attn.kv_b_proj.weight", [4096, 512] offset 65536 strides[131072, 512, 1]>]
  nn.param @o : tensor<2048x2048xbf16> layers [0, 27] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [2048, 2048]>]
  nn.param @dense_gate_up : tensor<21888x2048xbf16> layers [0, 1] from [#nn.source<"model.layers.{i}.mlp.gate_proj.weight", [10944, 2048] rows 10944>, #nn.source<"model.layers.{i}.mlp.up_proj.weight", [10944, 2048] at 10944 rows 10944>]
  nn.param @dense_down : tensor<2048x10944xbf16> layers [0, 1] from [#nn.source<"model.layers.{i}.mlp.down_proj.weight", [2048, 10944]>]
  nn.param @gate_up : tensor<64x2816x2048xbf16> layers [1, 27] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.gate_proj.weight", [1408, 2048] rows 1408>, #nn.source<"model.layers.{i}.mlp.experts.{e}.up_proj.weight", [1408, 2048] at 1408 rows 1408>]
  nn.param @down : tensor<64x2048x1408xbf16> layers [1, 27] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.down_proj.weight", [2048, 1408]>]
  nn.param @gate : tensor<64x2048xbf16> layers [1, 27] from [#nn.source<"model.layers.{i}.mlp.gate.weight", [64, 2048]>]
  nn.param @shared_gate_up : tensor<5632x2048xbf16> layers [1, 27] from [#nn.source<"model.layers.{i}.mlp.shared_experts.gate_proj.weight", [2816, 2048] rows 2816>, #nn.source<"model.layers.{i}.mlp.shared_experts.up_proj.weight", [2816, 2048] at 2816 rows 2816>]
  nn.param @shared_down : tensor<2048x2816xbf16> layers [1, 27] from [#nn.source<"model.layers.{i}.mlp.shared_experts.down_proj.weight", [2048, 2816]>]
  moe.router @deepseek_v2(%arg0: tensor<?x2048xf32>, %arg1: tensor<64x2048xbf16>) -> (!moe.plan<64, 6>, tensor<?x6xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x2048xf32>, tensor<64x2048xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x64xf32>
    %2 = moe.select %1 top_k(6) : tensor<?x64xf32>
    %3 = moe.pick %1, %2 : tensor<?x64xf32>, tensor<?x6xi32>
    %4 = moe.make_plan %2 experts(64) : tensor<?x6xi32>
    moe.return %4, %3 : !moe.plan<64, 6>, tensor<?x6xf32>
  }
  nn.model @deepseek_v2_lite(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x102400xf32> {
    %0 = nn.param_get @embed : tensor<102400x2048xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<102400x2048xbf16> -> tensor<?x2048xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 7.49894202e-01, 5.62341332e-01, 4.21696514e-01, 3.16227764e-01, 2.37137377e-01, 1.77827939e-01, 1.33352146e-01, 1.00000001e-01, 7.49894232e-02, 5.62341325e-02, 3.90069261e-02, 2.68793609e-02, 1.83781460e-02, 1.24479560e-02, 8.33450910e-03, 5.49999997e-03, 3.56199755e-03, 2.24936521e-03, 1.37051358e-03, 7.90569407e-04, 4.14990413e-04, 1.77827940e-04, 3.33380376e-05, 2.49999994e-05, 1.87473561e-05, 1.40585335e-05, 1.05424124e-05, 7.90569447e-06, 5.92843435e-06, 4.44569832e-06, 3.33380353e-06]) : tensor<?xi32>
    %3 = nn.layers 0 to 1(%1) : (tensor<?x2048xbf16>) -> tensor<?x2048xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x2048xbf16>):
      %6 = nn.latent_attention %arg4 rope(%2) positions(%arg1) seqs(%arg2) layer(%arg3) norm(@attn_norm, 9.9999999999999995E-7) q(@q) kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@o) heads(16) dims(512, 128, 64, 128) latent_eps(9.9999999999999995E-7) scale(0.11472138679292612) : tensor<?x2048xbf16>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x2048xbf16>
      %7 = nn.mlp %6 layer(%arg3) norm(@ffn_norm, 9.9999999999999995E-7) glu( silu, @dense_gate_up, @dense_down) : tensor<?x2048xbf16> -> tensor<?x2048xbf16>
      nn.yield %7 : tensor<?x2048xbf16>
    }
    %4 = nn.layers 1 to 27(%3) : (tensor<?x2048xbf16>) -> tensor<?x2048xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x2048xbf16>):
      %6 = nn.latent_attention %arg4 rope(%2) positions(%arg1) seqs(%arg2) layer(%arg3) norm(@attn_norm, 9.9999999999999995E-7) q(@q) kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@o) heads(16) dims(512, 128, 64, 128) latent_eps(9.9999999999999995E-7) scale(0.11472138679292612) : tensor<?x2048xbf16>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x2048xbf16>
      %7 = nn.param_get @ffn_norm[%arg3] : tensor<2048xbf16>
      %8 = nn.rms_norm %6, %7 eps(9.9999999999999995E-7) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %9 = moe.layer %8 layer(%arg3) router(@deepseek_v2, [@gate]) experts(64, segments = 8, [@gate_up, @down]) shared([@shared_gate_up, @shared_down]) : tensor<?x2048xbf16> -> tensor<?x2048xbf16> body {
      ^bb0(%arg5: tensor<?x2048xbf16>, %arg6: tensor<2816x2048xbf16>, %arg7: tensor<2048x1408xbf16>):
        %11 = nn.linear %arg5, %arg6 : tensor<?x2048xbf16>, tensor<2816x2048xbf16>
        %12 = nn.glu  silu %11 : tensor<?x2816xbf16>
        %13 = nn.linear %12, %arg7 : tensor<?x1408xbf16>, tensor<2048x1408xbf16>
        moe.yield %13 : tensor<?x2048xbf16>
      } shared_body {
      ^bb0(%arg5: tensor<?x2048xbf16>, %arg6: tensor<5632x2048xbf16>, %arg7: tensor<2048x2816xbf16>):
        %11 = nn.linear %arg5, %arg6 : tensor<?x2048xbf16>, tensor<5632x2048xbf16>
        %12 = nn.glu  silu %11 : tensor<?x5632xbf16>
        %13 = nn.linear %12, %arg7 : tensor<?x2816xbf16>, tensor<2048x2816xbf16>
        moe.yield %13 : tensor<?x2048xbf16>
      }
      %10 = arith.addf %6, %9 : tensor<?x2048xbf16>
      nn.yield %10 : tensor<?x2048xbf16>
    }
    %5 = nn.head %4 norm(@norm, 9.9999999999999995E-7) weight(@lm_head) : tensor<?x2048xbf16> -> tensor<?x102400xf32>
    nn.return %5 : tensor<?x102400xf32>
  }
}
