// The character-level baseline of nanoGPT for CPUs (train_shakespeare_char): a dense decoder of 4 layers, 4 heads and width
// 128 on blocks of 64 of the 65 characters of Tiny Shakespeare; learned positions, LayerNorm without bias, GELU, no biases,
// one table for embeddings and logits. test/bench/shakespeare.py trains it.
module attributes {moe.eos_token_ids = array<i64>, moe.max_positions = 64 : i64, moe.name = "gpt_shakespeare"} {
  nn.param @wte : tensor<65x128xf32> from [#nn.source<"transformer.wte.weight", [65, 128]>]
  nn.param @lm_head : tensor<65x128xf32> from [#nn.source<"transformer.wte.weight", [65, 128]>]
  nn.param @wpe : tensor<64x128xf32> from [#nn.source<"transformer.wpe.weight", [64, 128]>]
  nn.param @ln_f : tensor<128xf32> from [#nn.source<"transformer.ln_f.weight", [128]>]
  nn.param @ln_1 : tensor<128xf32> layers [0, 4] from [#nn.source<"transformer.h.{i}.ln_1.weight", [128]>]
  nn.param @ln_2 : tensor<128xf32> layers [0, 4] from [#nn.source<"transformer.h.{i}.ln_2.weight", [128]>]
  nn.param @qkv : tensor<384x128xf32> layers [0, 4] from [#nn.source<"transformer.h.{i}.attn.c_attn.weight", [384, 128]>]
  nn.param @o : tensor<128x128xf32> layers [0, 4] from [#nn.source<"transformer.h.{i}.attn.c_proj.weight", [128, 128]>]
  nn.param @up : tensor<512x128xf32> layers [0, 4] from [#nn.source<"transformer.h.{i}.mlp.c_fc.weight", [512, 128]>]
  nn.param @down : tensor<128x512xf32> layers [0, 4] from [#nn.source<"transformer.h.{i}.mlp.c_proj.weight", [128, 512]>]
  nn.model @gpt_shakespeare(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x65xf32> {
    %wte = nn.param_get @wte : tensor<65x128xf32>
    %wpe = nn.param_get @wpe : tensor<64x128xf32>
    %characters = nn.embedding %ids, %wte : tensor<?xi32>, tensor<65x128xf32> -> tensor<?x128xf32>
    %places = nn.embedding %positions, %wpe : tensor<?xi32>, tensor<64x128xf32> -> tensor<?x128xf32>
    %first = arith.addf %characters, %places : tensor<?x128xf32>
    %last = nn.layers 0 to 4 (%first) : (tensor<?x128xf32>) -> tensor<?x128xf32> {
    ^bb0(%i: index, %x: tensor<?x128xf32>):
      %ln_1 = nn.param_get @ln_1[%i] : tensor<128xf32>
      %a = nn.layer_norm %x, %ln_1 eps(1.0e-5) : tensor<?x128xf32>, tensor<128xf32>
      %qkv_w = nn.param_get @qkv[%i] : tensor<384x128xf32>
      %qkv = nn.linear %a, %qkv_w : tensor<?x128xf32>, tensor<384x128xf32>
      %q_rows = nn.slice %qkv[0, 128] : tensor<?x384xf32>
      %k_rows = nn.slice %qkv[128, 128] : tensor<?x384xf32>
      %v_rows = nn.slice %qkv[256, 128] : tensor<?x384xf32>
      %q = nn.reshape %q_rows : tensor<?x128xf32> -> tensor<?x4x32xf32>
      %k = nn.reshape %k_rows : tensor<?x128xf32> -> tensor<?x4x32xf32>
      %v = nn.reshape %v_rows : tensor<?x128xf32> -> tensor<?x4x32xf32>
      %mixed = nn.attend %q, %k, %v positions(%positions) seqs(%seqs) {scale = 0.17677669529663687 : f64} : tensor<?x4x32xf32>, tensor<?x4x32xf32>, tensor<?x4x32xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x32xf32>
      %flat = nn.reshape %mixed : tensor<?x4x32xf32> -> tensor<?x128xf32>
      %o_w = nn.param_get @o[%i] : tensor<128x128xf32>
      %o = nn.linear %flat, %o_w : tensor<?x128xf32>, tensor<128x128xf32>
      %stream = arith.addf %x, %o : tensor<?x128xf32>
      %ln_2 = nn.param_get @ln_2[%i] : tensor<128xf32>
      %m = nn.layer_norm %stream, %ln_2 eps(1.0e-5) : tensor<?x128xf32>, tensor<128xf32>
      %up_w = nn.param_get @up[%i] : tensor<512x128xf32>
      %up = nn.linear %m, %up_w : tensor<?x128xf32>, tensor<512x128xf32>
      %act = nn.activate gelu %up : tensor<?x512xf32>
      %down_w = nn.param_get @down[%i] : tensor<128x512xf32>
      %down = nn.linear %act, %down_w : tensor<?x512xf32>, tensor<128x512xf32>
      %y = arith.addf %stream, %down : tensor<?x128xf32>
      nn.yield %y : tensor<?x128xf32>
    }
    %ln_f = nn.param_get @ln_f : tensor<128xf32>
    %n = nn.layer_norm %last, %ln_f eps(1.0e-5) : tensor<?x128xf32>, tensor<128xf32>
    %head = nn.param_get @lm_head : tensor<65x128xf32>
    %logits = nn.linear %n, %head : tensor<?x128xf32>, tensor<65x128xf32>
    nn.return %logits : tensor<?x65xf32>
  }
}
