// RUN: moe-opt %s --split-input-file --verify-diagnostics --allow-unregistered-dialect

// @param_c1
// expected-error@+1 {{expects a static shape of rank 1 to 3}}
nn.param @p : tensor<?x4xf32> from [#nn.source<"w", [4, 4]>]

// -----

// @param_c2
// expected-error@+1 {{expects sources for 8 rows, got 4}}
nn.param @p : tensor<8x4xf32> from [#nn.source<"w", [4, 4] rows 4>]

// -----

// @param_c2, with a gap
// expected-error@+1 {{expects sources in row order without gaps, got a source at row 5 where row 4 is next}}
nn.param @p : tensor<8x4xf32> from [#nn.source<"a", [4, 4] rows 4>, #nn.source<"b", [3, 4] at 5 rows 3>]

// -----

// @param_c3
// expected-error@+1 {{expects {i} in a pattern exactly where there are layers}}
nn.param @p : tensor<8x4xf32> layers [0, 2] from [#nn.source<"w", [8, 4]>]

// -----

// @param_c4
// expected-error@+1 {{expects 4 scales of w}}
nn.param @p : tensor<8x4xf32> from [#nn.source<"w", [8, 4] scaled <f8E4M3FN, "s", [2, 1], block [4, 2]>>]

// -----

// @param_c4, of another type
// expected-error@+1 {{expects scaled numbers of f8E4M3FN or f4E2M1FN}}
nn.param @p : tensor<8x4xf32> from [#nn.source<"w", [8, 4] scaled <f8E5M2, "s", [2, 2], block [4, 2]>>]

// -----

// @param_c4, in one pattern alone
// expected-error@+1 {{expects w.{i} and s to name layer and expert alike}}
nn.param @p : tensor<8x4xf32> layers [0, 2] from [#nn.source<"w.{i}", [8, 4] scaled <f8E4M3FN, "s", [2, 2], block [4, 2]>>]

// -----

// @param_c4, of another layer
// expected-error@+1 {{to name layer and expert alike}}
nn.param @p : tensor<8x4xf32> layers [0, 2] from [#nn.source<"w.{2i+1}", [8, 4] scaled <f8E4M3FN, "s.{2i}", [2, 2], block [4, 2]>>]

// -----

// @param_c4, blocks of nothing
// expected-error@+1 {{expects blocks [rows, columns] and numbers of scaled tensors}}
nn.param @p : tensor<8x4xf32> from [#nn.source<"w", [8, 4] scaled <f8E4M3FN, "s", [2, 2], block [4, 0]>>]

// -----

// Numbers of four bits lie two to a byte, and layers may take turns.
nn.param @p : tensor<8x64xf32> layers [0, 2] from [#nn.source<"w.{2i+1}", [8, 2, 16] scaled <f4E2M1FN, "s.{2i+1}", [8, 2], block [1, 32]>>]

// -----

nn.param @p : tensor<8x4xf32> from [#nn.source<"w", [8, 4]>]
func.func @param_get_c1() {
  // expected-error@+1 {{expects @p to name an nn.param of type 'tensor<4x8xf32>'}}
  %w = nn.param_get @p : tensor<4x8xf32>
  return
}

// -----

nn.param @p : tensor<8x4xf32> from [#nn.source<"w", [8, 4]>]
func.func @param_get_c2(%i: index) {
  // expected-error@+1 {{expects a layer index exactly where @p has layers}}
  %w = nn.param_get @p[%i] : tensor<8x4xf32>
  return
}

// -----

// expected-error@+1 {{expects (ids, positions, cu_seqlens) as i32 vectors and one result [T, V]}}
nn.model @model_c1(%ids: tensor<?xi32>) -> tensor<?x4xf32> {
  %x = "test.make"() : () -> tensor<?x4xf32>
  nn.return %x : tensor<?x4xf32>
}

// -----

func.func @layers_c1(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects 0 <= lower < upper, got 3 to 3}}
  %y = nn.layers 3 to 3 (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%i: index, %h: tensor<?x4xf32>):
    nn.yield %h : tensor<?x4xf32>
  }
  return
}

// -----

func.func @layers_c2(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects a body of an index, 1 carried values and 0 slices}}
  %y = nn.layers 0 to 3 (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%h: tensor<?x4xf32>):
    nn.yield %h : tensor<?x4xf32>
  }
  return
}

// -----

func.func @layers_c3(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects the body to yield 1 values, got 2}}
  %y = nn.layers 0 to 3 (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%i: index, %h: tensor<?x4xf32>):
    nn.yield %h, %h : tensor<?x4xf32>, tensor<?x4xf32>
  }
  return
}

// -----

func.func @layers_c4(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects stacked result 1 of type 'tensor<3x?x4xf32>', got 'tensor<2x?x4xf32>'}}
  %y:2 = nn.layers 0 to 3 (%x) : (tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<2x?x4xf32>) {
  ^bb0(%i: index, %h: tensor<?x4xf32>):
    nn.yield %h, %h : tensor<?x4xf32>, tensor<?x4xf32>
  }
  return
}

// -----

func.func @attention_c1(%x: tensor<?x4xf32>, %r: tensor<?x4xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects @n to name an nn.param}}
  %y = nn.attention %x rope(%r) positions(%p) seqs(%s) norm(@n, 1.0e-5) q(@n) k(@n) v(@n) o(@n) heads(1, 1, 4) scale(1.0) : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return
}

// -----

func.func @attention_c2(%x: tensor<?x4xf32>, %r: tensor<?x4xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects kv_heads to divide heads, got 2 and 3}}
  %y = nn.attention %x rope(%r) positions(%p) seqs(%s) norm(@n, 1.0e-5) q(@n) k(@n) v(@n) o(@n) heads(3, 2, 4) scale(1.0) : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return
}

// -----

func.func @latent_attention_c1(%x: tensor<?x4xf32>, %r: tensor<?x4xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{to name an nn.param}}
  %y = nn.latent_attention %x rope(%r) positions(%p) seqs(%s) norm(@n, 1.0e-5) q(@n) kv_a(@n, @n) up(@n, @n) o(@n) heads(1) dims(4, 4, 4, 4) latent_eps(1.0e-6) scale(1.0) : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return
}

// -----

func.func @latent_attention_c2(%x: tensor<?x4xf32>, %r: tensor<?x4xf32>, %p: tensor<?xi32>, %s: tensor<?xi32>) {
  // expected-error@+1 {{expects q_a and q_norm together}}
  %y = nn.latent_attention %x rope(%r) positions(%p) seqs(%s) norm(@n, 1.0e-5) q(@n) kv_a(@n, @n) up(@n, @n) o(@n) heads(1) dims(4, 4, 4, 4) latent_eps(1.0e-6) scale(1.0) {q_a = @n} : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?xi32>, tensor<?xi32> -> tensor<?x4xf32>
  return
}

// -----

func.func @mlp_c1(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{to name an nn.param}}
  %y = nn.mlp %x norm(@n, 1.0e-5) glu(silu, @n, @n) : tensor<?x4xf32> -> tensor<?x4xf32>
  return
}

// -----

func.func @head_c1(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{to name an nn.param}}
  %y = nn.head %x norm(@n, 1.0e-5) weight(@n) : tensor<?x4xf32> -> tensor<?x9xf32>
  return
}

// -----

nn.param @few : tensor<4xf32> layers [1, 3] from [#nn.source<"l.{i}.w", [4]>]
func.func @param_get_layers(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %y = nn.layers 1 to 4 (%x) : (tensor<?x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%i: index, %h: tensor<?x4xf32>):
    // expected-error@+1 {{expects @few to have layers 1 to 4, got [1, 3]}}
    %w = nn.param_get @few[%i] : tensor<4xf32>
    %n = nn.rms_norm %h, %w eps(1.0e-5) : tensor<?x4xf32>, tensor<4xf32>
    nn.yield %n : tensor<?x4xf32>
  }
  return %y : tensor<?x4xf32>
}

// -----

// expected-error@+1 {{expects a body of one block}}
nn.model @bodyless(%ids: tensor<?xi32>, %positions: tensor<?xi32>, %seqs: tensor<?xi32>) -> tensor<?x4xf32>
