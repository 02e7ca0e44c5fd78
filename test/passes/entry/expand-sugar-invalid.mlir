// RUN: moe-opt %s --moe-expand-sugar --split-input-file --verify-diagnostics
// Parameters of sizes that the expansion cannot use are refused in the program's words.

// -----

nn.param @norm : tensor<7xf32> from [#nn.source<"norm", [7]>]
nn.param @q : tensor<8x8xf32> from [#nn.source<"q", [8, 8]>]
nn.param @k : tensor<4x8xf32> from [#nn.source<"k", [4, 8]>]
nn.param @v : tensor<4x8xf32> from [#nn.source<"v", [4, 8]>]
nn.param @o : tensor<8x8xf32> from [#nn.source<"o", [8, 8]>]
func.func @attention_norm(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{'nn.attention' op expects @norm of [8], got [7]}}
  %y = nn.attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o) heads(2, 1, 4) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @q : tensor<8x9xf32> from [#nn.source<"q", [8, 9]>]
nn.param @k : tensor<4x8xf32> from [#nn.source<"k", [4, 8]>]
nn.param @v : tensor<4x8xf32> from [#nn.source<"v", [4, 8]>]
nn.param @o : tensor<8x8xf32> from [#nn.source<"o", [8, 8]>]
func.func @attention_q(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @q of [8, 8], got [8, 9]}}
  %y = nn.attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o) heads(2, 1, 4) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @q : tensor<8x8xf32> from [#nn.source<"q", [8, 8]>]
nn.param @k : tensor<4x8xf32> from [#nn.source<"k", [4, 8]>]
nn.param @v : tensor<8x8xf32> from [#nn.source<"v", [8, 8]>]
nn.param @o : tensor<8x8xf32> from [#nn.source<"o", [8, 8]>]
func.func @attention_v(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @v of [4, 8], got [8, 8]}}
  %y = nn.attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o) heads(2, 1, 4) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @q : tensor<8x8xf32> from [#nn.source<"q", [8, 8]>]
nn.param @k : tensor<4x8xf32> from [#nn.source<"k", [4, 8]>]
nn.param @v : tensor<4x8xf32> from [#nn.source<"v", [4, 8]>]
nn.param @o : tensor<8xf32> from [#nn.source<"o", [8]>]
func.func @attention_o(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @o of rank 2, got 'tensor<8xf32>'}}
  %y = nn.attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o) heads(2, 1, 4) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @q : tensor<8x8xf32> from [#nn.source<"q", [8, 8]>]
nn.param @k : tensor<4x8xf32> from [#nn.source<"k", [4, 8]>]
nn.param @v : tensor<4x8xf32> from [#nn.source<"v", [4, 8]>]
nn.param @o : tensor<8x8xf32> from [#nn.source<"o", [8, 8]>]
func.func @attention_heads(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects sizes between 1 and 268435456, got 0}}
  %y = nn.attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o) heads(2, 1, 0) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @q : tensor<8x8xf32> from [#nn.source<"q", [8, 8]>]
nn.param @k : tensor<4x8xf32> from [#nn.source<"k", [4, 8]>]
nn.param @v : tensor<4x8xf32> from [#nn.source<"v", [4, 8]>]
nn.param @o : tensor<8x8xf32> from [#nn.source<"o", [8, 8]>]
func.func @attention_many(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects sizes between 1 and 268435456, got 4611686018427387904}}
  %y = nn.attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o) heads(4611686018427387904, 1, 4) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @q : tensor<8x8xf32> from [#nn.source<"q", [8, 8]>]
nn.param @k : tensor<4x8xf32> from [#nn.source<"k", [4, 8]>]
nn.param @v : tensor<4x8xf32> from [#nn.source<"v", [4, 8]>]
nn.param @o : tensor<8x8xf32> from [#nn.source<"o", [8, 8]>]
func.func @attention_eps(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects an epsilon >= 0}}
  %y = nn.attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, -1.0) q(@q) k(@k) v(@v) o(@o) heads(2, 1, 4) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @q : tensor<8x8xf32> from [#nn.source<"q", [8, 8]>]
nn.param @k : tensor<4x8xf32> from [#nn.source<"k", [4, 8]>]
nn.param @v : tensor<4x8xf32> from [#nn.source<"v", [4, 8]>]
nn.param @o : tensor<8x8xf32> from [#nn.source<"o", [8, 8]>]
func.func @attention_rope(%x: tensor<?x8xf32>, %t: tensor<?x6xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects a table [T, d] with even d <= 4, got 'tensor<?x6xf32>'}}
  %y = nn.attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-5) q(@q) k(@k) v(@v) o(@o) heads(2, 1, 4) scale(0.5) : tensor<?x8xf32>, tensor<?x6xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @qa : tensor<5x8xf32> from [#nn.source<"qa", [5, 8]>]
nn.param @qn : tensor<6xf32> from [#nn.source<"qn", [6]>]
nn.param @q : tensor<12x5xf32> from [#nn.source<"q", [12, 5]>]
nn.param @kva : tensor<7x8xf32> from [#nn.source<"kva", [7, 8]>]
nn.param @kvn : tensor<3xf32> from [#nn.source<"kvn", [3]>]
nn.param @kup : tensor<2x3x2xf32> from [#nn.source<"kup", [2, 3, 2]>]
nn.param @vup : tensor<2x6x3xf32> from [#nn.source<"vup", [2, 6, 3]>]
nn.param @o : tensor<8x12xf32> from [#nn.source<"o", [8, 12]>]
func.func @latent_qn(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @qn of [5], got [6]}}
  %y = nn.latent_attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-6) q_a(@qa, @qn) q(@q) kv_a(@kva, @kvn) up(@kup, @vup) o(@o) heads(2) dims(3, 2, 4, 6) latent_eps(1.0e-6) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @qa : tensor<5x8xf32> from [#nn.source<"qa", [5, 8]>]
nn.param @qn : tensor<5xf32> from [#nn.source<"qn", [5]>]
nn.param @q : tensor<12x8xf32> from [#nn.source<"q", [12, 8]>]
nn.param @kva : tensor<7x8xf32> from [#nn.source<"kva", [7, 8]>]
nn.param @kvn : tensor<3xf32> from [#nn.source<"kvn", [3]>]
nn.param @kup : tensor<2x3x2xf32> from [#nn.source<"kup", [2, 3, 2]>]
nn.param @vup : tensor<2x6x3xf32> from [#nn.source<"vup", [2, 6, 3]>]
nn.param @o : tensor<8x12xf32> from [#nn.source<"o", [8, 12]>]
func.func @latent_q(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @q of [12, 5], got [12, 8]}}
  %y = nn.latent_attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-6) q_a(@qa, @qn) q(@q) kv_a(@kva, @kvn) up(@kup, @vup) o(@o) heads(2) dims(3, 2, 4, 6) latent_eps(1.0e-6) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @qa : tensor<5x8xf32> from [#nn.source<"qa", [5, 8]>]
nn.param @qn : tensor<5xf32> from [#nn.source<"qn", [5]>]
nn.param @q : tensor<12x5xf32> from [#nn.source<"q", [12, 5]>]
nn.param @kva : tensor<8x8xf32> from [#nn.source<"kva", [8, 8]>]
nn.param @kvn : tensor<3xf32> from [#nn.source<"kvn", [3]>]
nn.param @kup : tensor<2x3x2xf32> from [#nn.source<"kup", [2, 3, 2]>]
nn.param @vup : tensor<2x6x3xf32> from [#nn.source<"vup", [2, 6, 3]>]
nn.param @o : tensor<8x12xf32> from [#nn.source<"o", [8, 12]>]
func.func @latent_kva(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @kva of [7, 8], got [8, 8]}}
  %y = nn.latent_attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-6) q_a(@qa, @qn) q(@q) kv_a(@kva, @kvn) up(@kup, @vup) o(@o) heads(2) dims(3, 2, 4, 6) latent_eps(1.0e-6) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @qa : tensor<5x8xf32> from [#nn.source<"qa", [5, 8]>]
nn.param @qn : tensor<5xf32> from [#nn.source<"qn", [5]>]
nn.param @q : tensor<12x5xf32> from [#nn.source<"q", [12, 5]>]
nn.param @kva : tensor<7x8xf32> from [#nn.source<"kva", [7, 8]>]
nn.param @kvn : tensor<3xf32> from [#nn.source<"kvn", [3]>]
nn.param @kup : tensor<2x2x3xf32> from [#nn.source<"kup", [2, 2, 3]>]
nn.param @vup : tensor<2x6x3xf32> from [#nn.source<"vup", [2, 6, 3]>]
nn.param @o : tensor<8x12xf32> from [#nn.source<"o", [8, 12]>]
func.func @latent_kup(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @kup of [2, 3, 2], got [2, 2, 3]}}
  %y = nn.latent_attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-6) q_a(@qa, @qn) q(@q) kv_a(@kva, @kvn) up(@kup, @vup) o(@o) heads(2) dims(3, 2, 4, 6) latent_eps(1.0e-6) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @qa : tensor<5x8xf32> from [#nn.source<"qa", [5, 8]>]
nn.param @qn : tensor<5xf32> from [#nn.source<"qn", [5]>]
nn.param @q : tensor<12x5xf32> from [#nn.source<"q", [12, 5]>]
nn.param @kva : tensor<7x8xf32> from [#nn.source<"kva", [7, 8]>]
nn.param @kvn : tensor<3xf32> from [#nn.source<"kvn", [3]>]
nn.param @kup : tensor<2x3x2xf32> from [#nn.source<"kup", [2, 3, 2]>]
nn.param @vup : tensor<2x6x4xf32> from [#nn.source<"vup", [2, 6, 4]>]
nn.param @o : tensor<8x12xf32> from [#nn.source<"o", [8, 12]>]
func.func @latent_vup(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @vup of [2, 6, 3], got [2, 6, 4]}}
  %y = nn.latent_attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-6) q_a(@qa, @qn) q(@q) kv_a(@kva, @kvn) up(@kup, @vup) o(@o) heads(2) dims(3, 2, 4, 6) latent_eps(1.0e-6) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @qa : tensor<5x8xf32> from [#nn.source<"qa", [5, 8]>]
nn.param @qn : tensor<5xf32> from [#nn.source<"qn", [5]>]
nn.param @q : tensor<12x5xf32> from [#nn.source<"q", [12, 5]>]
nn.param @kva : tensor<7x8xf32> from [#nn.source<"kva", [7, 8]>]
nn.param @kvn : tensor<3xf32> from [#nn.source<"kvn", [3]>]
nn.param @kup : tensor<2x3x2xf32> from [#nn.source<"kup", [2, 3, 2]>]
nn.param @vup : tensor<2x6x3xf32> from [#nn.source<"vup", [2, 6, 3]>]
nn.param @o : tensor<8x8xf32> from [#nn.source<"o", [8, 8]>]
func.func @latent_o(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @o of [8, 12], got [8, 8]}}
  %y = nn.latent_attention %x rope(%t) positions(%s) seqs(%s) norm(@norm, 1.0e-6) q_a(@qa, @qn) q(@q) kv_a(@kva, @kvn) up(@kup, @vup) o(@o) heads(2) dims(3, 2, 4, 6) latent_eps(1.0e-6) scale(0.5) : tensor<?x8xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @gu : tensor<7x8xf32> from [#nn.source<"gu", [7, 8]>]
nn.param @d : tensor<8x3xf32> from [#nn.source<"d", [8, 3]>]
func.func @mlp_odd(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @gu of [2I, D], got 7 rows}}
  %y = nn.mlp %x norm(@norm, 1.0e-5) glu(silu, @gu, @d) : tensor<?x8xf32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @gu : tensor<6x7xf32> from [#nn.source<"gu", [6, 7]>]
nn.param @d : tensor<8x3xf32> from [#nn.source<"d", [8, 3]>]
func.func @mlp_gate_up(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @gu of [6, 8], got [6, 7]}}
  %y = nn.mlp %x norm(@norm, 1.0e-5) glu(silu, @gu, @d) : tensor<?x8xf32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @gu : tensor<6x8xf32> from [#nn.source<"gu", [6, 8]>]
nn.param @d : tensor<3x8xf32> from [#nn.source<"d", [3, 8]>]
func.func @mlp_down(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @d of [8, 3], got [3, 8]}}
  %y = nn.mlp %x norm(@norm, 1.0e-5) glu(silu, @gu, @d) : tensor<?x8xf32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @gu : tensor<6x8xf32> from [#nn.source<"gu", [6, 8]>]
nn.param @d : tensor<8x3xf32> from [#nn.source<"d", [8, 3]>]
nn.param @b : tensor<5xf32> from [#nn.source<"b", [5]>]
func.func @mlp_bias(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects @b of [6], got [5]}}
  %y = nn.mlp %x norm(@norm, 1.0e-5) glu(silu, @gu, @d) {gate_up_bias = @b} : tensor<?x8xf32> -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @gu : tensor<6x8xf32> from [#nn.source<"gu", [6, 8]>]
nn.param @d : tensor<8x3xf32> from [#nn.source<"d", [8, 3]>]
func.func @mlp_rows(%x: tensor<8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<8xf32> {
  // expected-error@+1 {{expects rows [T, D] of static D, got 'tensor<8xf32>'}}
  %y = nn.mlp %x norm(@norm, 1.0e-5) glu(silu, @gu, @d) : tensor<8xf32> -> tensor<8xf32>
  return %y : tensor<8xf32>
}

// -----

nn.param @norm : tensor<8xf32> from [#nn.source<"norm", [8]>]
nn.param @w : tensor<5x9xf32> from [#nn.source<"w", [5, 9]>]
func.func @head_weight(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x5xf32> {
  // expected-error@+1 {{expects @w of [5, 8], got [5, 9]}}
  %y = nn.head %x norm(@norm, 1.0e-5) weight(@w) : tensor<?x8xf32> -> tensor<?x5xf32>
  return %y : tensor<?x5xf32>
}

// -----

nn.param @s : tensor<8x8xf32> from [#nn.source<"s", [8, 8]>]
moe.router @r(%x: tensor<?x8xf32>) -> (!moe.plan<8, 1>, tensor<?x1xf32>) {
  %i = moe.select %x top_k(1) : tensor<?x8xf32>
  %w = moe.pick %x, %i : tensor<?x8xf32>, tensor<?x1xi32>
  %p = moe.make_plan %i experts(8) : tensor<?x1xi32>
  moe.return %p, %w : !moe.plan<8, 1>, tensor<?x1xf32>
}
func.func @layer_shared(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>, %s: tensor<?xi32>) -> tensor<?x8xf32> {
  // expected-error@+1 {{expects a shared body of one block that yields 'tensor<?x8xf32>'}}
  %y = moe.layer %x router(@r, []) experts(8, segments = 1, []) shared([@s]) : tensor<?x8xf32> -> tensor<?x8xf32> body {
  ^bb0(%t0: tensor<?x8xf32>):
    moe.yield %t0 : tensor<?x8xf32>
  } shared_body {
  ^bb0(%t0: tensor<?x8xf32>, %w: tensor<8x8xf32>):
    moe.yield %w : tensor<8x8xf32>
  }
  return %y : tensor<?x8xf32>
}
