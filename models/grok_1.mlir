// Grok-1 (2024): 64 layers of 8 experts, top-2, probabilities of the softmax over all as they are; 48 query heads on 8 key
// heads, scores capped at 30; a norm before and after each branch; one table for embeddings and logits, both scaled.
// Sizes and scales are those of the published program. Its checkpoint is no folder of Hugging Face files: tensors have
// names chosen here. The activation is the gelu of its program, which has tanh.
module attributes {moe.eos_token_ids = array<i64: 2>, moe.max_positions = 8192 : i64, moe.name = "grok_1"} {
  nn.param @embed : tensor<131072x6144xbf16> from [#nn.source<"model.embed_tokens.weight", [131072, 6144]>]
  nn.param @lm_head : tensor<131072x6144xbf16> from [#nn.source<"model.embed_tokens.weight", [131072, 6144]>]
  nn.param @norm : tensor<6144xbf16> from [#nn.source<"model.norm.weight", [6144]>]
  nn.param @pre_attn : tensor<6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.pre_attn_norm.weight", [6144]>]
  nn.param @post_attn : tensor<6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.post_attn_norm.weight", [6144]>]
  nn.param @pre_moe : tensor<6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.pre_moe_norm.weight", [6144]>]
  nn.param @post_moe : tensor<6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.post_moe_norm.weight", [6144]>]
  nn.param @q : tensor<6144x6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.attn.q_proj.weight", [6144, 6144]>]
  nn.param @k : tensor<1024x6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.attn.k_proj.weight", [1024, 6144]>]
  nn.param @v : tensor<1024x6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.attn.v_proj.weight", [1024, 6144]>]
  nn.param @o : tensor<6144x6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.attn.o_proj.weight", [6144, 6144]>]
  nn.param @gate : tensor<8x6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.moe.gate.weight", [8, 6144]>]
  nn.param @gate_up : tensor<8x65536x6144xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.moe.experts.{e}.linear.weight", [32768, 6144] rows 32768>, #nn.source<"model.layers.{i}.moe.experts.{e}.linear_v.weight", [32768, 6144] at 32768 rows 32768>]
  nn.param @down : tensor<8x6144x32768xbf16> layers [0, 64] from [#nn.source<"model.layers.{i}.moe.experts.{e}.linear_1.weight", [6144, 32768]>]
  moe.router @grok(%x: tensor<?x6144xf32>, %w: tensor<8x6144xbf16>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
    %z = nn.linear %x, %w : tensor<?x6144xf32>, tensor<8x6144xbf16>
    %p = nn.softmax %z axis(1) : tensor<?x8xf32>
    %idx = moe.select %p top_k(2) : tensor<?x8xf32>
    %weights = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x2xi32>
    %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
    moe.return %plan, %weights : !moe.plan<8, 2>, tensor<?x2xf32>
  }
  nn.model @grok_1(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x131072xf32> {
    %embed = nn.param_get @embed : tensor<131072x6144xbf16>
    %rows = nn.embedding %ids, %embed : tensor<?xi32>, tensor<131072x6144xbf16> -> tensor<?x6144xbf16>
    %rows_f32 = arith.extf %rows : tensor<?x6144xbf16> to tensor<?x6144xf32>
    %in_scale = arith.constant dense<7.838367177e+01> : tensor<6144xf32>
    %in_scales = nn.broadcast %in_scale like %rows_f32 : tensor<?x6144xf32> axis(0) : tensor<6144xf32> -> tensor<?x6144xf32>
    %scaled = arith.mulf %rows_f32, %in_scales : tensor<?x6144xf32>
    %first = arith.truncf %scaled : tensor<?x6144xf32> to tensor<?x6144xbf16>
    %table = nn.rope_table %positions scale(1.0) inv_freq([1.00000000e+00, 8.65964353e-01, 7.49894202e-01, 6.49381638e-01, 5.62341332e-01, 4.86967534e-01, 4.21696514e-01, 3.65174115e-01, 3.16227764e-01, 2.73841977e-01, 2.37137377e-01, 2.05352500e-01, 1.77827939e-01, 1.53992653e-01, 1.33352146e-01, 1.15478195e-01, 1.00000001e-01, 8.65964293e-02, 7.49894232e-02, 6.49381652e-02, 5.62341325e-02, 4.86967526e-02, 4.21696492e-02, 3.65174115e-02, 3.16227749e-02, 2.73841955e-02, 2.37137377e-02, 2.05352511e-02, 1.77827943e-02, 1.53992651e-02, 1.33352140e-02, 1.15478197e-02, 9.99999978e-03, 8.65964312e-03, 7.49894232e-03, 6.49381615e-03, 5.62341325e-03, 4.86967526e-03, 4.21696482e-03, 3.65174119e-03, 3.16227763e-03, 2.73841969e-03, 2.37137382e-03, 2.05352507e-03, 1.77827943e-03, 1.53992651e-03, 1.33352145e-03, 1.15478202e-03, 1.00000005e-03, 8.65964335e-04, 7.49894185e-04, 6.49381604e-04, 5.62341302e-04, 4.86967532e-04, 4.21696517e-04, 3.65174114e-04, 3.16227757e-04, 2.73841957e-04, 2.37137370e-04, 2.05352510e-04, 1.77827940e-04, 1.53992660e-04, 1.33352150e-04, 1.15478200e-04]) : tensor<?xi32>
    %last = nn.layers 0 to 64(%first) : (tensor<?x6144xbf16>) -> tensor<?x6144xbf16> {
    ^bb0(%i: index, %x: tensor<?x6144xbf16>):
      %pre_attn = nn.param_get @pre_attn[%i] : tensor<6144xbf16>
      %a = nn.rms_norm %x, %pre_attn eps(1.0e-05) : tensor<?x6144xbf16>, tensor<6144xbf16>
      %q = nn.param_get @q[%i] : tensor<6144x6144xbf16>
      %q_rows = nn.linear %a, %q : tensor<?x6144xbf16>, tensor<6144x6144xbf16>
      %q_heads = nn.reshape %q_rows : tensor<?x6144xbf16> -> tensor<?x48x128xbf16>
      %q_turned = nn.rope half %q_heads, %table start(0) : tensor<?x48x128xbf16>, tensor<?x128xf32>
      %k = nn.param_get @k[%i] : tensor<1024x6144xbf16>
      %k_rows = nn.linear %a, %k : tensor<?x6144xbf16>, tensor<1024x6144xbf16>
      %k_heads = nn.reshape %k_rows : tensor<?x1024xbf16> -> tensor<?x8x128xbf16>
      %k_turned = nn.rope half %k_heads, %table start(0) : tensor<?x8x128xbf16>, tensor<?x128xf32>
      %v = nn.param_get @v[%i] : tensor<1024x6144xbf16>
      %v_rows = nn.linear %a, %v : tensor<?x6144xbf16>, tensor<1024x6144xbf16>
      %v_heads = nn.reshape %v_rows : tensor<?x1024xbf16> -> tensor<?x8x128xbf16>
      %mixed = nn.attend %q_turned, %k_turned, %v_heads positions(%positions) seqs(%seqs) {scale = 0.08838834764831845 : f64, cap = 30.0 : f64} : tensor<?x48x128xbf16>, tensor<?x8x128xbf16>, tensor<?x8x128xbf16> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x48x128xbf16>
      %flat = nn.reshape %mixed : tensor<?x48x128xbf16> -> tensor<?x6144xbf16>
      %o = nn.param_get @o[%i] : tensor<6144x6144xbf16>
      %o_rows = nn.linear %flat, %o : tensor<?x6144xbf16>, tensor<6144x6144xbf16>
      %post_attn = nn.param_get @post_attn[%i] : tensor<6144xbf16>
      %branch = nn.rms_norm %o_rows, %post_attn eps(1.0e-05) : tensor<?x6144xbf16>, tensor<6144xbf16>
      %stream = arith.addf %x, %branch : tensor<?x6144xbf16>
      %pre_moe = nn.param_get @pre_moe[%i] : tensor<6144xbf16>
      %m = nn.rms_norm %stream, %pre_moe eps(1.0e-05) : tensor<?x6144xbf16>, tensor<6144xbf16>
      %experts = moe.layer %m layer(%i) router(@grok, [@gate]) experts(8, segments = 1, [@gate_up, @down]) : tensor<?x6144xbf16> -> tensor<?x6144xbf16> body {
      ^bb0(%t: tensor<?x6144xbf16>, %w0: tensor<65536x6144xbf16>, %w1: tensor<6144x32768xbf16>):
        %both = nn.linear %t, %w0 : tensor<?x6144xbf16>, tensor<65536x6144xbf16>
        %gated = nn.glu gelu_tanh %both : tensor<?x65536xbf16>
        %down = nn.linear %gated, %w1 : tensor<?x32768xbf16>, tensor<6144x32768xbf16>
        moe.yield %down : tensor<?x6144xbf16>
      } shared_body {
      }
      %post_moe = nn.param_get @post_moe[%i] : tensor<6144xbf16>
      %more = nn.rms_norm %experts, %post_moe eps(1.0e-05) : tensor<?x6144xbf16>, tensor<6144xbf16>
      %next = arith.addf %stream, %more : tensor<?x6144xbf16>
      nn.yield %next : tensor<?x6144xbf16>
    }
    %logits = nn.head %last norm(@norm, 1.0e-05) weight(@lm_head) : tensor<?x6144xbf16> -> tensor<?x131072xf32>
    %out_scale = arith.constant dense<5.773502692e-01> : tensor<131072xf32>
    %out_scales = nn.broadcast %out_scale like %logits : tensor<?x131072xf32> axis(0) : tensor<131072xf32> -> tensor<?x131072xf32>
    %out = arith.mulf %logits, %out_scales : tensor<?x131072xf32>
    nn.return %out : tensor<?x131072xf32>
  }
}
