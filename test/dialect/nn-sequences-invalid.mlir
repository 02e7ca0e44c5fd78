// RUN: moe-opt %s --split-input-file --verify-diagnostics --allow-unregistered-dialect

func.func @fill_c1(%x: tensor<?x8xf32>) {
  // expected-error@+1 {{expects a result of static dimensions behind the rows of `like`, got 'tensor<8x?xf32>' like 'tensor<?x8xf32>'}}
  %0 = nn.fill 0.5 like %x : tensor<?x8xf32> -> tensor<8x?xf32>
  return
}

// -----

func.func @fill_c1(%x: tensor<f32>) {
  // expected-error@+1 {{expects a result of static dimensions behind the rows of `like`, got 'tensor<?xf32>' like 'tensor<f32>'}}
  %0 = nn.fill 0.5 like %x : tensor<f32> -> tensor<?xf32>
  return
}

// -----

func.func @fill_c2(%x: tensor<?x8xf32>) {
  // expected-error@+1 {{expects an integer for 'tensor<?x8xi32>'}}
  %0 = nn.fill 0.5 like %x : tensor<?x8xf32> -> tensor<?x8xi32>
  return
}

// -----

func.func @segment_reduce_c1(%x: tensor<f32>, %c: tensor<?xi32>) {
  // expected-error@+1 {{nn.segment_reduce expects x [T, ..], got 'tensor<f32>'}}
  %0 = nn.segment_reduce sum %x seqs(%c) : tensor<f32>, tensor<?xi32>
  return
}

// -----

func.func @segment_reduce_c2(%x: tensor<?x4xf32>, %c: tensor<0xi32>) {
  // expected-error@+1 {{nn.segment_reduce expects cu_seqlens [B+1], got 'tensor<0xi32>'}}
  %0 = nn.segment_reduce sum %x seqs(%c) : tensor<?x4xf32>, tensor<0xi32>
  return
}

// -----

func.func @segment_softmax_c1(%x: tensor<f32>, %c: tensor<?xi32>) {
  // expected-error@+1 {{nn.segment_softmax expects x [T, ..], got 'tensor<f32>'}}
  %0 = nn.segment_softmax %x seqs(%c) : tensor<f32>, tensor<?xi32>
  return
}

// -----

func.func @segment_softmax_c2(%x: tensor<?x4xf32>, %c: tensor<0xi32>) {
  // expected-error@+1 {{nn.segment_softmax expects cu_seqlens [B+1], got 'tensor<0xi32>'}}
  %0 = nn.segment_softmax %x seqs(%c) : tensor<?x4xf32>, tensor<0xi32>
  return
}

// -----

func.func @segment_broadcast_c1(%x: tensor<f32>, %l: tensor<?x4xf32>, %c: tensor<?xi32>) {
  // expected-error@+1 {{nn.segment_broadcast expects x [B, ..] and like [T, ..], got 'tensor<f32>' and 'tensor<?x4xf32>'}}
  %0 = nn.segment_broadcast %x like %l seqs(%c) : tensor<f32>, tensor<?x4xf32>, tensor<?xi32>
  return
}

// -----

func.func @segment_broadcast_c2(%x: tensor<?x4xf32>, %c: tensor<?x1xi32>) {
  // expected-error@+1 {{nn.segment_broadcast expects cu_seqlens [B+1], got 'tensor<?x1xi32>'}}
  %0 = nn.segment_broadcast %x like %x seqs(%c) : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x1xi32>
  return
}

// -----

func.func @segment_linear_c1(%x: tensor<?x4xf32>, %w: tensor<2x3x5xf32>, %c: tensor<3xi32>) {
  // expected-error@+1 {{nn.segment_linear expects x [T, K] and w [B, N, K], got 'tensor<?x4xf32>' and 'tensor<2x3x5xf32>'}}
  %0 = nn.segment_linear %x, %w seqs(%c) : tensor<?x4xf32>, tensor<2x3x5xf32>, tensor<3xi32>
  return
}

// -----

func.func @segment_linear_c2(%x: tensor<?x4xf32>, %w: tensor<2x3x4xf32>, %c: tensor<i32>) {
  // expected-error@+1 {{nn.segment_linear expects cu_seqlens [B+1], got 'tensor<i32>'}}
  %0 = nn.segment_linear %x, %w seqs(%c) : tensor<?x4xf32>, tensor<2x3x4xf32>, tensor<i32>
  return
}

// -----

func.func @embedding_c3(%i: tensor<?xi32>, %t: tensor<9x2xi32>) {
  // expected-error@+1 {{expects integers of a table of integers, got 'tensor<?x2xf32>' of 'tensor<9x2xi32>'}}
  %0 = nn.embedding %i, %t : tensor<?xi32>, tensor<9x2xi32> -> tensor<?x2xf32>
  return
}

// -----

func.func @embedding_c3(%i: tensor<?xi32>, %t: tensor<9x2xf32>) {
  // expected-error@+1 {{expects integers of a table of integers, got 'tensor<?x2xi32>' of 'tensor<9x2xf32>'}}
  %0 = nn.embedding %i, %t : tensor<?xi32>, tensor<9x2xf32> -> tensor<?x2xi32>
  return
}
