// DeepSeek-V3 (2024), without the layer for multi-token prediction: sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:129280,\22num_hidden_layers\22:61,\22hidden_size\22:7168,\22num_attention_heads\22:128,\22num_key_value_heads\22:128,\22max_position_embeddings\22:163840,\22rms_norm_eps\22:1e-06,\22rope_theta\22:10000.0,\22hidden_act\22:\22silu\22,\22q_lora_rank\22:1536,\22kv_lora_rank\22:512,\22qk_nope_head_dim\22:128,\22qk_rope_head_dim\22:64,\22v_head_dim\22:128,\22rope_scaling\22:{\22type\22:\22yarn\22,\22factor\22:40,\22original_max_position_embeddings\22:4096,\22beta_fast\22:32,\22beta_slow\22:1,\22mscale\22:1.0,\22mscale_all_dim\22:1.0},\22model_type\22:\22deepseek_v3\22,\22intermediate_size\22:18432,\22moe_intermediate_size\22:2048,\22n_routed_experts\22:256,\22n_shared_experts\22:1,\22num_experts_per_tok\22:8,\22first_k_dense_replace\22:3,\22n_group\22:8,\22topk_group\22:4,\22norm_topk_prob\22:true,\22routed_scaling_factor\22:2.5}", moe.eos_token_ids = array<i64>, moe.max_positions = 163840 : i64, moe.name = "deepseek_v3"} {
  nn.param @embed : tensor<129280x7168xbf16> from [#nn.source<"model.embed_tokens.weight", [129280, 7168]>]
  nn.param @attn_norm : tensor<7168xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [7168]>]
  nn.param @ffn_norm : tensor<7168xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [7168]>]
  nn.param @norm : tensor<7168xbf16> from [#nn.source<"model.norm.weight", [7168]>]
  nn.param @lm_head : tensor<129280x7168xbf16> from [#nn.source<"lm_head.weight", [129280, 7168]>]
  nn.param @q_a : tensor<1536x7168xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.self_attn.q_a_proj.weight", [1536, 7168]>]
  nn.param @q_norm : tensor<1536xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.self_attn.q_a_layernorm.weight", [1536]>]
  nn.param @q : tensor<24576x1536xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.self_attn.q_b_proj.weight", [24576, 1536]>]
  nn.param @kv_a : tensor<576x7168xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.self_attn.kv_a_proj_with_mqa.weight", [576, 7168]>]
  nn.param @kv_norm : tensor<512xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.self_attn.kv_a_layernorm.weight", [512]>]
  nn.param @k_up : tensor<128x512x128xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.self_attn.kv_b_proj.weight", [32768, 512] strides[131072, 1, 512]>]
  nn.param @v_up : tensor<128x128x512xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.self_attn.kv_b_proj.weight", [32768, 512] offset 65536 strides[131072, 512, 1]>]
  nn.param @o : tensor<7168x16384xbf16> layers [0, 61] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [7168, 16384]>]
  nn.param @dense_gate_up : tensor<36864x7168xbf16> layers [0, 3] from [#nn.source<"model.layers.{i}.mlp.gate_proj.weight", [18432, 7168] rows 18432>, #nn.source<"model.layers.{i}.mlp.up_proj.weight", [18432, 7168] at 18432 rows 18432>]
  nn.param @dense_down : tensor<7168x18432xbf16> layers [0, 3] from [#nn.source<"model.layers.{i}.mlp.down_proj.weight", [7168, 18432]>]
  nn.param @gate_up : tensor<256x4096x7168xbf16> layers [3, 61] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.gate_proj.weight", [2048, 7168] rows 2048>, #nn.source<"model.layers.{i}.mlp.experts.{e}.up_proj.weight", [2048, 7168] at 2048 rows 2048>]
  nn.param @down : tensor<256x7168x2048xbf16> layers [3, 61] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.down_proj.weight", [7168, 2048]>]
  nn.param @gate : tensor<256x7168xbf16> layers [3, 61] from [#nn.source<"model.layers.{i}.mlp.gate.weight", [256, 7168]>]
  nn.param @gate_bias : tensor<256xf32> layers [3, 61] from [#nn.source<"model.layers.{i}.mlp.gate.e_score_correction_bias", [256]>]
  nn.param @shared_gate_up : tensor<4096x7168xbf16> layers [3, 61] from [#nn.source<"model.layers.{i}.mlp.shared_experts.gate_proj.weight", [2048, 7168] rows 2048>, #nn.source<"model.layers.{i}.mlp.shared_experts.up_proj.weight", [2048, 7168] at 2048 rows 2048>]
  nn.param @shared_down : tensor<7168x2048xbf16> layers [3, 61] from [#nn.source<"model.layers.{i}.mlp.shared_experts.down_proj.weight", [7168, 2048]>]
  moe.router @deepseek_v3(%arg0: tensor<?x7168xf32>, %arg1: tensor<256x7168xbf16>, %arg2: tensor<256xf32>) -> (!moe.plan<256, 8>, tensor<?x8xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x7168xf32>, tensor<256x7168xbf16>
    %1 = nn.activate  sigmoid %0 : tensor<?x256xf32>
    %2 = nn.broadcast %arg2 like %1 : tensor<?x256xf32> axis(0) : tensor<256xf32> -> tensor<?x256xf32>
    %3 = arith.addf %1, %2 : tensor<?x256xf32>
    %4 = moe.group_mask %3 groups(8) keep(4) score( sum_top) fill(0xFFF0000000000000) {top = 2 : i64} : tensor<?x256xf32>
    %5 = moe.select %4 top_k(8) : tensor<?x256xf32>
    %6 = moe.pick %1, %5 : tensor<?x256xf32>, tensor<?x8xi32>
    %7 = nn.reduce  sum %6 axis(1) : tensor<?x8xf32>
    %8 = nn.broadcast %7 axis(1) : tensor<?xf32> -> tensor<?x8xf32>
    %cst = arith.constant dense<9.99999968E-21> : tensor<8xf32>
    %9 = nn.broadcast %cst like %6 : tensor<?x8xf32> axis(0) : tensor<8xf32> -> tensor<?x8xf32>
    %10 = arith.addf %8, %9 : tensor<?x8xf32>
    %11 = arith.divf %6, %10 : tensor<?x8xf32>
    %cst_0 = arith.constant dense<2.500000e+00> : tensor<8xf32>
    %12 = nn.broadcast %cst_0 like %11 : tensor<?x8xf32> axis(0) : tensor<8xf32> -> tensor<?x8xf32>
    %13 = arith.mulf %11, %12 : tensor<?x8xf32>
    %14 = moe.make_plan %5 experts(256) : tensor<?x8xi32>
    moe.return %14, %13 : !moe.plan<256, 8>, tensor<?x8xf32>
  }
  nn.model @deepseek_v3_model(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x129280xf32> {
    %0 = nn.param_get @embed : tensor<129280x7168xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<129280x7168xbf16> -> tensor<?x7168xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 7.49894202e-01, 5.62341332e-01, 4.21696514e-01, 3.16227764e-01, 2.37137377e-01, 1.77827939e-01, 1.33352146e-01, 1.00000001e-01, 7.49894232e-02, 5.62341325e-02, 3.90069261e-02, 2.68793609e-02, 1.83781460e-02, 1.24479560e-02, 8.33450910e-03, 5.49999997e-03, 3.56199755e-03, 2.24936521e-03, 1.37051358e-03, 7.90569407e-04, 4.14990413e-04, 1.77827940e-04, 3.33380376e-05, 2.49999994e-05, 1.87473561e-05, 1.40585335e-05, 1.05424124e-05, 7.90569447e-06, 5.92843435e-06, 4.44569832e-06, 3.33380353e-06]) : tensor<?xi32>
    %3 = nn.layers 0 to 3(%1) : (tensor<?x7168xbf16>) -> tensor<?x7168xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x7168xbf16>):
      %6 = nn.latent_attention %arg4 rope(%2) positions(%arg1) seqs(%arg2) layer(%arg3) norm(@attn_norm, 9.9999999999999995E-7) q_a(@q_a, @q_norm) q(@q) kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@o) heads(128) dims(512, 128, 64, 128) latent_eps(9.9999999999999995E-7) scale(0.13523377886088009) : tensor<?x7168xbf16>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x7168xbf16>
      %7 = nn.mlp %6 layer(%arg3) norm(@ffn_norm, 9.9999999999999995E-7) glu( silu, @dense_gate_up, @dense_down) : tensor<?x7168xbf16> -> tensor<?x7168xbf16>
      nn.yield %7 : tensor<?x7168xbf16>
    }
    %4 = nn.layers 3 to 61(%3) : (tensor<?x7168xbf16>) -> tensor<?x7168xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x7168xbf16>):
      %6 = nn.latent_attention %arg4 rope(%2) positions(%arg1) seqs(%arg2) layer(%arg3) norm(@attn_norm, 9.9999999999999995E-7) q_a(@q_a, @q_norm) q(@q) kv_a(@kv_a, @kv_norm) up(@k_up, @v_up) o(@o) heads(128) dims(512, 128, 64, 128) latent_eps(9.9999999999999995E-7) scale(0.13523377886088009) : tensor<?x7168xbf16>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x7168xbf16>
      %7 = nn.param_get @ffn_norm[%arg3] : tensor<7168xbf16>
      %8 = nn.rms_norm %6, %7 eps(9.9999999999999995E-7) : tensor<?x7168xbf16>, tensor<7168xbf16>
      %9 = moe.layer %8 layer(%arg3) router(@deepseek_v3, [@gate, @gate_bias]) experts(256, segments = 9, [@gate_up, @down]) shared([@shared_gate_up, @shared_down]) : tensor<?x7168xbf16> -> tensor<?x7168xbf16> body {
      ^bb0(%arg5: tensor<?x7168xbf16>, %arg6: tensor<4096x7168xbf16>, %arg7: tensor<7168x2048xbf16>):
        %11 = nn.linear %arg5, %arg6 : tensor<?x7168xbf16>, tensor<4096x7168xbf16>
        %12 = nn.glu  silu %11 : tensor<?x4096xbf16>
        %13 = nn.linear %12, %arg7 : tensor<?x2048xbf16>, tensor<7168x2048xbf16>
        moe.yield %13 : tensor<?x7168xbf16>
      } shared_body {
      ^bb0(%arg5: tensor<?x7168xbf16>, %arg6: tensor<4096x7168xbf16>, %arg7: tensor<7168x2048xbf16>):
        %11 = nn.linear %arg5, %arg6 : tensor<?x7168xbf16>, tensor<4096x7168xbf16>
        %12 = nn.glu  silu %11 : tensor<?x4096xbf16>
        %13 = nn.linear %12, %arg7 : tensor<?x2048xbf16>, tensor<7168x2048xbf16>
        moe.yield %13 : tensor<?x7168xbf16>
      }
      %10 = arith.addf %6, %9 : tensor<?x7168xbf16>
      nn.yield %10 : tensor<?x7168xbf16>
    }
    %5 = nn.head %4 norm(@norm, 9.9999999999999995E-7) weight(@lm_head) : tensor<?x7168xbf16> -> tensor<?x129280xf32>
    nn.return %5 : tensor<?x129280xf32>
  }
}
