// RUN: moe-opt %s --moe-lower-gpu --split-input-file --verify-diagnostics

func.func @experts(%x: tensor<?x8192xf32>) -> tensor<?x2xf32> {
  // expected-error@+1 {{has code for GPUs up to 4096 experts, got 8192}}
  %p, %w = moe.route_permute %x params() : (tensor<?x8192xf32>) -> (!moe.plan<8192, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x8192xf32>):
    %i = moe.select %t top_k(2) : tensor<?x8192xf32>
    %y = moe.pick %t, %i : tensor<?x8192xf32>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  return %w : tensor<?x2xf32>
}

// -----

func.func @choices(%x: tensor<?x64xf32>) -> tensor<?x33xf32> {
  // expected-error@+1 {{has code for GPUs up to 32 choices, got 33}}
  %p, %w = moe.route_permute %x params() : (tensor<?x64xf32>) -> (!moe.plan<64, 33>, tensor<?x33xf32>) {
  ^bb0(%t: tensor<?x64xf32>):
    %i = moe.select %t top_k(33) : tensor<?x64xf32>
    %y = moe.pick %t, %i : tensor<?x64xf32>, tensor<?x33xi32>
    moe.yield %i, %y : tensor<?x33xi32>, tensor<?x33xf32>
  }
  return %w : tensor<?x33xf32>
}

// -----

func.func @unknown(%x: tensor<?x64xf32>, %g: tensor<8x64xf32>) -> tensor<?x2xf32> {
  %p, %w = moe.route_permute %x params(%g) : (tensor<?x64xf32>, tensor<8x64xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x64xf32>, %h: tensor<8x64xf32>):
    %z = nn.linear %t, %h : tensor<?x64xf32>, tensor<8x64xf32>
    // expected-error@+1 {{'math.sin' op has no code for GPUs}}
    %s = math.sin %z : tensor<?x8xf32>
    %i = moe.select %s top_k(2) : tensor<?x8xf32>
    %y = moe.pick %s, %i : tensor<?x8xf32>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  return %w : tensor<?x2xf32>
}

// -----

func.func @two_products(%x: tensor<?x64xf32>, %g: tensor<64x64xf32>) -> tensor<?x2xf32> {
  %p, %w = moe.route_permute %x params(%g) : (tensor<?x64xf32>, tensor<64x64xf32>) -> (!moe.plan<64, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x64xf32>, %h: tensor<64x64xf32>):
    %z = nn.linear %t, %h : tensor<?x64xf32>, tensor<64x64xf32>
    // expected-error@+1 {{has no code for GPUs on rows that are not those of the tokens}}
    %s = nn.linear %z, %h : tensor<?x64xf32>, tensor<64x64xf32>
    %i = moe.select %s top_k(2) : tensor<?x64xf32>
    %y = moe.pick %s, %i : tensor<?x64xf32>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  return %w : tensor<?x2xf32>
}

// -----

func.func @f64(%x: tensor<?x64xf64>) -> tensor<?x2xf64> {
  // expected-error@+1 {{has code for GPUs with f32 weights, got 'tensor<?x2xf64>'}}
  %p, %w = moe.route_permute %x params() : (tensor<?x64xf64>) -> (!moe.plan<64, 2>, tensor<?x2xf64>) {
  ^bb0(%t: tensor<?x64xf64>):
    %i = moe.select %t top_k(2) : tensor<?x64xf64>
    %y = moe.pick %t, %i : tensor<?x64xf64>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf64>
  }
  return %w : tensor<?x2xf64>
}

// -----

// A router without a product reads scores that lie in memory.
func.func @from_memory(%x: tensor<?x64xf32>) -> tensor<?x2xf32> {
  %p, %w = moe.route_permute %x params() : (tensor<?x64xf32>) -> (!moe.plan<64, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x64xf32>):
    // expected-error@+1 {{has no code for GPUs with an operand of 'tensor<?x64xf32>' from memory}}
    %i = moe.select %t top_k(2) : tensor<?x64xf32>
    %y = moe.pick %t, %i : tensor<?x64xf32>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  return %w : tensor<?x2xf32>
}
