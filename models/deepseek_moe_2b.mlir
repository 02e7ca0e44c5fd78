// DeepSeekMoE 2B (Dai et al. 2024; width of experts derived): sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:8192,\22num_hidden_layers\22:9,\22hidden_size\22:1280,\22num_attention_heads\22:10,\22num_key_value_heads\22:10,\22max_position_embeddings\22:2048,\22rms_norm_eps\22:1e-06,\22rope_theta\22:10000.0,\22hidden_act\22:\22silu\22,\22model_type\22:\22deepseek\22,\22intermediate_size\22:3413,\22moe_intermediate_size\22:853,\22n_routed_experts\22:63,\22n_shared_experts\22:1,\22num_experts_per_tok\22:7,\22first_k_dense_replace\22:0,\22moe_layer_freq\22:1,\22norm_topk_prob\22:false}", moe.eos_token_ids = array<i64>, moe.max_positions = 2048 : i64, moe.name = "deepseek_moe_2b"} {
  nn.param @embed : tensor<8192x1280xbf16> from [#nn.source<"model.embed_tokens.weight", [8192, 1280]>]
  nn.param @attn_norm : tensor<1280xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [1280]>]
  nn.param @ffn_norm : tensor<1280xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [1280]>]
  nn.param @norm : tensor<1280xbf16> from [#nn.source<"model.norm.weight", [1280]>]
  nn.param @lm_head : tensor<8192x1280xbf16> from [#nn.source<"lm_head.weight", [8192, 1280]>]
  nn.param @q : tensor<1280x1280xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.self_attn.q_proj.weight", [1280, 1280]>]
  nn.param @k : tensor<1280x1280xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.self_attn.k_proj.weight", [1280, 1280]>]
  nn.param @v : tensor<1280x1280xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.self_attn.v_proj.weight", [1280, 1280]>]
  nn.param @o : tensor<1280x1280xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [1280, 1280]>]
  nn.param @gate_up : tensor<63x1706x1280xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.gate_proj.weight", [853, 1280] rows 853>, #nn.source<"model.layers.{i}.mlp.experts.{e}.up_proj.weight", [853, 1280] at 853 rows 853>]
  nn.param @down : tensor<63x1280x853xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.mlp.experts.{e}.down_proj.weight", [1280, 853]>]
  nn.param @gate : tensor<63x1280xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.mlp.gate.weight", [63, 1280]>]
  nn.param @shared_gate_up : tensor<1706x1280xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.mlp.shared_experts.gate_proj.weight", [853, 1280] rows 853>, #nn.source<"model.layers.{i}.mlp.shared_experts.up_proj.weight", [853, 1280] at 853 rows 853>]
  nn.param @shared_down : tensor<1280x853xbf16> layers [0, 9] from [#nn.source<"model.layers.{i}.mlp.shared_experts.down_proj.weight", [1280, 853]>]
  moe.router @deepseek(%arg0: tensor<?x1280xf32>, %arg1: tensor<63x1280xbf16>) -> (!moe.plan<63, 7>, tensor<?x7xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x1280xf32>, tensor<63x1280xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x63xf32>
    %2 = moe.select %1 top_k(7) : tensor<?x63xf32>
    %3 = moe.pick %1, %2 : tensor<?x63xf32>, tensor<?x7xi32>
    %4 = moe.make_plan %2 experts(63) : tensor<?x7xi32>
    moe.return %4, %3 : !moe.plan<63, 7>, tensor<?x7xf32>
  }
  nn.model @deepseek_moe_2b(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x8192xf32> {
    %0 = nn.param_get @embed : tensor<8192x1280xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<8192x1280xbf16> -> tensor<?x1280xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 8.65964353e-01, 7.49894202e-01, 6.49381638e-01, 5.62341332e-01, 4.86967534e-01, 4.21696514e-01, 3.65174115e-01, 3.16227764e-01, 2.73841977e-01, 2.37137377e-01, 2.05352500e-01, 1.77827939e-01, 1.53992653e-01, 1.33352146e-01, 1.15478195e-01, 1.00000001e-01, 8.65964293e-02, 7.49894232e-02, 6.49381652e-02, 5.62341325e-02, 4.86967526e-02, 4.21696492e-02, 3.65174115e-02, 3.16227749e-02, 2.73841955e-02, 2.37137377e-02, 2.05352511e-02, 1.77827943e-02, 1.53992651e-02, 1.33352140e-02, 1.15478197e-02, 9.99999978e-03, 8.65964312e-03, 7.49894232e-03, 6.49381615e-03, 5.62341325e-03, 4.86967526e-03, 4.21696482e-03, 3.65174119e-03, 3.16227763e-03, 2.73841969e-03, 2.37137382e-03, 2.05352507e-03, 1.77827943e-03, 1.53992651e-03, 1.33352145e-03, 1.15478202e-03, 1.00000005e-03, 8.65964335e-04, 7.49894185e-04, 6.49381604e-04, 5.62341302e-04, 4.86967532e-04, 4.21696517e-04, 3.65174114e-04, 3.16227757e-04, 2.73841957e-04, 2.37137370e-04, 2.05352510e-04, 1.77827940e-04, 1.53992660e-04, 1.33352150e-04, 1.15478200e-04]) : tensor<?xi32>
    %3 = nn.layers 0 to 9(%1) : (tensor<?x1280xbf16>) -> tensor<?x1280xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x1280xbf16>):
      %5 = nn.param_get @attn_norm[%arg3] : tensor<1280xbf16>
      %6 = nn.rms_norm %arg4, %5 eps(9.9999999999999995E-7) : tensor<?x1280xbf16>, tensor<1280xbf16>
      %7 = nn.param_get @q[%arg3] : tensor<1280x1280xbf16>
      %8 = nn.linear %6, %7 : tensor<?x1280xbf16>, tensor<1280x1280xbf16>
      %9 = nn.reshape %8 : tensor<?x1280xbf16> -> tensor<?x10x128xbf16>
      %10 = nn.param_get @k[%arg3] : tensor<1280x1280xbf16>
      %11 = nn.linear %6, %10 : tensor<?x1280xbf16>, tensor<1280x1280xbf16>
      %12 = nn.reshape %11 : tensor<?x1280xbf16> -> tensor<?x10x128xbf16>
      %13 = nn.param_get @v[%arg3] : tensor<1280x1280xbf16>
      %14 = nn.linear %6, %13 : tensor<?x1280xbf16>, tensor<1280x1280xbf16>
      %15 = nn.reshape %14 : tensor<?x1280xbf16> -> tensor<?x10x128xbf16>
      %16 = nn.rope  half %9, %2 start(0) : tensor<?x10x128xbf16>, tensor<?x128xf32>
      %17 = nn.rope  half %12, %2 start(0) : tensor<?x10x128xbf16>, tensor<?x128xf32>
      %18 = nn.attend %16, %17, %15 positions(%arg1) seqs(%arg2) {scale = 0.088388347648318433 : f64} : tensor<?x10x128xbf16>, tensor<?x10x128xbf16>, tensor<?x10x128xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x10x128xbf16>
      %19 = nn.reshape %18 : tensor<?x10x128xbf16> -> tensor<?x1280xbf16>
      %20 = nn.param_get @o[%arg3] : tensor<1280x1280xbf16>
      %21 = nn.linear %19, %20 : tensor<?x1280xbf16>, tensor<1280x1280xbf16>
      %22 = arith.addf %arg4, %21 : tensor<?x1280xbf16>
      %23 = nn.param_get @ffn_norm[%arg3] : tensor<1280xbf16>
      %24 = nn.rms_norm %22, %23 eps(9.9999999999999995E-7) : tensor<?x1280xbf16>, tensor<1280xbf16>
      %25 = moe.layer %24 layer(%arg3) router(@deepseek, [@gate]) experts(63, segments = 1, [@gate_up, @down]) shared([@shared_gate_up, @shared_down]) : tensor<?x1280xbf16> -> tensor<?x1280xbf16> body {
      ^bb0(%arg5: tensor<?x1280xbf16>, %arg6: tensor<1706x1280xbf16>, %arg7: tensor<1280x853xbf16>):
        %27 = nn.linear %arg5, %arg6 : tensor<?x1280xbf16>, tensor<1706x1280xbf16>
        %28 = nn.glu  silu %27 : tensor<?x1706xbf16>
        %29 = nn.linear %28, %arg7 : tensor<?x853xbf16>, tensor<1280x853xbf16>
        moe.yield %29 : tensor<?x1280xbf16>
      } shared_body {
      ^bb0(%arg5: tensor<?x1280xbf16>, %arg6: tensor<1706x1280xbf16>, %arg7: tensor<1280x853xbf16>):
        %27 = nn.linear %arg5, %arg6 : tensor<?x1280xbf16>, tensor<1706x1280xbf16>
        %28 = nn.glu  silu %27 : tensor<?x1706xbf16>
        %29 = nn.linear %28, %arg7 : tensor<?x853xbf16>, tensor<1280x853xbf16>
        moe.yield %29 : tensor<?x1280xbf16>
      }
      %26 = arith.addf %22, %25 : tensor<?x1280xbf16>
      nn.yield %26 : tensor<?x1280xbf16>
    }
    %4 = nn.head %3 norm(@norm, 9.9999999999999995E-7) weight(@lm_head) : tensor<?x1280xbf16> -> tensor<?x8192xf32>
    nn.return %4 : tensor<?x8192xf32>
  }
}
