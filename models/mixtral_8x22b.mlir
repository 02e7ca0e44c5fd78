// Mixtral 8x22B (2024): sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:32000,\22num_hidden_layers\22:56,\22hidden_size\22:6144,\22num_attention_heads\22:48,\22num_key_value_heads\22:8,\22max_position_embeddings\22:65536,\22rms_norm_eps\22:1e-05,\22rope_theta\22:1000000.0,\22hidden_act\22:\22silu\22,\22model_type\22:\22mixtral\22,\22intermediate_size\22:16384,\22num_local_experts\22:8,\22num_experts_per_tok\22:2}", moe.eos_token_ids = array<i64>, moe.max_positions = 65536 : i64, moe.name = "mixtral_8x22b"} {
  nn.param @embed : tensor<32000x6144xbf16> from [#nn.source<"model.embed_tokens.weight", [32000, 6144]>]
  nn.param @attn_norm : tensor<6144xbf16> layers [0, 56] from [#nn.source<"model.layers.{i}.input_layernorm.weight", [6144]>]
  nn.param @ffn_norm : tensor<6144xbf16> layers [0, 56] from [#nn.source<"model.layers.{i}.post_attention_layernorm.weight", [6144]>]
  nn.param @norm : tensor<6144xbf16> from [#nn.source<"model.norm.weight", [6144]>]
  nn.param @lm_head : tensor<32000x6144xbf16> from [#nn.source<"lm_head.weight", [32000, 6144]>]
  nn.param @q : tensor<6144x6144xbf16> layers [0, 56] from [#nn.source<"model.layers.{i}.self_attn.q_proj.weight", [6144, 6144]>]
  nn.param @k : tensor<1024x6144xbf16> layers [0, 56] from [#nn.source<"model.layers.{i}.self_attn.k_proj.weight", [1024, 6144]>]
  nn.param @v : tensor<1024x6144xbf16> layers [0, 56] from [#nn.source<"model.layers.{i}.self_attn.v_proj.weight", [1024, 6144]>]
  nn.param @o : tensor<6144x6144xbf16> layers [0, 56] from [#nn.source<"model.layers.{i}.self_attn.o_proj.weight", [6144, 6144]>]
  nn.param @gate_up : tensor<8x32768x6144xbf16> layers [0, 56] from [#nn.source<"model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight", [16384, 6144] rows 16384>, #nn.source<"model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight", [16384, 6144] at 16384 rows 16384>]
  nn.param @down : tensor<8x6144x16384xbf16> layers [0, 56] from [#nn.source<"model.layers.{i}.block_sparse_moe.experts.{e}.w2.weight", [6144, 16384]>]
  nn.param @gate : tensor<8x6144xbf16> layers [0, 56] from [#nn.source<"model.layers.{i}.block_sparse_moe.gate.weight", [8, 6144]>]
  moe.router @mixtral(%arg0: tensor<?x6144xf32>, %arg1: tensor<8x6144xbf16>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x6144xf32>, tensor<8x6144xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x8xf32>
    %2 = moe.select %1 top_k(2) : tensor<?x8xf32>
    %3 = moe.pick %1, %2 : tensor<?x8xf32>, tensor<?x2xi32>
    %4 = nn.reduce  sum %3 axis(1) : tensor<?x2xf32>
    %5 = nn.broadcast %4 axis(1) : tensor<?xf32> -> tensor<?x2xf32>
    %6 = arith.divf %3, %5 : tensor<?x2xf32>
    %7 = moe.make_plan %2 experts(8) : tensor<?x2xi32>
    moe.return %7, %6 : !moe.plan<8, 2>, tensor<?x2xf32>
  }
  nn.model @mixtral_8x22b(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x32000xf32> {
    %0 = nn.param_get @embed : tensor<32000x6144xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<32000x6144xbf16> -> tensor<?x6144xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 8.05842161e-01, 6.49381638e-01, 5.23299098e-01, 4.21696514e-01, 3.39820832e-01, 2.73841977e-01, 2.20673412e-01, 1.77827939e-01, 1.43301263e-01, 1.15478195e-01, 9.30572078e-02, 7.49894232e-02, 6.04296401e-02, 4.86967526e-02, 3.92418988e-02, 3.16227749e-02, 2.54829675e-02, 2.05352511e-02, 1.65481716e-02, 1.33352140e-02, 1.07460786e-02, 8.65964312e-03, 6.97830599e-03, 5.62341325e-03, 4.53158375e-03, 3.65174119e-03, 2.94272718e-03, 2.37137382e-03, 1.91095297e-03, 1.53992651e-03, 1.24093774e-03, 1.00000005e-03, 8.05842166e-04, 6.49381604e-04, 5.23299095e-04, 4.21696517e-04, 3.39820836e-04, 2.73841957e-04, 2.20673406e-04, 1.77827940e-04, 1.43301251e-04, 1.15478200e-04, 9.30572060e-05, 7.49894243e-05, 6.04296401e-05, 4.86967510e-05, 3.92418988e-05, 3.16227779e-05, 2.54829683e-05, 2.05352499e-05, 1.65481706e-05, 1.33352141e-05, 1.07460783e-05, 8.65964284e-06, 6.97830592e-06, 5.62341347e-06, 4.53158373e-06, 3.65174128e-06, 2.94272718e-06, 2.37137374e-06, 1.91095296e-06, 1.53992653e-06, 1.24093776e-06]) : tensor<?xi32>
    %3 = nn.layers 0 to 56(%1) : (tensor<?x6144xbf16>) -> tensor<?x6144xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x6144xbf16>):
      %5 = nn.attention %arg4 rope(%2) positions(%arg1) seqs(%arg2) layer(%arg3) norm(@attn_norm, 1.000000e-05) q(@q) k(@k) v(@v) o(@o) heads(48, 8, 128) scale(0.088388347648318433) : tensor<?x6144xbf16>, tensor<?x128xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x6144xbf16>
      %6 = nn.param_get @ffn_norm[%arg3] : tensor<6144xbf16>
      %7 = nn.rms_norm %5, %6 eps(1.000000e-05) : tensor<?x6144xbf16>, tensor<6144xbf16>
      %8 = moe.layer %7 layer(%arg3) router(@mixtral, [@gate]) experts(8, segments = 1, [@gate_up, @down]) : tensor<?x6144xbf16> -> tensor<?x6144xbf16> body {
      ^bb0(%arg5: tensor<?x6144xbf16>, %arg6: tensor<32768x6144xbf16>, %arg7: tensor<6144x16384xbf16>):
        %10 = nn.linear %arg5, %arg6 : tensor<?x6144xbf16>, tensor<32768x6144xbf16>
        %11 = nn.glu  silu %10 : tensor<?x32768xbf16>
        %12 = nn.linear %11, %arg7 : tensor<?x16384xbf16>, tensor<6144x16384xbf16>
        moe.yield %12 : tensor<?x6144xbf16>
      } shared_body {
      }
      %9 = arith.addf %5, %8 : tensor<?x6144xbf16>
      nn.yield %9 : tensor<?x6144xbf16>
    }
    %4 = nn.head %3 norm(@norm, 1.000000e-05) weight(@lm_head) : tensor<?x6144xbf16> -> tensor<?x32000xf32>
    nn.return %4 : tensor<?x32000xf32>
  }
}
