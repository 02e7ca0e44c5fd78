// RUN: moe-opt %s --split-input-file --verify-diagnostics

func.func @embedding_c1(%ids: tensor<?x1xi32>, %t: tensor<8x4xf32>) {
  // expected-error@+1 {{expects ids [T] and a table [V, D]}}
  %x = nn.embedding %ids, %t : tensor<?x1xi32>, tensor<8x4xf32> -> tensor<?x4xf32>
  return
}

// -----

func.func @embedding_c2(%ids: tensor<?xi32>, %t: tensor<8x4xf32>) {
  // expected-error@+1 {{expects a result [T, 4], got 'tensor<?x5xf32>'}}
  %x = nn.embedding %ids, %t : tensor<?xi32>, tensor<8x4xf32> -> tensor<?x5xf32>
  return
}

// -----

func.func @linear_c1(%x: tensor<?x4xf32>, %w: tensor<8x5xf32>) {
  // expected-error@+1 {{nn.linear expects x [T, K] and w [N, K], got 'tensor<?x4xf32>' and 'tensor<8x5xf32>'}}
  %y = nn.linear %x, %w : tensor<?x4xf32>, tensor<8x5xf32>
  return
}

// -----

func.func @linear_c2(%x: tensor<?x4xf32>, %w: tensor<8x4xf32>, %b: tensor<7xf32>) {
  // expected-error@+1 {{nn.linear expects a bias [N] with N = 8}}
  %y = nn.linear %x, %w bias(%b : tensor<7xf32>) : tensor<?x4xf32>, tensor<8x4xf32>
  return
}

// -----

func.func @head_linear_c1(%x: tensor<?x2x4xf32>, %w: tensor<3x5x4xf32>) {
  // expected-error@+1 {{nn.head_linear expects x [T, H, K] and w [H, N, K]}}
  %y = nn.head_linear %x, %w : tensor<?x2x4xf32>, tensor<3x5x4xf32>
  return
}

// -----

func.func @rms_norm_c1(%x: tensor<?x4xf32>, %w: tensor<5xf32>) {
  // expected-error@+1 {{nn.rms_norm expects a weight [D] for x [.., D]}}
  %y = nn.rms_norm %x, %w eps(1.0e-5) : tensor<?x4xf32>, tensor<5xf32>
  return
}

// -----

func.func @rms_norm_c2(%x: tensor<?x4xf32>, %w: tensor<4xf32>) {
  // expected-error@+1 {{nn.rms_norm expects eps >= 0}}
  %y = nn.rms_norm %x, %w eps(-1.0e-5) : tensor<?x4xf32>, tensor<4xf32>
  return
}

// -----

func.func @layer_norm_c1(%x: tensor<?x4xf32>, %w: tensor<4xf32>, %b: tensor<3xf32>) {
  // expected-error@+1 {{nn.layer_norm expects weight and bias [D] for x [.., D]}}
  %y = nn.layer_norm %x, %w bias(%b : tensor<3xf32>) eps(1.0e-5) : tensor<?x4xf32>, tensor<4xf32>
  return
}

// -----

func.func @layer_norm_c2(%x: tensor<?x4xf32>, %w: tensor<4xf32>) {
  // expected-error@+1 {{nn.layer_norm expects eps >= 0}}
  %y = nn.layer_norm %x, %w eps(-1.0) : tensor<?x4xf32>, tensor<4xf32>
  return
}

// -----

func.func @rope_table_c1(%p: tensor<?x1xi32>) {
  // expected-error@+1 {{nn.rope_table expects positions [T]}}
  %y = nn.rope_table %p scale(1.0) inv_freq([1.0]) : tensor<?x1xi32>
  return
}

// -----

func.func @rope_table_c2(%p: tensor<?xi32>) {
  // expected-error@+1 {{nn.rope_table expects at least one frequency}}
  %y = nn.rope_table %p scale(1.0) inv_freq([]) : tensor<?xi32>
  return
}

// -----

func.func @rope_c1(%x: tensor<?x8xf32>, %t: tensor<?x4xf32>) {
  // expected-error@+1 {{nn.rope expects x [T, H, D] and a table [T, d] with even d}}
  %y = nn.rope half %x, %t start(0) : tensor<?x8xf32>, tensor<?x4xf32>
  return
}

// -----

func.func @rope_c2(%x: tensor<?x2x8xf32>, %t: tensor<?x4xf32>) {
  // expected-error@+1 {{nn.rope expects start + d <= D, got 6 + 4 > 8}}
  %y = nn.rope half %x, %t start(6) : tensor<?x2x8xf32>, tensor<?x4xf32>
  return
}

// -----

func.func @attend_c1(%q: tensor<?x4x8xf32>, %k: tensor<?x3x8xf32>, %v: tensor<?x3x8xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects q [T, H, dk] and k [T, KV, dk] with KV dividing H}}
  %y = nn.attend %q, %k, %v positions(%p) seqs(%s) {scale = 1.0 : f64} : tensor<?x4x8xf32>, tensor<?x3x8xf32>, tensor<?x3x8xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @attend_c2(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects one key head and 0 < value_dims <= dk without v}}
  %y = nn.attend %q, %k positions(%p) seqs(%s) {scale = 1.0 : f64, value_dims = 8 : i64} : tensor<?x4x8xf32>, tensor<?x2x8xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @attend_c3(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x8xf32>, %p: tensor<?x1xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects positions [T] and cu_seqlens [B+1]}}
  %y = nn.attend %q, %k, %v positions(%p) seqs(%s) {scale = 1.0 : f64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x8xf32> seqs tensor<?x1xi32>, tensor<?xi32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @attend_c4(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x8xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>, %c: !nn.cache<16 x f32>, %slot: tensor<?xi32>, %bt: tensor<?x?xi32>) {
  %i = arith.constant 0 : index
  // expected-error@+1 {{expects a cache of width 32}}
  %y = nn.attend %q, %k, %v positions(%p) seqs(%s) cache(%c[%i], %slot, %bt) {scale = 1.0 : f64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x8xf32> seqs tensor<?xi32>, tensor<?xi32> cache !nn.cache<16 x f32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @attend_c5(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x6xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects a result [T, 4, 6]}}
  %y = nn.attend %q, %k, %v positions(%p) seqs(%s) {scale = 1.0 : f64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x6xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @attend_c6(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x8xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects window >= 0, got -1}}
  %y = nn.attend %q, %k, %v positions(%p) seqs(%s) {scale = 1.0 : f64, window = -1 : i64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x8xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @attend_c7(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x8xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>, %w: tensor<2xf32>) {
  // expected-error@+1 {{expects sinks [4], got 'tensor<2xf32>'}}
  %y = nn.attend %q, %k, %v positions(%p) seqs(%s) sinks(%w : tensor<2xf32>) {scale = 1.0 : f64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x8xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @attend_c8(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x8xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects cap >= 0, got -3.000000e+01}}
  %y = nn.attend %q, %k, %v positions(%p) seqs(%s) {scale = 1.0 : f64, cap = -30.0 : f64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x8xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x8xf32>
  return
}

// -----

func.func @glu_c2(%x: tensor<?x6xf32>) {
  // expected-error@+2 {{nn.glu expects limit >= 0}}
  // expected-error@+1 {{failed to infer returned types}}
  %y = nn.glu silu %x {limit = -1.0 : f64} : tensor<?x6xf32>
  return
}

// -----

func.func @glu_c1(%x: tensor<?x5xf32>) {
  // expected-error@+1 {{nn.glu expects x [R, 2I]}}
  %y = nn.glu silu %x : tensor<?x5xf32>
  return
}

// -----

func.func @softmax_c1(%x: tensor<?x5xf32>) {
  // expected-error@+1 {{nn.softmax expects 0 <= axis < 2, got 2}}
  %y = nn.softmax %x axis(2) : tensor<?x5xf32>
  return
}

// -----

func.func @reduce_c1(%x: tensor<?x5xf32>) {
  // expected-error@+1 {{nn.reduce expects 0 <= axis < 2, got -1}}
  %y = nn.reduce sum %x axis(-1) : tensor<?x5xf32>
  return
}

// -----

func.func @broadcast_c1(%x: tensor<?xf32>) {
  // expected-error@+1 {{expects a result of one more axis}}
  %y = nn.broadcast %x axis(1) : tensor<?xf32> -> tensor<4x5xf32>
  return
}

// -----

func.func @broadcast_c2(%x: tensor<5xf32>) {
  // expected-error@+1 {{expects `like` rows for a dynamic axis 0}}
  %y = nn.broadcast %x axis(0) : tensor<5xf32> -> tensor<?x5xf32>
  return
}

// -----

func.func @reshape_c1(%x: tensor<?x6xf32>) {
  // expected-error@+1 {{expects equally many elements behind one leading dimension}}
  %y = nn.reshape %x : tensor<?x6xf32> -> tensor<?x2x4xf32>
  return
}

// -----

func.func @slice_c1(%x: tensor<?x6xf32>) {
  // expected-error@+1 {{nn.slice expects a range of the last axis of 'tensor<?x6xf32>', got [4, 3]}}
  %y = nn.slice %x[4, 3] : tensor<?x6xf32>
  return
}

// -----

func.func @concat_c1() {
  // expected-error@+2 {{nn.concat expects at least one operand}}
  // expected-error@+1 {{failed to infer returned types}}
  %y = "nn.concat"() : () -> tensor<?x6xf32>
  return
}

// -----

func.func @concat_c2(%a: tensor<?x2x6xf32>, %b: tensor<?x3x6xf32>) {
  // expected-error@+1 {{nn.concat expects operands that differ in the last axis alone}}
  %y = nn.concat %a, %b : tensor<?x2x6xf32>, tensor<?x3x6xf32>
  return
}

// -----

func.func @last_rows_c1(%x: tensor<?x6xf32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects x [T, D], cu_seqlens [B+1] and a result [B, D]}}
  %y = nn.last_rows %x, %s : tensor<?x6xf32>, tensor<?xi32> -> tensor<?x5xf32>
  return
}
