// Qwen3-30B-A3B (2025): sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:151936,\22num_hidden_layers\22:48,\22hidden_size\22:2048,\22num_attention_heads\22:32,\22num_key_value_heads\22:4,\22max_position_embeddings\22:40960,\22rms_norm_eps\22:1e-06,\22rope_theta\22:1000000.0,\22hidden_act\22:\22silu\22,\22model_type\22:\22qwen3_moe\22,\22head_dim\22:128,\22intermediate_size\22:6144,\22moe_intermediate_size\22:768,\22num_experts\22:128,\22num_experts_per_tok\22:8,\22norm_topk_prob\22:true}", moe.eos_token_ids = array<i64>, moe.max_positions = 40960 : i64, moe.name = "qwen3_30b_a3b"} {
  nn.param @embed : tensor<151936x2048xbf16> from [#nn.source<"model.embed_tokens.weight", [151936, 2048]>]
  nn.param @attn_norm : tensor<2048xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [2048]>]
  nn.param @ffn_norm : tensor<2048xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [2048]>]
  nn.param @norm : tensor<2048xbf16> from [#nn.source<"model.norm.weight", [2048]>]
  nn.param @lm_head : tensor<151936x2048xbf16> from [#nn.source<"lm_head.weight", [151936, 2048]>]
  nn.param @q : tensor<4096x2048xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.self_attn.q_proj.weight", [4096, 2048]>]
  nn.param @k : tensor<512x2048xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.self_attn.k_proj.weight", [512, 2048]>]
  nn.param @v : tensor<512x2048xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.self_attn.v_proj.weight", [512, 2048]>]
  nn.param @o : tensor<2048x4096xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [2048, 4096]>]
  nn.param @q_norm : tensor<128xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.self_attn.q_norm.weight", [128]>]
  nn.param @k_norm : tensor<128xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.self_attn.k_norm.weight", [128]>]
  nn.param @gate_up : tensor<128x1536x2048xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.gate_proj.weight", [768, 2048] rows 768>, #nn.source<"model.layers.{i}.mlp.experts.{e}.up_proj.weight", [768, 2048] at 768 rows 768>]
  nn.param @down : tensor<128x2048x768xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.down_proj.weight", [2048, 768]>]
  nn.param @gate : tensor<128x2048xbf16> layers [0, 48] from [#nn.source<"model.layers.{i}.mlp.gate.weight", [128, 2048]>]
  moe.router @qwen3_moe(%arg0: tensor<?x2048xf32>, %arg1: tensor<128x2048xbf16>) -> (!moe.plan<128, 8>, tensor<?x8xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x2048xf32>, tensor<128x2048xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x128xf32>
    %2 = moe.select %1 top_k(8) : tensor<?x128xf32>
    %3 = moe.pick %1, %2 : tensor<?x128xf32>, tensor<?x8xi32>
    %4 = nn.reduce  sum %3 axis(1) : tensor<?x8xf32>
    %5 = nn.broadcast %4 axis(1) : tensor<?xf32> -> tensor<?x8xf32>
    %6 = arith.divf %3, %5 : tensor<?x8xf32>
    %7 = moe.make_plan %2 experts(128) : tensor<?x8xi32>
    moe.return %7, %6 : !moe.plan<128, 8>, tensor<?x8xf32>
  }
  nn.model @qwen3_30b_a3b(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x151936xf32> {
    %0 = nn.param_get @embed : tensor<151936x2048xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<151936x2048xbf16> -> tensor<?x2048xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 8.05842161e-01, 6.49381638e-01, 5.23299098e-01, 4.21696514e-01, 3.39820832e-01, 2.73841977e-01, 2.20673412e-01, 1.77827939e-01, 1.43301263e-01, 1.15478195e-01, 9.30572078e-02, 7.49894232e-02, 6.04296401e-02, 4.86967526e-02, 3.92418988e-02, 3.16227749e-02, 2.54829675e-02, 2.05352511e-02, 1.65481716e-02, 1.33352140e-02, 1.07460786e-02, 8.65964312e-03, 6.97830599e-03, 5.62341325e-03, 4.53158375e-03, 3.65174119e-03, 2.94272718e-03, 2.37137382e-03, 1.91095297e-03, 1.53992651e-03, 1.24093774e-03, 1.00000005e-03, 8.05842166e-04, 6.49381604e-04, 5.23299095e-04, 4.21696517e-04, 3.39820836e-04, 2.73841957e-04, 2.20673406e-04, 1.77827940e-04, 1.43301251e-04, 1.15478200e-04, 9.30572060e-05, 7.49894243e-05, 6.04296401e-05, 4.86967510e-05, 3.92418988e-05, 3.16227779e-05, 2.54829683e-05, 2.05352499e-05, 1.65481706e-05, 1.33352141e-05, 1.07460783e-05, 8.65964284e-06, 6.97830592e-06, 5.62341347e-06, 4.53158373e-06, 3.65174128e-06, 2.94272718e-06, 2.37137374e-06, 1.91095296e-06, 1.53992653e-06, 1.24093776e-06]) : tensor<?xi32>
    %3 = nn.layers 0 to 48(%1) : (tensor<?x2048xbf16>) -> tensor<?x2048xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x2048xbf16>):
      %5 = nn.param_get @attn_norm[%arg3] : tensor<2048xbf16>
      %6 = nn.rms_norm %arg4, %5 eps(9.9999999999999995E-7) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %7 = nn.param_get @q[%arg3] : tensor<4096x2048xbf16>
      %8 = nn.linear %6, %7 : tensor<?x2048xbf16>, tensor<4096x2048xbf16>
      %9 = nn.reshape %8 : tensor<?x4096xbf16> -> tensor<?x32x128xbf16>
      %10 = nn.param_get @q_norm[%arg3] : tensor<128xbf16>
      %11 = nn.rms_norm %9, %10 eps(9.9999999999999995E-7) : tensor<?x32x128xbf16>, tensor<128xbf16>
      %12 = nn.param_get @k[%arg3] : tensor<512x2048xbf16>
      %13 = nn.linear %6, %12 : tensor<?x2048xbf16>, tensor<512x2048xbf16>
      %14 = nn.reshape %13 : tensor<?x512xbf16> -> tensor<?x4x128xbf16>
      %15 = nn.param_get @k_norm[%arg3] : tensor<128xbf16>
      %16 = nn.rms_norm %14, %15 eps(9.9999999999999995E-7) : tensor<?x4x128xbf16>, tensor<128xbf16>
      %17 = nn.param_get @v[%arg3] : tensor<512x2048xbf16>
      %18 = nn.linear %6, %17 : tensor<?x2048xbf16>, tensor<512x2048xbf16>
      %19 = nn.reshape %18 : tensor<?x512xbf16> -> tensor<?x4x128xbf16>
      %20 = nn.rope  half %11, %2 start(0) : tensor<?x32x128xbf16>, tensor<?x128xf32>
      %21 = nn.rope  half %16, %2 start(0) : tensor<?x4x128xbf16>, tensor<?x128xf32>
      %22 = nn.attend %20, %21, %19 positions(%arg1) seqs(%arg2) {scale = 0.088388347648318433 : f64} : tensor<?x32x128xbf16>, tensor<?x4x128xbf16>, tensor<?x4x128xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x32x128xbf16>
      %23 = nn.reshape %22 : tensor<?x32x128xbf16> -> tensor<?x4096xbf16>
      %24 = nn.param_get @o[%arg3] : tensor<2048x4096xbf16>
      %25 = nn.linear %23, %24 : tensor<?x4096xbf16>, tensor<2048x4096xbf16>
      %26 = arith.addf %arg4, %25 : tensor<?x2048xbf16>
      %27 = nn.param_get @ffn_norm[%arg3] : tensor<2048xbf16>
      %28 = nn.rms_norm %26, %27 eps(9.9999999999999995E-7) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %29 = moe.layer %28 layer(%arg3) router(@qwen3_moe, [@gate]) experts(128, segments = 1, [@gate_up, @down]) : tensor<?x2048xbf16> -> tensor<?x2048xbf16> body {
      ^bb0(%arg5: tensor<?x2048xbf16>, %arg6: tensor<1536x2048xbf16>, %arg7: tensor<2048x768xbf16>):
        %31 = nn.linear %arg5, %arg6 : tensor<?x2048xbf16>, tensor<1536x2048xbf16>
        %32 = nn.glu  silu %31 : tensor<?x1536xbf16>
        %33 = nn.linear %32, %arg7 : tensor<?x768xbf16>, tensor<2048x768xbf16>
        moe.yield %33 : tensor<?x2048xbf16>
      } shared_body {
      }
      %30 = arith.addf %26, %29 : tensor<?x2048xbf16>
      nn.yield %30 : tensor<?x2048xbf16>
    }
    %4 = nn.head %3 norm(@norm, 9.9999999999999995E-7) weight(@lm_head) : tensor<?x2048xbf16> -> tensor<?x151936xf32>
    nn.return %4 : tensor<?x151936xf32>
  }
}
