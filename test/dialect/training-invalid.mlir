// RUN: moe-opt %s --split-input-file --verify-diagnostics

func.func @cross_entropy_c1(%x: tensor<?x65xf32>, %t: tensor<?x1xi32>) {
  // expected-error@+1 {{nn.cross_entropy expects x [T, V] and vectors [T], got 'tensor<?x65xf32>' and 'tensor<?x1xi32>'}}
  %0 = nn.cross_entropy %x, %t : tensor<?x65xf32>, tensor<?x1xi32>
  return
}

// -----

func.func @cross_entropy_grad_c1(%x: tensor<4x65xf32>, %t: tensor<4xi32>, %dy: tensor<3xf32>) {
  // expected-error@+1 {{nn.cross_entropy_grad expects x [T, V] and vectors [T], got 'tensor<4x65xf32>' and 'tensor<4xi32>', 'tensor<3xf32>'}}
  %0 = nn.cross_entropy_grad %x, %t, %dy : tensor<4x65xf32>, tensor<4xi32>, tensor<3xf32>
  return
}

// -----

func.func @head_loss_c1(%x: tensor<?x8xf32>, %w: tensor<65x9xf32>, %t: tensor<?xi32>, %dy: tensor<?xf32>) {
  // expected-error@+1 {{nn.head_loss expects x [T, K] and w [V, K], got 'tensor<?x8xf32>' and 'tensor<65x9xf32>'}}
  %0:3 = nn.head_loss %x, %w, %t dy(%dy : tensor<?xf32>) scale(1.0) : tensor<?x8xf32>, tensor<65x9xf32>, tensor<?xi32>
  return
}

// -----

func.func @head_loss_c2(%x: tensor<4x8xf32>, %w: tensor<65x8xf32>, %t: tensor<5xi32>, %dy: tensor<4xf32>) {
  // expected-error@+1 {{nn.head_loss expects x [T, V] and vectors [T], got 'tensor<4x8xf32>' and 'tensor<5xi32>', 'tensor<4xf32>'}}
  %0:3 = nn.head_loss %x, %w, %t dy(%dy : tensor<4xf32>) scale(1.0) : tensor<4x8xf32>, tensor<65x8xf32>, tensor<5xi32>
  return
}

// -----

func.func @sum_squares_c1(%x: tensor<?x8xf32>) {
  // expected-error@+1 {{nn.sum_squares expects tensors of static shape, got 'tensor<?x8xf32>'}}
  %0 = nn.sum_squares %x : tensor<?x8xf32>
  return
}

// -----

func.func @sum_squares_c1_types(%x: tensor<8xf32>, %z: tensor<8xf64>) {
  // expected-error@+1 {{nn.sum_squares expects tensors of static shape, got 'tensor<8xf32>', 'tensor<8xf64>'}}
  %0 = nn.sum_squares %x, %z : tensor<8xf32>, tensor<8xf64>
  return
}

// -----

func.func @sum_squares_c1_none() {
  // expected-error@+2 {{nn.sum_squares expects tensors of static shape}}
  // expected-error@+1 {{failed to infer returned types}}
  %0 = "nn.sum_squares"() : () -> tensor<f32>
  return
}

// -----

func.func @adamw_c1(%w: tensor<4xf32>, %m: tensor<5xf32>, %h: tensor<8xf32>) {
  // expected-error@+1 {{nn.adamw expects w, grad, m and v of one static shape, got 'tensor<4xf32>' and 'tensor<5xf32>'}}
  %0:3 = nn.adamw %w, %w, %m, %w, %h : tensor<4xf32>, tensor<4xf32>, tensor<5xf32>, tensor<4xf32>, tensor<8xf32>
  return
}

// -----

func.func @adamw_c1_dynamic(%w: tensor<?xf32>, %h: tensor<8xf32>) {
  // expected-error@+1 {{nn.adamw expects w, grad, m and v of one static shape, got 'tensor<?xf32>' and 'tensor<?xf32>'}}
  %0:3 = nn.adamw %w, %w, %w, %w, %h : tensor<?xf32>, tensor<?xf32>, tensor<?xf32>, tensor<?xf32>, tensor<8xf32>
  return
}

// -----

func.func @adamw_c2(%w: tensor<4xf32>, %h: tensor<7xf32>) {
  // expected-error@+1 {{nn.adamw expects hyper [8], got 'tensor<7xf32>'}}
  %0:3 = nn.adamw decayed %w, %w, %w, %w, %h : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<7xf32>
  return
}
