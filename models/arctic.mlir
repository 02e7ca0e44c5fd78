// Snowflake Arctic (2024), a dense MLP beside the experts of each layer: sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:32000,\22num_hidden_layers\22:35,\22hidden_size\22:7168,\22num_attention_heads\22:56,\22num_key_value_heads\22:8,\22max_position_embeddings\22:4096,\22rms_norm_eps\22:1e-05,\22rope_theta\22:10000.0,\22hidden_act\22:\22silu\22,\22model_type\22:\22mixtral\22,\22intermediate_size\22:4864,\22num_local_experts\22:128,\22num_experts_per_tok\22:2}", moe.eos_token_ids = array<i64>, moe.max_positions = 4096 : i64, moe.name = "arctic"} {
  nn.param @embed : tensor<32000x7168xbf16> from [#nn.source<"model.embed_tokens.weight", [32000, 7168]>]
  nn.param @attn_norm : tensor<7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [7168]>]
  nn.param @ffn_norm : tensor<7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [7168]>]
  nn.param @norm : tensor<7168xbf16> from [#nn.source<"model.norm.weight", [7168]>]
  nn.param @lm_head : tensor<32000x7168xbf16> from [#nn.source<"lm_head.weight", [32000, 7168]>]
  nn.param @q : tensor<7168x7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.self_attn.q_proj.weight", [7168, 7168]>]
  nn.param @k : tensor<1024x7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.self_attn.k_proj.weight", [1024, 7168]>]
  nn.param @v : tensor<1024x7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.self_attn.v_proj.weight", [1024, 7168]>]
  nn.param @o : tensor<7168x7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [7168, 7168]>]
  nn.param @gate_up : tensor<128x9728x7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight", [4864, 7168] rows 4864>, #nn.source<"model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight", [4864, 7168] at 4864 rows 4864>]
  nn.param @down : tensor<128x7168x4864xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.block_sparse_moe.experts.{e}.w2.weight", [7168, 4864]>]
  nn.param @gate : tensor<128x7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.block_sparse_moe.gate.weight", [128, 7168]>]
  nn.param @residual_norm : tensor<7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.residual_layernorm.weight", [7168]>]
  nn.param @residual_gate_up : tensor<14336x7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.residual_mlp.w1.weight", [7168, 7168] rows 7168>, #nn.source<"model.layers.{i}.residual_mlp.w3.weight", [7168, 7168] at 7168 rows 7168>]
  nn.param @residual_down : tensor<7168x7168xbf16> layers [0, 35] from [#nn.source<"model.layers.{i}.residual_mlp.w2.weight", [7168, 7168]>]
  moe.router @mixtral(%arg0: tensor<?x7168xf32>, %arg1: tensor<128x7168xbf16>) -> (!moe.plan<128, 2>, tensor<?x2xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x7168xf32>, tensor<128x7168xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x128xf32>
    %2 = moe.select %1 top_k(2) : tensor<?x128xf32>
    %3 = moe.pick %1, %2 : tensor<?x128xf32>, tensor<?x2xi32>
    %4 = nn.reduce  sum %3 axis(1) : tensor<?x2xf32>
    %5 = nn.broadcast %4 axis(1) : tensor<?xf32> -> tensor<?x2xf32>
    %6 = arith.divf %3, %5 : tensor<?x2xf32>
    %7 = moe.make_plan %2 experts(128) : tensor<?x2xi32>
    moe.return %7, %6 : !moe.plan<128, 2>, tensor<?x2xf32>
  }
  nn.model @arctic(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x32000xf32> {
    %0 = nn.param_get @embed : tensor<32000x7168xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<32000x7168xbf16> -> tensor<?x7168xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 8.65964353e-01, 7.49894202e-01, 6.49381638e-01, 5.62341332e-01, 4.86967534e-01, 4.21696514e-01, 3.65174115e-01, 3.16227764e-01, 2.73841977e-01, 2.37137377e-01, 2.05352500e-01, 1.77827939e-01, 1.53992653e-01, 1.33352146e-01, 1.15478195e-01, 1.00000001e-01, 8.65964293e-02, 7.49894232e-02, 6.49381652e-02, 5.62341325e-02, 4.86967526e-02, 4.21696492e-02, 3.65174115e-02, 3.16227749e-02, 2.73841955e-02, 2.37137377e-02, 2.05352511e-02, 1.77827943e-02, 1.53992651e-02, 1.33352140e-02, 1.15478197e-02, 9.99999978e-03, 8.65964312e-03, 7.49894232e-03, 6.49381615e-03, 5.62341325e-03, 4.86967526e-03, 4.21696482e-03, 3.65174119e-03, 3.16227763e-03, 2.73841969e-03, 2.37137382e-03, 2.05352507e-03, 1.77827943e-03, 1.53992651e-03, 1.33352145e-03, 1.15478202e-03, 1.00000005e-03, 8.65964335e-04, 7.49894185e-04, 6.49381604e-04, 5.62341302e-04, 4.86967532e-04, 4.21696517e-04, 3.65174114e-04, 3.16227757e-04, 2.73841957e-04, 2.37137370e-04, 2.05352510e-04, 1.77827940e-04, 1.53992660e-04, 1.33352150e-04, 1.15478200e-04]) : tensor<?xi32>
    %3 = nn.layers 0 to 35(%1) : (tensor<?x7168xbf16>) -> tensor<?x7168xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x7168xbf16>):
      %5 = nn.attention %arg4 rope(%2) positions(%arg1) seqs(%arg2) layer(%arg3) norm(@attn_norm, 1.000000e-05) q(@q) k(@k) v(@v) o(@o) heads(56, 8, 128) scale(0.088388347648318433) : tensor<?x7168xbf16>, tensor<?x128xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x7168xbf16>
      %6 = nn.mlp %5 layer(%arg3) norm(@residual_norm, 1.000000e-05) glu( silu, @residual_gate_up, @residual_down) : tensor<?x7168xbf16> -> tensor<?x7168xbf16>
      %7 = nn.param_get @ffn_norm[%arg3] : tensor<7168xbf16>
      %8 = nn.rms_norm %5, %7 eps(1.000000e-05) : tensor<?x7168xbf16>, tensor<7168xbf16>
      %9 = moe.layer %8 layer(%arg3) router(@mixtral, [@gate]) experts(128, segments = 1, [@gate_up, @down]) : tensor<?x7168xbf16> -> tensor<?x7168xbf16> body {
      ^bb0(%arg5: tensor<?x7168xbf16>, %arg6: tensor<9728x7168xbf16>, %arg7: tensor<7168x4864xbf16>):
        %11 = nn.linear %arg5, %arg6 : tensor<?x7168xbf16>, tensor<9728x7168xbf16>
        %12 = nn.glu  silu %11 : tensor<?x9728xbf16>
        %13 = nn.linear %12, %arg7 : tensor<?x4864xbf16>, tensor<7168x4864xbf16>
        moe.yield %13 : tensor<?x7168xbf16>
      } shared_body {
      }
      %10 = arith.addf %6, %9 : tensor<?x7168xbf16>
      nn.yield %10 : tensor<?x7168xbf16>
    }
    %4 = nn.head %3 norm(@norm, 1.000000e-05) weight(@lm_head) : tensor<?x7168xbf16> -> tensor<?x32000xf32>
    nn.return %4 : tensor<?x32000xf32>
  }
}
