// JetMoE-8B (Shen et al. 2024): sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:32000,\22num_hidden_layers\22:24,\22hidden_size\22:2048,\22num_attention_heads\22:32,\22num_key_value_heads\22:16,\22max_position_embeddings\22:4096,\22rms_norm_eps\22:1e-06,\22rope_theta\22:10000.0,\22hidden_act\22:\22silu\22,\22model_type\22:\22jetmoe\22,\22kv_channels\22:128,\22intermediate_size\22:5632,\22num_local_experts\22:8,\22num_experts_per_tok\22:2,\22tie_word_embeddings\22:true}", moe.eos_token_ids = array<i64>, moe.max_positions = 4096 : i64, moe.name = "jetmoe_8b"} {
  nn.param @embed : tensor<32000x2048xbf16> from [#nn.source<"model.embed_tokens.weight", [32000, 2048]>]
  nn.param @attn_norm : tensor<2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [2048]>]
  nn.param @ffn_norm : tensor<2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [2048]>]
  nn.param @norm : tensor<2048xbf16> from [#nn.source<"model.norm.weight", [2048]>]
  nn.param @lm_head : tensor<32000x2048xbf16> from [#nn.source<"model.embed_tokens.weight", [32000, 2048]>]
  nn.param @attn_gate : tensor<8x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attention.experts.router.layer.weight", [8, 2048]>]
  moe.router @jetmoe(%arg0: tensor<?x2048xf32>, %arg1: tensor<8x2048xbf16>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x2048xf32>, tensor<8x2048xbf16>
    %1 = moe.select %0 top_k(2) : tensor<?x8xf32>
    %2 = moe.pick %0, %1 : tensor<?x8xf32>, tensor<?x2xi32>
    %3 = nn.softmax %2 axis(1) : tensor<?x2xf32>
    %4 = moe.make_plan %1 experts(8) : tensor<?x2xi32>
    moe.return %4, %3 : !moe.plan<8, 2>, tensor<?x2xf32>
  }
  nn.param @q : tensor<8x2048x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attention.experts.input_linear.weight", [8, 2048, 2048] strides[4194304, 2048, 1]>]
  nn.param @o : tensor<8x2048x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attention.experts.output_linear.weight", [8, 2048, 2048] strides[4194304, 2048, 1]>]
  nn.param @o_bias : tensor<2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attention.experts.bias", [2048]>]
  nn.param @k : tensor<2048x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attention.kv_proj.weight", [4096, 2048]>]
  nn.param @v : tensor<2048x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.self_attention.kv_proj.weight", [4096, 2048] offset 4194304>]
  nn.param @gate : tensor<8x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.router.layer.weight", [8, 2048]>]
  nn.param @gate_up : tensor<8x11264x2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.input_linear.weight", [8, 11264, 2048] strides[23068672, 2048, 1]>]
  nn.param @down : tensor<8x2048x5632xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.output_linear.weight", [8, 2048, 5632] strides[11534336, 5632, 1]>]
  nn.param @ffn_bias : tensor<2048xbf16> layers [0, 24] from [#nn.source<"model.layers.{i}.mlp.bias", [2048]>]
  nn.model @jetmoe_8b(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x32000xf32> {
    %0 = nn.param_get @embed : tensor<32000x2048xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<32000x2048xbf16> -> tensor<?x2048xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 8.65964353e-01, 7.49894202e-01, 6.49381638e-01, 5.62341332e-01, 4.86967534e-01, 4.21696514e-01, 3.65174115e-01, 3.16227764e-01, 2.73841977e-01, 2.37137377e-01, 2.05352500e-01, 1.77827939e-01, 1.53992653e-01, 1.33352146e-01, 1.15478195e-01, 1.00000001e-01, 8.65964293e-02, 7.49894232e-02, 6.49381652e-02, 5.62341325e-02, 4.86967526e-02, 4.21696492e-02, 3.65174115e-02, 3.16227749e-02, 2.73841955e-02, 2.37137377e-02, 2.05352511e-02, 1.77827943e-02, 1.53992651e-02, 1.33352140e-02, 1.15478197e-02, 9.99999978e-03, 8.65964312e-03, 7.49894232e-03, 6.49381615e-03, 5.62341325e-03, 4.86967526e-03, 4.21696482e-03, 3.65174119e-03, 3.16227763e-03, 2.73841969e-03, 2.37137382e-03, 2.05352507e-03, 1.77827943e-03, 1.53992651e-03, 1.33352145e-03, 1.15478202e-03, 1.00000005e-03, 8.65964335e-04, 7.49894185e-04, 6.49381604e-04, 5.62341302e-04, 4.86967532e-04, 4.21696517e-04, 3.65174114e-04, 3.16227757e-04, 2.73841957e-04, 2.37137370e-04, 2.05352510e-04, 1.77827940e-04, 1.53992660e-04, 1.33352150e-04, 1.15478200e-04]) : tensor<?xi32>
    %3 = nn.layers 0 to 24(%1) : (tensor<?x2048xbf16>) -> tensor<?x2048xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x2048xbf16>):
      %5 = nn.param_get @attn_norm[%arg3] : tensor<2048xbf16>
      %6 = nn.rms_norm %arg4, %5 eps(9.9999999999999995E-7) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %7 = arith.extf %6 : tensor<?x2048xbf16> to tensor<?x2048xf32>
      %8 = nn.param_get @attn_gate[%arg3] : tensor<8x2048xbf16>
      %9:2 = moe.route @jetmoe(%7, %8) : (tensor<?x2048xf32>, tensor<8x2048xbf16>) -> (!moe.plan<8, 2>, tensor<?x2xf32>)
      %10 = moe.dispatch %6, %9#0 : tensor<?x2048xbf16>, <8, 2>
      %11 = nn.param_get @q[%arg3] : tensor<8x2048x2048xbf16>
      %12 = moe.experts %10, %9#0 params(%11) : (tensor<?x2048xbf16>, !moe.plan<8, 2>, tensor<8x2048x2048xbf16>) -> tensor<?x2048xbf16> {
      ^bb0(%arg5: tensor<?x2048xbf16>, %arg6: tensor<2048x2048xbf16>):
        %46 = nn.linear %arg5, %arg6 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
        moe.yield %46 : tensor<?x2048xbf16>
      }
      %13 = moe.ungroup %12, %9#0 : tensor<?x2048xbf16>, <8, 2>
      %14 = nn.reshape %13 : tensor<?x2x2048xbf16> -> tensor<?x32x128xbf16>
      %15 = nn.rope  half %14, %2 start(0) : tensor<?x32x128xbf16>, tensor<?x128xf32>
      %16 = nn.param_get @k[%arg3] : tensor<2048x2048xbf16>
      %17 = nn.linear %6, %16 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %18 = nn.reshape %17 : tensor<?x2048xbf16> -> tensor<?x16x128xbf16>
      %19 = nn.rope  half %18, %2 start(0) : tensor<?x16x128xbf16>, tensor<?x128xf32>
      %20 = nn.param_get @v[%arg3] : tensor<2048x2048xbf16>
      %21 = nn.linear %6, %20 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %22 = nn.reshape %21 : tensor<?x2048xbf16> -> tensor<?x16x128xbf16>
      %23 = nn.attend %15, %19, %22 positions(%arg1) seqs(%arg2) {scale = 0.088388347648318433 : f64, tiled} : tensor<?x32x128xbf16>, tensor<?x16x128xbf16>, tensor<?x16x128xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x32x128xbf16>
      %24 = nn.reshape %23 : tensor<?x32x128xbf16> -> tensor<?x2x2048xbf16>
      %25 = moe.group %24, %9#0 : tensor<?x2x2048xbf16>, <8, 2>
      %26 = nn.param_get @o[%arg3] : tensor<8x2048x2048xbf16>
      %27 = moe.experts %25, %9#0 params(%26) : (tensor<?x2048xbf16>, !moe.plan<8, 2>, tensor<8x2048x2048xbf16>) -> tensor<?x2048xbf16> {
      ^bb0(%arg5: tensor<?x2048xbf16>, %arg6: tensor<2048x2048xbf16>):
        %46 = nn.linear %arg5, %arg6 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
        moe.yield %46 : tensor<?x2048xbf16>
      }
      %28 = moe.combine %27, %9#0, %9#1 : tensor<?x2048xbf16>, <8, 2>, tensor<?x2xf32>
      %29 = arith.extf %28 : tensor<?x2048xbf16> to tensor<?x2048xf32>
      %30 = nn.param_get @o_bias[%arg3] : tensor<2048xbf16>
      %31 = arith.extf %30 : tensor<2048xbf16> to tensor<2048xf32>
      %32 = nn.broadcast %31 like %29 : tensor<?x2048xf32> axis(0) : tensor<2048xf32> -> tensor<?x2048xf32>
      %33 = arith.addf %29, %32 : tensor<?x2048xf32>
      %34 = arith.truncf %33 : tensor<?x2048xf32> to tensor<?x2048xbf16>
      %35 = arith.addf %arg4, %34 : tensor<?x2048xbf16>
      %36 = nn.param_get @ffn_norm[%arg3] : tensor<2048xbf16>
      %37 = nn.rms_norm %35, %36 eps(9.9999999999999995E-7) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %38 = moe.layer %37 layer(%arg3) router(@jetmoe, [@gate]) experts(8, segments = 1, [@gate_up, @down]) : tensor<?x2048xbf16> -> tensor<?x2048xbf16> body {
      ^bb0(%arg5: tensor<?x2048xbf16>, %arg6: tensor<11264x2048xbf16>, %arg7: tensor<2048x5632xbf16>):
        %46 = nn.linear %arg5, %arg6 : tensor<?x2048xbf16>, tensor<11264x2048xbf16>
        %47 = nn.glu  silu %46 : tensor<?x11264xbf16>
        %48 = nn.linear %47, %arg7 : tensor<?x5632xbf16>, tensor<2048x5632xbf16>
        moe.yield %48 : tensor<?x2048xbf16>
      } shared_body {
      }
      %39 = arith.extf %38 : tensor<?x2048xbf16> to tensor<?x2048xf32>
      %40 = nn.param_get @ffn_bias[%arg3] : tensor<2048xbf16>
      %41 = arith.extf %40 : tensor<2048xbf16> to tensor<2048xf32>
      %42 = nn.broadcast %41 like %39 : tensor<?x2048xf32> axis(0) : tensor<2048xf32> -> tensor<?x2048xf32>
      %43 = arith.addf %39, %42 : tensor<?x2048xf32>
      %44 = arith.truncf %43 : tensor<?x2048xf32> to tensor<?x2048xbf16>
      %45 = arith.addf %35, %44 : tensor<?x2048xbf16>
      nn.yield %45 : tensor<?x2048xbf16>
    }
    %4 = nn.head %3 norm(@norm, 9.9999999999999995E-7) weight(@lm_head) : tensor<?x2048xbf16> -> tensor<?x32000xf32>
    nn.return %4 : tensor<?x32000xf32>
  }
}
