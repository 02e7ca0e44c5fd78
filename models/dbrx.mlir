// DBRX (2024): sizes of its published config.json. Made by describe.py.
module attributes {moe.config = "{\22model_type\22:\22dbrx\22,\22vocab_size\22:100352,\22d_model\22:6144,\22n_heads\22:48,\22n_layers\22:40,\22max_seq_len\22:32768,\22attn_config\22:{\22kv_n_heads\22:8,\22clip_qkv\22:8,\22rope_theta\22:500000},\22ffn_config\22:{\22ffn_hidden_size\22:10752,\22moe_num_experts\22:16,\22moe_top_k\22:4,\22moe_normalize_expert_weights\22:1}}", moe.eos_token_ids = array<i64>, moe.max_positions = 32768 : i64, moe.name = "dbrx"} {
  nn.param @embed : tensor<100352x6144xbf16> from [#nn.source<"transformer.wte.weight", [100352, 6144]>]
  nn.param @attn_norm : tensor<6144xbf16> layers [0, 40] from [#nn.source<"transformer.blocks.{i}.norm_attn_norm.norm_1.weight", [6144]>]
  nn.param @ffn_norm : tensor<6144xbf16> layers [0, 40] from [#nn.source<"transformer.blocks.{i}.norm_attn_norm.norm_2.weight", [6144]>]
  nn.param @norm : tensor<6144xbf16> from [#nn.source<"transformer.norm_f.weight", [6144]>]
  nn.param @lm_head : tensor<100352x6144xbf16> from [#nn.source<"lm_head.weight", [100352, 6144]>]
  nn.param @q : tensor<6144x6144xbf16> layers [0, 40] from [#nn.source<"transformer.blocks.{i}.norm_attn_norm.attn.Wqkv.weight", [8192, 6144] strides[0, 6144, 1]>]
  nn.param @k : tensor<1024x6144xbf16> layers [0, 40] from [#nn.source<"transformer.blocks.{i}.norm_attn_norm.attn.Wqkv.weight", [8192, 6144] offset 37748736 strides[0, 6144, 1]>]
  nn.param @v : tensor<1024x6144xbf16> layers [0, 40] from [#nn.source<"transformer.blocks.{i}.norm_attn_norm.attn.Wqkv.weight", [8192, 6144] offset 44040192 strides[0, 6144, 1]>]
  nn.param @o : tensor<6144x6144xbf16> layers [0, 40] from [#nn.source<"transformer.blocks.{i}.norm_attn_norm.attn.out_proj.weight", [6144, 6144]>]
  nn.param @gate_up : tensor<16x21504x6144xbf16> layers [0, 40] from [#nn.source<"transformer.blocks.{i}.ffn.experts.mlp.w1", [172032, 6144] rows 10752 strides[66060288, 6144, 1]>, #nn.source<"transformer.blocks.{i}.ffn.experts.mlp.v1", [172032, 6144] at 10752 rows 10752 strides[66060288, 6144, 1]>]
  nn.param @down : tensor<16x6144x10752xbf16> layers [0, 40] from [#nn.source<"transformer.blocks.{i}.ffn.experts.mlp.w2", [172032, 6144] strides[66060288, 1, 6144]>]
  nn.param @gate : tensor<16x6144xbf16> layers [0, 40] from [#nn.source<"transformer.blocks.{i}.ffn.router.layer.weight", [16, 6144]>]
  moe.router @dbrx(%arg0: tensor<?x6144xf32>, %arg1: tensor<16x6144xbf16>) -> (!moe.plan<16, 4>, tensor<?x4xf32>) {
    %0 = nn.linear %arg0, %arg1 : tensor<?x6144xf32>, tensor<16x6144xbf16>
    %1 = nn.softmax %0 axis(1) : tensor<?x16xf32>
    %2 = moe.select %1 top_k(4) : tensor<?x16xf32>
    %3 = moe.pick %1, %2 : tensor<?x16xf32>, tensor<?x4xi32>
    %4 = nn.reduce  sum %3 axis(1) : tensor<?x4xf32>
    %5 = nn.broadcast %4 axis(1) : tensor<?xf32> -> tensor<?x4xf32>
    %6 = arith.divf %3, %5 : tensor<?x4xf32>
    %7 = moe.make_plan %2 experts(16) : tensor<?x4xi32>
    moe.return %7, %6 : !moe.plan<16, 4>, tensor<?x4xf32>
  }
  nn.model @dbrx_model(%arg0: tensor<?xi32>, %arg1: tensor<?xi32>, %arg2: tensor<?xi32>) -> tensor<?x100352xf32> {
    %0 = nn.param_get @embed : tensor<100352x6144xbf16>
    %1 = nn.embedding %arg0, %0 : tensor<?xi32>, tensor<100352x6144xbf16> -> tensor<?x6144xbf16>
    %2 = nn.rope_table %arg1 scale(1.000000e+00) inv_freq([1.00000000e+00, 8.14617217e-01, 6.63601220e-01, 5.40580988e-01, 4.40366596e-01, 3.58730227e-01, 2.92227834e-01, 2.38053814e-01, 1.93922743e-01, 1.57972813e-01, 1.28687367e-01, 1.04830950e-01, 8.53971019e-02, 6.95659518e-02, 5.66696227e-02, 4.61640507e-02, 3.76060307e-02, 3.06345206e-02, 2.49554086e-02, 2.03291066e-02, 1.65604409e-02, 1.34904198e-02, 1.09895281e-02, 8.95225909e-03, 7.29266461e-03, 5.94073022e-03, 4.83942125e-03, 3.94227589e-03, 3.21144611e-03, 2.61609931e-03, 2.13111960e-03, 1.73604675e-03, 1.41421356e-03, 1.15204277e-03, 9.38473851e-04, 7.64496974e-04, 6.22772437e-04, 5.07321151e-04, 4.13272559e-04, 3.36658937e-04, 2.74248188e-04, 2.23407289e-04, 1.81991432e-04, 1.48253355e-04, 1.20769735e-04, 9.83811115e-05, 8.01429487e-05, 6.52858289e-05, 5.31829573e-05, 4.33237547e-05, 3.52922762e-05, 2.87496969e-05, 2.34199997e-05, 1.90783339e-05, 1.55415401e-05, 1.26604064e-05, 1.03133852e-05, 8.40146186e-06, 6.84397537e-06, 5.57522026e-06, 4.54167048e-06, 3.69972304e-06, 3.01385808e-06, 2.45514070e-06]) : tensor<?xi32>
    %3 = nn.layers 0 to 40(%1) : (tensor<?x6144xbf16>) -> tensor<?x6144xbf16> {
    ^bb0(%arg3: index, %arg4: tensor<?x6144xbf16>):
      %9 = nn.param_get @attn_norm[%arg3] : tensor<6144xbf16>
      %10 = nn.layer_norm %arg4, %9 eps(1.000000e-05) : tensor<?x6144xbf16>, tensor<6144xbf16>
      %11 = nn.param_get @q[%arg3] : tensor<6144x6144xbf16>
      %12 = nn.linear %10, %11 : tensor<?x6144xbf16>, tensor<6144x6144xbf16>
      %13 = arith.extf %12 : tensor<?x6144xbf16> to tensor<?x6144xf32>
      %cst = arith.constant dense<8.000000e+00> : tensor<6144xf32>
      %14 = nn.broadcast %cst like %13 : tensor<?x6144xf32> axis(0) : tensor<6144xf32> -> tensor<?x6144xf32>
      %15 = arith.minimumf %13, %14 : tensor<?x6144xf32>
      %16 = arith.truncf %15 : tensor<?x6144xf32> to tensor<?x6144xbf16>
      %17 = arith.extf %16 : tensor<?x6144xbf16> to tensor<?x6144xf32>
      %cst_0 = arith.constant dense<-8.000000e+00> : tensor<6144xf32>
      %18 = nn.broadcast %cst_0 like %17 : tensor<?x6144xf32> axis(0) : tensor<6144xf32> -> tensor<?x6144xf32>
      %19 = arith.maximumf %17, %18 : tensor<?x6144xf32>
      %20 = arith.truncf %19 : tensor<?x6144xf32> to tensor<?x6144xbf16>
      %21 = nn.reshape %20 : tensor<?x6144xbf16> -> tensor<?x48x128xbf16>
      %22 = nn.param_get @k[%arg3] : tensor<1024x6144xbf16>
      %23 = nn.linear %10, %22 : tensor<?x6144xbf16>, tensor<1024x6144xbf16>
      %24 = arith.extf %23 : tensor<?x1024xbf16> to tensor<?x1024xf32>
      %cst_1 = arith.constant dense<8.000000e+00> : tensor<1024xf32>
      %25 = nn.broadcast %cst_1 like %24 : tensor<?x1024xf32> axis(0) : tensor<1024xf32> -> tensor<?x1024xf32>
      %26 = arith.minimumf %24, %25 : tensor<?x1024xf32>
      %27 = arith.truncf %26 : tensor<?x1024xf32> to tensor<?x1024xbf16>
      %28 = arith.extf %27 : tensor<?x1024xbf16> to tensor<?x1024xf32>
      %cst_2 = arith.constant dense<-8.000000e+00> : tensor<1024xf32>
      %29 = nn.broadcast %cst_2 like %28 : tensor<?x1024xf32> axis(0) : tensor<1024xf32> -> tensor<?x1024xf32>
      %30 = arith.maximumf %28, %29 : tensor<?x1024xf32>
      %31 = arith.truncf %30 : tensor<?x1024xf32> to tensor<?x1024xbf16>
      %32 = nn.reshape %31 : tensor<?x1024xbf16> -> tensor<?x8x128xbf16>
      %33 = nn.param_get @v[%arg3] : tensor<1024x6144xbf16>
      %34 = nn.linear %10, %33 : tensor<?x6144xbf16>, tensor<1024x6144xbf16>
      %35 = arith.extf %34 : tensor<?x1024xbf16> to tensor<?x1024xf32>
      %cst_3 = arith.constant dense<8.000000e+00> : tensor<1024xf32>
      %36 = nn.broadcast %cst_3 like %35 : tensor<?x1024xf32> axis(0) : tensor<1024xf32> -> tensor<?x1024xf32>
      %37 = arith.minimumf %35, %36 : tensor<?x1024xf32>
      %38 = arith.truncf %37 : tensor<?x1024xf32> to tensor<?x1024xbf16>
      %39 = arith.extf %38 : tensor<?x1024xbf16> to tensor<?x1024xf32>
      %cst_4 = arith.constant dense<-8.000000e+00> : tensor<1024xf32>
      %40 = nn.broadcast %cst_4 like %39 : tensor<?x1024xf32> axis(0) : tensor<1024xf32> -> tensor<?x1024xf32>
      %41 = arith.maximumf %39, %40 : tensor<?x1024xf32>
      %42 = arith.truncf %41 : tensor<?x1024xf32> to tensor<?x1024xbf16>
      %43 = nn.reshape %42 : tensor<?x1024xbf16> -> tensor<?x8x128xbf16>
      %44 = nn.rope  half %21, %2 start(0) : tensor<?x48x128xbf16>, tensor<?x128xf32>
      %45 = nn.rope  half %32, %2 start(0) : tensor<?x8x128xbf16>, tensor<?x128xf32>
      %46 = nn.attend %44, %45, %43 positions(%arg1) seqs(%arg2) {scale = 0.088388347648318433 : f64} : tensor<?x48x128xbf16>, tensor<?x8x128xbf16>, tensor<?x8x128xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x48x128xbf16>
      %47 = nn.reshape %46 : tensor<?x48x128xbf16> -> tensor<?x6144xbf16>
      %48 = nn.param_get @o[%arg3] : tensor<6144x6144xbf16>
      %49 = nn.linear %47, %48 : tensor<?x6144xbf16>, tensor<6144x6144xbf16>
      %50 = arith.addf %arg4, %49 : tensor<?x6144xbf16>
      %51 = nn.param_get @ffn_norm[%arg3] : tensor<6144xbf16>
      %52 = nn.layer_norm %50, %51 eps(1.000000e-05) : tensor<?x6144xbf16>, tensor<6144xbf16>
      %53 = moe.layer %52 layer(%arg3) router(@dbrx, [@gate]) experts(16, segments = 1, [@gate_up, @down]) : tensor<?x6144xbf16> -> tensor<?x6144xbf16> body {
      ^bb0(%arg5: tensor<?x6144xbf16>, %arg6: tensor<21504x6144xbf16>, %arg7: tensor<6144x10752xbf16>):
        %55 = nn.linear %arg5, %arg6 : tensor<?x6144xbf16>, tensor<21504x6144xbf16>
        %56 = nn.glu  silu %55 : tensor<?x21504xbf16>
        %57 = nn.linear %56, %arg7 : tensor<?x10752xbf16>, tensor<6144x10752xbf16>
        moe.yield %57 : tensor<?x6144xbf16>
      } shared_body {
      }
      %54 = arith.addf %50, %53 : tensor<?x6144xbf16>
      nn.yield %54 : tensor<?x6144xbf16>
    }
    %4 = nn.param_get @norm : tensor<6144xbf16>
    %5 = nn.layer_norm %3, %4 eps(1.000000e-05) : tensor<?x6144xbf16>, tensor<6144xbf16>
    %6 = nn.param_get @lm_head : tensor<100352x6144xbf16>
    %7 = nn.linear %5, %6 : tensor<?x6144xbf16>, tensor<100352x6144xbf16>
    %8 = arith.extf %7 : tensor<?x100352xbf16> to tensor<?x100352xf32>
    nn.return %8 : tensor<?x100352xf32>
  }
}
