// OLMoE-1B-7B (Muennighoff et al. 2024): sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:50304,\22num_hidden_layers\22:16,\22hidden_size\22:2048,\22num_attention_heads\22:16,\22num_key_value_heads\22:16,\22max_position_embeddings\22:4096,\22rms_norm_eps\22:1e-05,\22rope_theta\22:10000.0,\22hidden_act\22:\22silu\22,\22model_type\22:\22olmoe\22,\22intermediate_size\22:1024,\22num_experts\22:64,\22num_experts_per_tok\22:8,\22norm_topk_prob\22:false}", moe.eos_token_ids = array<i64>, moe.max_positions = 4096 : i64, moe.name = "olmoe_1b_7b"} {
  nn.param @embed : tensor<50304x2048xbf16> from [#nn.source<"model.embed_tokens.weight", [50304, 2048]>]
  nn.param @attn_norm : tensor<2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [2048]>]
  nn.param @ffn_norm : tensor<2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [2048]>]
  nn.param @norm : tensor<2048xbf16> from [#nn.source<"model.norm.weight", [2048]>]
  nn.param @lm_head : tensor<50304x2048xbf16> from [#nn.source<"lm_head.weight", [50304, 2048]>]
  nn.param @q : tensor<2048x2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.self_attn.q_proj.weight", [2048, 2048]>]
  nn.param @k : tensor<2048x2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.self_attn.k_proj.weight", [2048, 2048]>]
  nn.param @v : tensor<2048x2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.self_attn.v_proj.weight", [2048, 2048]>]
  nn.param @o : tensor<2048x2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [2048, 2048]>]
  nn.param @q_norm : tensor<2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.self_attn.q_norm.weight", [2048]>]
  nn.param @k_norm : tensor<2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.self_attn.k_norm.weight", [2048]>]
  nn.param @gate_up : tensor<64x2048x2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.gate_proj.weight", [1024, 2048] rows 1024>, #nn.source<"model.layers.{i}.mlp.experts.{e}.up_proj.weight", [1024, 2048] at 1024 rows 1024>]
  nn.param @down : tensor<64x2048x1024xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.down_proj.weight", [2048, 1024]>]
  nn.param @gate : tensor<64x2048xbf16> layers [0, 16] from [#nn.source<"model.layers.{i}.mlp.gate.weight", [64, 2048]>]
  moe.router @olmoe(%arg0: tensor<?x2048xf32>, %arg1: tensor<64x2048xbf16>) -> (!moe.plan<64, 8>, tensor<?x8xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x2048xf32>, tensor<64x2048xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x64xf32>
    %2 = moe.select %1 top_k(8) : tensor<?x64xf32>
    %3 = moe.pick %1, %2 : tensor<?x64xf32>, tensor<?x8xi32>
    %4 = moe.make_plan %2 experts(64) : tensor<?x8xi32>
    moe.return %4, %3 : !moe.plan<64, 8>, tensor<?x8xf32>
  }
  nn.model @olmoe_1b_7b(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x50304xf32> {
    %0 = nn.param_get @embed : tensor<50304x2048xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<50304x2048xbf16> -> tensor<?x2048xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 8.65964353e-01, 7.49894202e-01, 6.49381638e-01, 5.62341332e-01, 4.86967534e-01, 4.21696514e-01, 3.65174115e-01, 3.16227764e-01, 2.73841977e-01, 2.37137377e-01, 2.05352500e-01, 1.77827939e-01, 1.53992653e-01, 1.33352146e-01, 1.15478195e-01, 1.00000001e-01, 8.65964293e-02, 7.49894232e-02, 6.49381652e-02, 5.62341325e-02, 4.86967526e-02, 4.21696492e-02, 3.65174115e-02, 3.16227749e-02, 2.73841955e-02, 2.37137377e-02, 2.05352511e-02, 1.77827943e-02, 1.53992651e-02, 1.33352140e-02, 1.15478197e-02, 9.99999978e-03, 8.65964312e-03, 7.49894232e-03, 6.49381615e-03, 5.62341325e-03, 4.86967526e-03, 4.21696482e-03, 3.65174119e-03, 3.16227763e-03, 2.73841969e-03, 2.37137382e-03, 2.05352507e-03, 1.77827943e-03, 1.53992651e-03, 1.33352145e-03, 1.15478202e-03, 1.00000005e-03, 8.65964335e-04, 7.49894185e-04, 6.49381604e-04, 5.62341302e-04, 4.86967532e-04, 4.21696517e-04, 3.65174114e-04, 3.16227757e-04, 2.73841957e-04, 2.37137370e-04, 2.05352510e-04, 1.77827940e-04, 1.53992660e-04, 1.33352150e-04, 1.15478200e-04]) : tensor<?xi32>
    %3 = nn.layers 0 to 16(%1) : (tensor<?x2048xbf16>) -> tensor<?x2048xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x2048xbf16>):
      %5 = nn.param_get @attn_norm[%arg3] : tensor<2048xbf16>
      %6 = nn.rms_norm %arg4, %5 eps(1.000000e-05) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %7 = nn.param_get @q[%arg3] : tensor<2048x2048xbf16>
      %8 = nn.linear %6, %7 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %9 = nn.param_get @q_norm[%arg3] : tensor<2048xbf16>
      %10 = nn.rms_norm %8, %9 eps(1.000000e-05) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %11 = nn.reshape %10 : tensor<?x2048xbf16> -> tensor<?x16x128xbf16>
      %12 = nn.param_get @k[%arg3] : tensor<2048x2048xbf16>
      %13 = nn.linear %6, %12 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %14 = nn.param_get @k_norm[%arg3] : tensor<2048xbf16>
      %15 = nn.rms_norm %13, %14 eps(1.000000e-05) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %16 = nn.reshape %15 : tensor<?x2048xbf16> -> tensor<?x16x128xbf16>
      %17 = nn.param_get @v[%arg3] : tensor<2048x2048xbf16>
      %18 = nn.linear %6, %17 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %19 = nn.reshape %18 : tensor<?x2048xbf16> -> tensor<?x16x128xbf16>
      %20 = nn.rope  half %11, %2 start(0) : tensor<?x16x128xbf16>, tensor<?x128xf32>
      %21 = nn.rope  half %16, %2 start(0) : tensor<?x16x128xbf16>, tensor<?x128xf32>
      %22 = nn.attend %20, %21, %19 positions(%arg1) seqs(%arg2) {scale = 0.088388347648318433 : f64} : tensor<?x16x128xbf16>, tensor<?x16x128xbf16>, tensor<?x16x128xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x16x128xbf16>
      %23 = nn.reshape %22 : tensor<?x16x128xbf16> -> tensor<?x2048xbf16>
      %24 = nn.param_get @o[%arg3] : tensor<2048x2048xbf16>
      %25 = nn.linear %23, %24 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
      %26 = arith.addf %arg4, %25 : tensor<?x2048xbf16>
      %27 = nn.param_get @ffn_norm[%arg3] : tensor<2048xbf16>
      %28 = nn.rms_norm %26, %27 eps(1.000000e-05) : tensor<?x2048xbf16>, tensor<2048xbf16>
      %29 = moe.layer %28 layer(%arg3) router(@olmoe, [@gate]) experts(64, segments = 1, [@gate_up, @down]) : tensor<?x2048xbf16> -> tensor<?x2048xbf16> body {
      ^bb0(%arg5: tensor<?x2048xbf16>, %arg6: tensor<2048x2048xbf16>, %arg7: tensor<2048x1024xbf16>):
        %31 = nn.linear %arg5, %arg6 : tensor<?x2048xbf16>, tensor<2048x2048xbf16>
        %32 = nn.glu  silu %31 : tensor<?x2048xbf16>
        %33 = nn.linear %32, %arg7 : tensor<?x1024xbf16>, tensor<2048x1024xbf16>
        moe.yield %33 : tensor<?x2048xbf16>
      } shared_body {
      }
      %30 = arith.addf %26, %29 : tensor<?x2048xbf16>
      nn.yield %30 : tensor<?x2048xbf16>
    }
    %4 = nn.head %3 norm(@norm, 1.000000e-05) weight(@lm_head) : tensor<?x2048xbf16> -> tensor<?x50304xf32>
    nn.return %4 : tensor<?x50304xf32>
  }
}
