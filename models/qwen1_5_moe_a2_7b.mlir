// Qwen1.5-MoE-A2.7B (2024): sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:151936,\22num_hidden_layers\22:24,\22hidden_size\22:2048,\22num_attention_heads\22:16,\22num_key_value_heads\22:16,\22max_position_embeddings\22:8192,\22rms_norm_eps\22:1e-06,\22rope_theta\22:1000000.0,\22hidden_act\22:\22silu\22,\22model_type\22:\22qwen2_moe\22,\22intermediate_size\22:5632,\22moe_intermediate_size\22:1408,\22shared_expert_intermediate_size\22:5632,\22num_experts\22:60,\22num_experts_per_tok\22:4,\22norm_topk_prob\22:false}", moe.eos_token_ids = array<i64>, moe.max_positions = 8192 : i64, moe.name = "qwen1_5_moe_a2_7b"} {
  nn.param @embed : tensor<151936x2048xbf16> from [#nn.source<"model.embed_tokens.weight", [151936, 2048]>]
  nn.param @attn_norm : tensor<2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [2048]>]
  nn.param @ffn_norm : tensor<2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [2048]>]
  nn.param @norm : tensor<2048xbf16> from [#nn.source<"model.norm.weight", [2048]>]
  nn.param @lm_head : tensor<151936x2048xbf16> from [#nn.source<"lm_head.weight", [151936, 2048]>]
  nn.param @q : tensor<2048x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attn.q_proj.weight", [2048, 2048]>]
  nn.param @k : tensor<2048x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attn.k_proj.weight", [2048, 2048]>]
  nn.param @v : tensor<2048x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attn.v_proj.weight", [2048, 2048]>]
  nn.param @o : tensor<2048x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [2048, 2048]>]
  nn.param @q_bias : tensor<2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attn.q_proj.bias", [2048]>]
  nn.param @k_bias : tensor<2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attn.k_proj.bias", [2048]>]
  nn.param @v_bias : tensor<2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attn.v_proj.bias", [2048]>]
  nn.param @gate_up : tensor<60x2816x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.gate_proj.weight", [1408, 2048] rows 1408>, #nn.source<"model.layers.{i}.mlp.experts.{e}.up_proj.weight", [1408, 2048] at 1408 rows 1408>]
  nn.param @down : tensor<60x2048x1408xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.down_proj.weight", [2048, 1408]>]
  nn.param @gate : tensor<60x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.gate.weight", [60, 2048]>]
  nn.param @shared_gate_up : tensor<11264x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.shared_expert.gate_proj.weight", [5632, 2048] rows 5632>, #nn.source<"model.layers.{i}.mlp.shared_expert.up_proj.weight", [5632, 2048] at 5632 rows 5632>]
  nn.param @shared_down : tensor<2048x5632xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.shared_expert.down_proj.weight", [2048, 5632]>]
  nn.param @shared_gate : tensor<1x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.shared_expert_gate.weight", [1, 2048]>]
  moe.router @qwen2_moe(%arg0: tensor<?x2048xf32>, %arg1: tensor<60x2048xbf16>) -> (!moe.plan<60, 4>, tensor<?x4xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x2048xf32>, tensor<60x2048xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x60xf32>
    %2 = moe.select %1 top_k(4) : tensor<?x60xf32>
    %3 = moe.pick %1, %2 : tensor<?x60xf32>, tensor<?x4xi32>
    %4 = moe.make_plan %2 experts(60) : tensor<?x4xi32>
    moe.return %4, %3 : !moe.plan<60, 4>, tensor<?x4xf32>
  }
  nn.model @qwen1_5_moe_a2_7b(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x151936xf32> {
    %0 = nn.param_get @embed : tensor<151936x2048xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<151936x2048xbf16> -> tensor<?x2048xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 8.05842161e-01, 6.49381638e-01, 5.23299098e-01, 4.21696514e-01, 3.39820832e-01, 2.73841977e-01, 2.20673412e-01, 1.77827939e-01, 1.43301263e-01, 1.15478195e-01, 9.30572078e-02, 7.49894232e-02, 6.04296401e-02, 4.86967526e-02, 3.92418988e-02, 3.16227749e-02, 2.54829675e-02, 2.05352511e-02, 1.65481716e-02, 1.33352140e-02, 1.07460786e-02, 8.65964312e-03, 6.97830599e-03, 5.62341325e-03, 4.53158375e-03, 3.65174119e-03, 2.94272718e-03, 2.37137382e-03, 1.91095297e-03, 1.53992651e-03, 1.24093774e-03, 1.00000005e-03, 8.05842166e-04, 6.49381604e-04, 5.23299095e-04, 4.21696517e-04, 3.39820836e-04, 2.73841957e-04, 2.20673406e-04, 1.77827940e-04, 1.43301251e-04, 1.15478200e-04, 9.30572060e-05, 7.49894243e-05, 6.04296401e-05, 4.86967510e-05, 3.92418988e-05, 3.16227779e-05, 2.54829683e-05, 2.05352499e-05, 1.65481706e-05, 1.33352141e-05, 1.07460783e-05, 8.65964284e-06, 6.97830592e-06, 5.62341347e-06, 4.53158373e-06, 3.65174128e-06, 2.94272718e-06, 2.37137374e-06, 1.91095296e-06, 1.53992653e-06, 1.24093776e-06]) : tensor<?xi32>
    %3 = nn.layers 0 to 24(%1) : (tensor<?x2048xbf16>) -> tensor<?x2048xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x2048xbf16>):
      %5 = nn.param_get @attn_norm[%arg3] : tensor<2048xbf16>
      %6 = nn.rms_norm %arg4, %5 eps(9.9999999999999995E-7) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %7 = nn.param_get @q_bias[%arg3] : tensor<2048xbf16>
      %8 = nn.param_get @q[%arg3] : tensor<2048x2048xbf16>
      %9 = nn.linear %6, %8 bias(%7 : tensor<2048xbf16>) : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %10 = nn.reshape %9 : tensor<?x2048xbf16> -> tensor<?x16x128xbf16>
      %11 = nn.param_get @k_bias[%arg3] : tensor<2048xbf16>
      %12 = nn.param_get @k[%arg3] : tensor<2048x2048xbf16>
      %13 = nn.linear %6, %12 bias(%11 : tensor<2048xbf16>) : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %14 = nn.reshape %13 : tensor<?x2048xbf16> -> tensor<?x16x128xbf16>
      %15 = nn.param_get @v_bias[%arg3] : tensor<2048xbf16>
      %16 = nn.param_get @v[%arg3] : tensor<2048x2048xbf16>
      %17 = nn.linear %6, %16 bias(%15 : tensor<2048xbf16>) : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %18 = nn.reshape %17 : tensor<?x2048xbf16> -> tensor<?x16x128xbf16>
      %19 = nn.rope  half %10, %2 start(0) : tensor<?x16x128xbf16>, tensor<?x128xf32>
      %20 = nn.rope  half %14, %2 start(0) : tensor<?x16x128xbf16>, tensor<?x128xf32>
      %21 = nn.attend %19, %20, %18 positions(%arg1) seqs(%arg2) {scale = 0.088388347648318433 : f64} : tensor<?x16x128xbf16>, tensor<?x16x128xbf16>, tensor<?x16x128xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x16x128xbf16>
      %22 = nn.reshape %21 : tensor<?x16x128xbf16> -> tensor<?x2048xbf16>
      %23 = nn.param_get @o[%arg3] : tensor<2048x2048xbf16>
      %24 = nn.linear %22, %23 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %25 = arith.addf %arg4, %24 : tensor<?x2048xbf16>
      %26 = nn.param_get @ffn_norm[%arg3] : tensor<2048xbf16>
      %27 = nn.rms_norm %25, %26 eps(9.9999999999999995E-7) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %28 = moe.layer %27 layer(%arg3) router(@qwen2_moe, [@gate]) experts(60, segments = 1, [@gate_up, @down]) shared([@shared_gate_up, @shared_down, @shared_gate]) : tensor<?x2048xbf16> -> tensor<?x2048xbf16> body {
      ^bb0(%arg5: tensor<?x2048xbf16>, %arg6: tensor<2816x2048xbf16>, %arg7: tensor<2048x1408xbf16>):
        %30 = nn.linear %arg5, %arg6 : tensor<?x2048xbf16>, tensor<2816x2048xbf16>
        %31 = nn.glu  silu %30 : tensor<?x2816xbf16>
        %32 = nn.linear %31, %arg7 : tensor<?x1408xbf16>, tensor<2048x1408xbf16>
        moe.yield %32 : tensor<?x2048xbf16>
      } shared_body {
      ^bb0(%arg5: tensor<?x2048xbf16>, %arg6: tensor<11264x2048xbf16>, %arg7: tensor<2048x5632xbf16>, %arg8: tensor<1x2048xbf16>):
        %30 = nn.linear %arg5, %arg6 : tensor<?x2048xbf16>, tensor<11264x2048xbf16>
        %31 = nn.glu  silu %30 : tensor<?x11264xbf16>
        %32 = nn.linear %31, %arg7 : tensor<?x5632xbf16>, tensor<2048x5632xbf16>
        %33 = nn.linear %arg5, %arg8 : tensor<?x2048xbf16>, tensor<1x2048xbf16>
        %34 = nn.activate  sigmoid %33 : tensor<?x1xbf16>
        %35 = nn.reshape %34 : tensor<?x1xbf16> -> tensor<?xbf16>
        %36 = nn.broadcast %35 axis(1) : tensor<?xbf16> -> tensor<?x2048xbf16>
        %37 = arith.mulf %36, %32 : tensor<?x2048xbf16>
        moe.yield %37 : tensor<?x2048xbf16>
      }
      %29 = arith.addf %25, %28 : tensor<?x2048xbf16>
      nn.yield %29 : tensor<?x2048xbf16>
    }
    %4 = nn.head %3 norm(@norm, 9.9999999999999995E-7) weight(@lm_head) : tensor<?x2048xbf16> -> tensor<?x151936xf32>
    nn.return %4 : tensor<?x151936xf32>
  }
}
