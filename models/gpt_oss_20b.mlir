// gpt-oss-20b (2025), its experts in bf16: sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22vocab_size\22:201088,\22num_hidden_layers\22:24,\22hidden_size\22:2880,\22num_attention_heads\22:64,\22num_key_value_heads\22:8,\22max_position_embeddings\22:131072,\22rms_norm_eps\22:1e-05,\22rope_theta\22:150000,\22hidden_act\22:\22silu\22,\22model_type\22:\22gpt_oss\22,\22head_dim\22:64,\22intermediate_size\22:2880,\22num_local_experts\22:32,\22num_experts_per_tok\22:4,\22sliding_window\22:128,\22rope_scaling\22:{\22rope_type\22:\22yarn\22,\22factor\22:32.0,\22original_max_position_embeddings\22:4096,\22beta_fast\22:32.0,\22beta_slow\22:1.0,\22truncate\22:false},\22swiglu_limit\22:7.0}", moe.eos_token_ids = array<i64>, moe.max_positions = 131072 : i64, moe.name = "gpt_oss_20b"} {
  nn.param @embed : tensor<201088x2880xbf16> from [#nn.source<"model.embed_tokens.weight", [201088, 2880]>]
  nn.param @attn_norm_1 : tensor<2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.input_layernorm.weight", [2880]>]
  nn.param @attn_norm_0 : tensor<2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.input_layernorm.weight", [2880]>]
  nn.param @ffn_norm_1 : tensor<2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.post_attention_layernorm.weight", [2880]>]
  nn.param @ffn_norm_0 : tensor<2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.post_attention_layernorm.weight", [2880]>]
  nn.param @norm : tensor<2880xbf16> from [#nn.source<"model.norm.weight", [2880]>]
  nn.param @lm_head : tensor<201088x2880xbf16> from [#nn.source<"lm_head.weight", [201088, 2880]>]
  nn.param @q_1 : tensor<4096x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.self_attn.q_proj.weight", [4096, 2880]>]
  nn.param @q_0 : tensor<4096x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.self_attn.q_proj.weight", [4096, 2880]>]
  nn.param @k_1 : tensor<512x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.self_attn.k_proj.weight", [512, 2880]>]
  nn.param @k_0 : tensor<512x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.self_attn.k_proj.weight", [512, 2880]>]
  nn.param @v_1 : tensor<512x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.self_attn.v_proj.weight", [512, 2880]>]
  nn.param @v_0 : tensor<512x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.self_attn.v_proj.weight", [512, 2880]>]
  nn.param @o_1 : tensor<2880x4096xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.self_attn.o_proj.weight", [2880, 4096]>]
  nn.param @o_0 : tensor<2880x4096xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.self_attn.o_proj.weight", [2880, 4096]>]
  nn.param @q_bias_1 : tensor<4096xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.self_attn.q_proj.bias", [4096]>]
  nn.param @q_bias_0 : tensor<4096xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.self_attn.q_proj.bias", [4096]>]
  nn.param @k_bias_1 : tensor<512xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.self_attn.k_proj.bias", [512]>]
  nn.param @k_bias_0 : tensor<512xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.self_attn.k_proj.bias", [512]>]
  nn.param @v_bias_1 : tensor<512xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.self_attn.v_proj.bias", [512]>]
  nn.param @v_bias_0 : tensor<512xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.self_attn.v_proj.bias", [512]>]
  nn.param @o_bias_1 : tensor<2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.self_attn.o_proj.bias", [2880]>]
  nn.param @o_bias_0 : tensor<2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.self_attn.o_proj.bias", [2880]>]
  nn.param @sinks_1 : tensor<64xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.self_attn.sinks", [64]>]
  nn.param @sinks_0 : tensor<64xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.self_attn.sinks", [64]>]
  nn.param @gate_up : tensor<32x5760x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.mlp.experts.gate_up_proj", [32, 2880, 5760] rows 2880 strides[16588800, 2, 5760]>, #nn.source<"model.layers.{2i}.mlp.experts.gate_up_proj", [32, 2880, 5760] at 2880 rows 2880 offset 1 strides[16588800, 2, 5760]>]
  nn.param @gate_up_bias : tensor<32x5760xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.mlp.experts.gate_up_proj_bias", [32, 5760] rows 2880 strides[5760, 2, 0]>, #nn.source<"model.layers.{2i}.mlp.experts.gate_up_proj_bias", [32, 5760] at 2880 rows 2880 offset 1 strides[5760, 2, 0]>]
  nn.param @down : tensor<32x2880x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.mlp.experts.down_proj", [32, 2880, 2880] strides[8294400, 1, 2880]>]
  nn.param @down_bias : tensor<32x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.mlp.experts.down_proj_bias", [32, 2880] strides[2880, 1, 0]>]
  nn.param @gate : tensor<32x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.mlp.router.weight", [32, 2880]>]
  nn.param @gate_bias : tensor<32xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i}.mlp.router.bias", [32]>]
  moe.router @gpt_oss(%arg0: tensor<?x2880xf32>, %arg1: tensor<32x2880xbf16>, %arg2: tensor<32xbf16>) -> (!moe.plan<32, 4>, tensor<?x4xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x2880xf32>, tensor<32x2880xbf16>
    %1 = arith.extf %arg2 : tensor<32xbf16> to tensor<32xf32>
    %2 = nn.broadcast %1 like %0 : tensor<?x32xf32> axis(0) : tensor<32xf32> -> tensor<?x32xf32>
    %3 = arith.addf %0, %2 : tensor<?x32xf32>
    %4 = moe.select %3 top_k(4) : tensor<?x32xf32>
    %5 = moe.pick %3, %4 : tensor<?x32xf32>, tensor<?x4xi32>
    %6 = nn.softmax %5 axis(1) : tensor<?x4xf32>
    %7 = moe.make_plan %4 experts(32) : tensor<?x4xi32>
    moe.return %7, %6 : !moe.plan<32, 4>, tensor<?x4xf32>
  }
  nn.param @gate_up_1 : tensor<32x5760x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.mlp.experts.gate_up_proj", [32, 2880, 5760] rows 2880 strides[16588800, 2, 5760]>, #nn.source<"model.layers.{2i+1}.mlp.experts.gate_up_proj", [32, 2880, 5760] at 2880 rows 2880 offset 1 strides[16588800, 2, 5760]>]
  nn.param @gate_up_bias_1 : tensor<32x5760xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.mlp.experts.gate_up_proj_bias", [32, 5760] rows 2880 strides[5760, 2, 0]>, #nn.source<"model.layers.{2i+1}.mlp.experts.gate_up_proj_bias", [32, 5760] at 2880 rows 2880 offset 1 strides[5760, 2, 0]>]
  nn.param @down_1 : tensor<32x2880x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.mlp.experts.down_proj", [32, 2880, 2880] strides[8294400, 1, 2880]>]
  nn.param @down_bias_1 : tensor<32x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.mlp.experts.down_proj_bias", [32, 2880] strides[2880, 1, 0]>]
  nn.param @gate_1 : tensor<32x2880xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.mlp.router.weight", [32, 2880]>]
  nn.param @gate_bias_1 : tensor<32xbf16> layers [0, 12] from [#nn.source<"model.layers.{2i+1}.mlp.router.bias", [32]>]
  nn.model @gpt_oss_20b(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x201088xf32> {
    %0 = nn.param_get @embed : tensor<201088x2880xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<201088x2880xbf16> -> tensor<?x2880xbf16>
    %2 = nn.rope_table %arg1 scale(1.3465735902799727) inv_freq([1.00000000e+00, 6.89044297e-01, 4.74782050e-01, 3.27145875e-01, 2.25418001e-01, 1.55322984e-01, 1.07024424e-01, 7.37445652e-02, 5.08132763e-02, 3.17056961e-02, 1.93350017e-02, 1.15920492e-02, 6.79495931e-03, 3.86035931e-03, 2.09379243e-03, 1.05260208e-03, 4.56483918e-04, 1.29318694e-04, 3.83088118e-05, 2.63964685e-05, 1.81883370e-05, 1.25325696e-05, 8.63549576e-06, 5.95023948e-06, 4.09997847e-06, 2.82506676e-06, 1.94659629e-06, 1.34129107e-06, 9.24208962e-07, 6.36820914e-07, 4.38797827e-07, 3.02351140e-07]) : tensor<?xi32>
    %3 = nn.layers 0 to 12(%1) : (tensor<?x2880xbf16>) -> tensor<?x2880xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x2880xbf16>):
      %5 = nn.param_get @attn_norm_0[%arg3] : tensor<2880xbf16>
      %6 = nn.rms_norm %arg4, %5 eps(1.000000e-05) : tensor<?x2880xbf16>, tensor<2880xbf16>
      %7 = nn.param_get @q_bias_0[%arg3] : tensor<4096xbf16>
      %8 = nn.param_get @q_0[%arg3] : tensor<4096x2880xbf16>
      %9 = nn.linear %6, %8 bias(%7 : tensor<4096xbf16>) : tensor<?x2880xbf16>, tensor<4096x2880xbf16>
      %10 = nn.reshape %9 : tensor<?x4096xbf16> -> tensor<?x64x64xbf16>
      %11 = nn.param_get @k_bias_0[%arg3] : tensor<512xbf16>
      %12 = nn.param_get @k_0[%arg3] : tensor<512x2880xbf16>
      %13 = nn.linear %6, %12 bias(%11 : tensor<512xbf16>) : tensor<?x2880xbf16>, tensor<512x2880xbf16>
      %14 = nn.reshape %13 : tensor<?x512xbf16> -> tensor<?x8x64xbf16>
      %15 = nn.param_get @v_bias_0[%arg3] : tensor<512xbf16>
      %16 = nn.param_get @v_0[%arg3] : tensor<512x2880xbf16>
      %17 = nn.linear %6, %16 bias(%15 : tensor<512xbf16>) : tensor<?x2880xbf16>, tensor<512x2880xbf16>
      %18 = nn.reshape %17 : tensor<?x512xbf16> -> tensor<?x8x64xbf16>
      %19 = nn.rope  half %10, %2 start(0) : tensor<?x64x64xbf16>, tensor<?x64xf32>
      %20 = nn.rope  half %14, %2 start(0) : tensor<?x8x64xbf16>, tensor<?x64xf32>
      %21 = nn.param_get @sinks_0[%arg3] : tensor<64xbf16>
      %22 = nn.attend %19, %20, %18 positions(%arg1) seqs(%arg2) sinks(%21 : tensor<64xbf16>) {scale = 1.250000e-01 : f64, window = 128 : i64} : tensor<?x64x64xbf16>, tensor<?x8x64xbf16>, tensor<?x8x64xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x64x64xbf16>
      %23 = nn.reshape %22 : tensor<?x64x64xbf16> -> tensor<?x4096xbf16>
      %24 = nn.param_get @o_bias_0[%arg3] : tensor<2880xbf16>
      %25 = nn.param_get @o_0[%arg3] : tensor<2880x4096xbf16>
      %26 = nn.linear %23, %25 bias(%24 : tensor<2880xbf16>) : tensor<?x4096xbf16>, tensor<2880x4096xbf16>
      %27 = arith.addf %arg4, %26 : tensor<?x2880xbf16>
      %28 = nn.param_get @ffn_norm_0[%arg3] : tensor<2880xbf16>
      %29 = nn.rms_norm %27, %28 eps(1.000000e-05) : tensor<?x2880xbf16>, tensor<2880xbf16>
      %30 = moe.layer %29 layer(%arg3) router(@gpt_oss, [@gate, @gate_bias]) experts(32, segments = 1, [@gate_up, @down, @gate_up_bias, @down_bias]) : tensor<?x2880xbf16> -> tensor<?x2880xbf16> body {
      ^bb0(%arg5: tensor<?x2880xbf16>, %arg6: tensor<5760x2880xbf16>, %arg7: tensor<2880x2880xbf16>, %arg8: tensor<5760xbf16>, %arg9: tensor<2880xbf16>):
        %59 = nn.linear %arg5, %arg6 bias(%arg8 : tensor<5760xbf16>) : tensor<?x2880xbf16>, tensor<5760x2880xbf16>
        %60 = nn.glu  quick_gelu %59 {limit = 7.000000e+00 : f64, shift = 1.000000e+00 : f64} : tensor<?x5760xbf16>
        %61 = nn.linear %60, %arg7 bias(%arg9 : tensor<2880xbf16>) : tensor<?x2880xbf16>, tensor<2880x2880xbf16>
        moe.yield %61 : tensor<?x2880xbf16>
      } shared_body {
      }
      %31 = arith.addf %27, %30 : tensor<?x2880xbf16>
      %32 = nn.param_get @attn_norm_1[%arg3] : tensor<2880xbf16>
      %33 = nn.rms_norm %31, %32 eps(1.000000e-05) : tensor<?x2880xbf16>, tensor<2880xbf16>
      %34 = nn.param_get @q_bias_1[%arg3] : tensor<4096xbf16>
      %35 = nn.param_get @q_1[%arg3] : tensor<4096x2880xbf16>
      %36 = nn.linear %33, %35 bias(%34 : tensor<4096xbf16>) : tensor<?x2880xbf16>, tensor<4096x2880xbf16>
      %37 = nn.reshape %36 : tensor<?x4096xbf16> -> tensor<?x64x64xbf16>
      %38 = nn.param_get @k_bias_1[%arg3] : tensor<512xbf16>
      %39 = nn.param_get @k_1[%arg3] : tensor<512x2880xbf16>
      %40 = nn.linear %33, %39 bias(%38 : tensor<512xbf16>) : tensor<?x2880xbf16>, tensor<512x2880xbf16>
      %41 = nn.reshape %40 : tensor<?x512xbf16> -> tensor<?x8x64xbf16>
      %42 = nn.param_get @v_bias_1[%arg3] : tensor<512xbf16>
      %43 = nn.param_get @v_1[%arg3] : tensor<512x2880xbf16>
      %44 = nn.linear %33, %43 bias(%42 : tensor<512xbf16>) : tensor<?x2880xbf16>, tensor<512x2880xbf16>
      %45 = nn.reshape %44 : tensor<?x512xbf16> -> tensor<?x8x64xbf16>
      %46 = nn.rope  half %37, %2 start(0) : tensor<?x64x64xbf16>, tensor<?x64xf32>
      %47 = nn.rope  half %41, %2 start(0) : tensor<?x8x64xbf16>, tensor<?x64xf32>
      %48 = nn.param_get @sinks_1[%arg3] : tensor<64xbf16>
      %49 = nn.attend %46, %47, %45 positions(%arg1) seqs(%arg2) sinks(%48 : tensor<64xbf16>) {scale = 1.250000e-01 : f64} : tensor<?x64x64xbf16>, tensor<?x8x64xbf16>, tensor<?x8x64xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x64x64xbf16>
      %50 = nn.reshape %49 : tensor<?x64x64xbf16> -> tensor<?x4096xbf16>
      %51 = nn.param_get @o_bias_1[%arg3] : tensor<2880xbf16>
      %52 = nn.param_get @o_1[%arg3] : tensor<2880x4096xbf16>
      %53 = nn.linear %50, %52 bias(%51 : tensor<2880xbf16>) : tensor<?x4096xbf16>, tensor<2880x4096xbf16>
      %54 = arith.addf %31, %53 : tensor<?x2880xbf16>
      %55 = nn.param_get @ffn_norm_1[%arg3] : tensor<2880xbf16>
      %56 = nn.rms_norm %54, %55 eps(1.000000e-05) : tensor<?x2880xbf16>, tensor<2880xbf16>
      %57 = moe.layer %56 layer(%arg3) router(@gpt_oss, [@gate_1, @gate_bias_1]) experts(32, segments = 1, [@gate_up_1, @down_1, @gate_up_bias_1, @down_bias_1]) : tensor<?x2880xbf16> -> tensor<?x2880xbf16> body {
      ^bb0(%arg5: tensor<?x2880xbf16>, %arg6: tensor<5760x2880xbf16>, %arg7: tensor<2880x2880xbf16>, %arg8: tensor<5760xbf16>, %arg9: tensor<2880xbf16>):
        %59 = nn.linear %arg5, %arg6 bias(%arg8 : tensor<5760xbf16>) : tensor<?x2880xbf16>, tensor<5760x2880xbf16>
        %60 = nn.glu  quick_gelu %59 {limit = 7.000000e+00 : f64, shift = 1.000000e+00 : f64} : tensor<?x5760xbf16>
        %61 = nn.linear %60, %arg7 bias(%arg9 : tensor<2880xbf16>) : tensor<?x2880xbf16>, tensor<2880x2880xbf16>
        moe.yield %61 : tensor<?x2880xbf16>
      } shared_body {
      }
      %58 = arith.addf %54, %57 : tensor<?x2880xbf16>
      nn.yield %58 : tensor<?x2880xbf16>
    }
    %4 = nn.head %3 norm(@norm, 1.000000e-05) weight(@lm_head) : tensor<?x2880xbf16> -> tensor<?x201088xf32>
    nn.return %4 : tensor<?x201088xf32>
  }
}
