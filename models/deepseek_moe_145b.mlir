// DeepSeekMoE 145B (Dai et al. 2024; widths derived): sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:102400,\22num_hidden_layers\22:62,\22hidden_size\22:4096,\22num_attention_heads\22:32,\22num_key_value_heads\22:32,\22max_position_embeddings\22:4096,\22rms_norm_eps\22:1e-06,\22rope_theta\22:10000.0,\22hidden_act\22:\22silu\22,\22model_type\22:\22deepseek\22,\22intermediate_size\22:22528,\22moe_intermediate_size\22:1408,\22n_routed_experts\22:128,\22n_shared_experts\22:4,\22num_experts_per_tok\22:12,\22first_k_dense_replace\22:1,\22moe_layer_freq\22:1,\22norm_topk_prob\22:false}", moe.eos_token_ids = array<i64>, moe.max_positions = 4096 : i64, moe.name = "deepseek_moe_145b"} {
  nn.param @embed : tensor<102400x4096xbf16> from [#nn.source<"model.embed_tokens.weight", [102400, 4096]>]
  nn.param @attn_norm : tensor<4096xbf16> layers [0, 62] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [4096]>]
  nn.param @ffn_norm : tensor<4096xbf16> layers [0, 62] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [4096]>]
  nn.param @norm : tensor<4096xbf16> from [#nn.source<"model.norm.weight", [4096]>]
  nn.param @lm_head : tensor<102400x4096xbf16> from [#nn.source<"lm_head.weight", [102400, 4096]>]
  nn.param @q : tensor<4096x4096xbf16> layers [0, 62] from [#nn.source<"model.layers.{i}.self_attn.q_proj.weight", [4096, 4096]>]
  nn.param @k : tensor<4096x4096xbf16> layers [0, 62] from [#nn.source<"model.layers.{i}.self_attn.k_proj.weight", [4096, 4096]>]
  nn.param @v : tensor<4096x4096xbf16> layers [0, 62] from [#nn.source<"model.layers.{i}.self_attn.v_proj.weight", [4096, 4096]>]
  nn.param @o : tensor<4096x4096xbf16> layers [0, 62] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [4096, 4096]>]
  nn.param @dense_gate_up : tensor<45056x4096xbf16> layers [0, 1] from [#nn.source<"model.layers.{i}.mlp.gate_proj.weight", [22528, 4096] rows 22528>, #nn.source<"model.layers.{i}.mlp.up_proj.weight", [22528, 4096] at 22528 rows 22528>]
  nn.param @dense_down : tensor<4096x22528xbf16> layers [0, 1] from [#nn.source<"model.layers.{i}.mlp.down_proj.weight", [4096, 22528]>]
  nn.param @gate_up : tensor<128x2816x4096xbf16> layers [1, 62] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.gate_proj.weight", [1408, 4096] rows 1408>, #nn.source<"model.layers.{i}.mlp.experts.{e}.up_proj.weight", [1408, 4096] at 1408 rows 1408>]
  nn.param @down : tensor<128x4096x1408xbf16> layers [1, 62] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.down_proj.weight", [4096, 1408]>]
  nn.param @gate : tensor<128x4096xbf16> layers [1, 62] from [#nn.source<"model.layers.{i}.mlp.gate.weight", [128, 4096]>]
  nn.param @shared_gate_up : tensor<11264x4096xbf16> layers [1, 62] from [#nn.source<"model.layers.{i}.mlp.shared_experts.gate_proj.weight", [5632, 4096] rows 5632>, #nn.source<"model.layers.{i}.mlp.shared_experts.up_proj.weight", [5632, 4096] at 5632 rows 5632>]
  nn.param @shared_down : tensor<4096x5632xbf16> layers [1, 62] from [#nn.source<"model.layers.{i}.mlp.shared_experts.down_proj.weight", [4096, 5632]>]
  moe.router @deepseek(%arg0: tensor<?x4096xf32>, %arg1: tensor<128x4096xbf16>) -> (!moe.plan<128, 12>, tensor<?x12xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x4096xf32>, tensor<128x4096xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x128xf32>
    %2 = moe.select %1 top_k(12) : tensor<?x128xf32>
    %3 = moe.pick %1, %2 : tensor<?x128xf32>, tensor<?x12xi32>
    %4 = moe.make_plan %2 experts(128) : tensor<?x12xi32>
    moe.return %4, %3 : !moe.plan<128, 12>, tensor<?x12xf32>
  }
  nn.model @deepseek_moe_145b(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x102400xf32> {
    %0 = nn.param_get @embed : tensor<102400x4096xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<102400x4096xbf16> -> tensor<?x4096xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 8.65964353e-01, 7.49894202e-01, 6.49381638e-01, 5.62341332e-01, 4.86967534e-01, 4.21696514e-01, 3.65174115e-01, 3.16227764e-01, 2.73841977e-01, 2.37137377e-01, 2.05352500e-01, 1.77827939e-01, 1.53992653e-01, 1.33352146e-01, 1.15478195e-01, 1.00000001e-01, 8.65964293e-02, 7.49894232e-02, 6.49381652e-02, 5.62341325e-02, 4.86967526e-02, 4.21696492e-02, 3.65174115e-02, 3.16227749e-02, 2.73841955e-02, 2.37137377e-02, 2.05352511e-02, 1.77827943e-02, 1.53992651e-02, 1.33352140e-02, 1.15478197e-02, 9.99999978e-03, 8.65964312e-03, 7.49894232e-03, 6.49381615e-03, 5.62341325e-03, 4.86967526e-03, 4.21696482e-03, 3.65174119e-03, 3.16227763e-03, 2.73841969e-03, 2.37137382e-03, 2.05352507e-03, 1.77827943e-03, 1.53992651e-03, 1.33352145e-03, 1.15478202e-03, 1.00000005e-03, 8.65964335e-04, 7.49894185e-04, 6.49381604e-04, 5.62341302e-04, 4.86967532e-04, 4.21696517e-04, 3.65174114e-04, 3.16227757e-04, 2.73841957e-04, 2.37137370e-04, 2.05352510e-04, 1.77827940e-04, 1.53992660e-04, 1.33352150e-04, 1.15478200e-04]) : tensor<?xi32>
    %3 = nn.layers 0 to 1(%1) : (tensor<?x4096xbf16>) -> tensor<?x4096xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x4096xbf16>):
      %6 = nn.param_get @attn_norm[%arg3] : tensor<4096xbf16>
      %7 = nn.rms_norm %arg4, %6 eps(9.9999999999999995E-7) : tensor<?x4096xbf16>, tensor<4096xbf16>
      %8 = nn.param_get @q[%arg3] : tensor<4096x4096xbf16>
      %9 = nn.linear %7, %8 : tensor<?x4096xbf16>, tensor<4096x4096xbf16>
      %10 = nn.reshape %9 : tensor<?x4096xbf16> -> tensor<?x32x128xbf16>
      %11 = nn.param_get @k[%arg3] : tensor<4096x4096xbf16>
      %12 = nn.linear %7, %11 : tensor<?x4096xbf16>, tensor<4096x4096xbf16>
      %13 = nn.reshape %12 : tensor<?x4096xbf16> -> tensor<?x32x128xbf16>
      %14 = nn.param_get @v[%arg3] : tensor<4096x4096xbf16>
      %15 = nn.linear %7, %14 : tensor<?x4096xbf16>, tensor<4096x4096xbf16>
      %16 = nn.reshape %15 : tensor<?x4096xbf16> -> tensor<?x32x128xbf16>
      %17 = nn.rope  half %10, %2 start(0) : tensor<?x32x128xbf16>, tensor<?x128xf32>
      %18 = nn.rope  half %13, %2 start(0) : tensor<?x32x128xbf16>, tensor<?x128xf32>
      %19 = nn.attend %17, %18, %16 positions(%arg1) seqs(%arg2) {scale = 0.088388347648318433 : f64} : tensor<?x32x128xbf16>, tensor<?x32x128xbf16>, tensor<?x32x128xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x32x128xbf16>
      %20 = nn.reshape %19 : tensor<?x32x128xbf16> -> tensor<?x4096xbf16>
      %21 = nn.param_get @o[%arg3] : tensor<4096x4096xbf16>
      %22 = nn.linear %20, %21 : tensor<?x4096xbf16>, tensor<4096x4096xbf16>
      %23 = arith.addf %arg4, %22 : tensor<?x4096xbf16>
      %24 = nn.mlp %23 layer(%arg3) norm(@ffn_norm, 9.9999999999999995E-7) glu( silu, @dense_gate_up, @dense_down) : tensor<?x4096xbf16> -> tensor<?x4096xbf16>
      nn.yield %24 : tensor<?x4096xbf16>
    }
    %4 = nn.layers 1 to 62(%3) : (tensor<?x4096xbf16>) -> tensor<?x4096xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x4096xbf16>):
      %6 = nn.param_get @attn_norm[%arg3] : tensor<4096xbf16>
      %7 = nn.rms_norm %arg4, %6 eps(9.9999999999999995E-7) : tensor<?x4096xbf16>, tensor<4096xbf16>
      %8 = nn.param_get @q[%arg3] : tensor<4096x4096xbf16>
      %9 = nn.linear %7, %8 : tensor<?x4096xbf16>, tensor<4096x4096xbf16>
      %10 = nn.reshape %9 : tensor<?x4096xbf16> -> tensor<?x32x128xbf16>
      %11 = nn.param_get @k[%arg3] : tensor<4096x4096xbf16>
      %12 = nn.linear %7, %11 : tensor<?x4096xbf16>, tensor<4096x4096xbf16>
      %13 = nn.reshape %12 : tensor<?x4096xbf16> -> tensor<?x32x128xbf16>
      %14 = nn.param_get @v[%arg3] : tensor<4096x4096xbf16>
      %15 = nn.linear %7, %14 : tensor<?x4096xbf16>, tensor<4096x4096xbf16>
      %16 = nn.reshape %15 : tensor<?x4096xbf16> -> tensor<?x32x128xbf16>
      %17 = nn.rope  half %10, %2 start(0) : tensor<?x32x128xbf16>, tensor<?x128xf32>
      %18 = nn.rope  half %13, %2 start(0) : tensor<?x32x128xbf16>, tensor<?x128xf32>
      %19 = nn.attend %17, %18, %16 positions(%arg1) seqs(%arg2) {scale = 0.088388347648318433 : f64} : tensor<?x32x128xbf16>, tensor<?x32x128xbf16>, tensor<?x32x128xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x32x128xbf16>
      %20 = nn.reshape %19 : tensor<?x32x128xbf16> -> tensor<?x4096xbf16>
      %21 = nn.param_get @o[%arg3] : tensor<4096x4096xbf16>
      %22 = nn.linear %20, %21 : tensor<?x4096xbf16>, tensor<4096x4096xbf16>
      %23 = arith.addf %arg4, %22 : tensor<?x4096xbf16>
      %24 = nn.param_get @ffn_norm[%arg3] : tensor<4096xbf16>
      %25 = nn.rms_norm %23, %24 eps(9.9999999999999995E-7) : tensor<?x4096xbf16>, tensor<4096xbf16>
      %26 = moe.layer %25 layer(%arg3) router(@deepseek, [@gate]) experts(128, segments = 16, [@gate_up, @down]) shared([@shared_gate_up, @shared_down]) : tensor<?x4096xbf16> -> tensor<?x4096xbf16> body {
      ^bb0(%arg5: tensor<?x4096xbf16>, %arg6: tensor<2816x4096xbf16>, %arg7: tensor<4096x1408xbf16>):
        %28 = nn.linear %arg5, %arg6 : tensor<?x4096xbf16>, tensor<2816x4096xbf16>
        %29 = nn.glu  silu %28 : tensor<?x2816xbf16>
        %30 = nn.linear %29, %arg7 : tensor<?x1408xbf16>, tensor<4096x1408xbf16>
        moe.yield %30 : tensor<?x4096xbf16>
      } shared_body {
      ^bb0(%arg5: tensor<?x4096xbf16>, %arg6: tensor<11264x4096xbf16>, %arg7: tensor<4096x5632xbf16>):
        %28 = nn.linear %arg5, %arg6 : tensor<?x4096xbf16>, tensor<11264x4096xbf16>
        %29 = nn.glu  silu %28 : tensor<?x11264xbf16>
        %30 = nn.linear %29, %arg7 : tensor<?x5632xbf16>, tensor<4096x5632xbf16>
        moe.yield %30 : tensor<?x4096xbf16>
      }
      %27 = arith.addf %23, %26 : tensor<?x4096xbf16>
      nn.yield %27 : tensor<?x4096xbf16>
    }
    %5 = nn.head %4 norm(@norm, 9.9999999999999995E-7) weight(@lm_head) : tensor<?x4096xbf16> -> tensor<?x102400xf32>
    nn.return %5 : tensor<?x102400xf32>
  }
}
