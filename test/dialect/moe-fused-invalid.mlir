// RUN: moe-opt %s --split-input-file --verify-diagnostics --allow-unregistered-dialect

func.func @route_permute_c1(%x: tensor<?x2x4xf32>) {
  // expected-error@+1 {{expects x [T, D], got 'tensor<?x2x4xf32>'}}
  %p, %w = moe.route_permute %x params() : (tensor<?x2x4xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x2x4xf32>):
    %i, %y = "test.make"() : () -> (tensor<?x2xi32>, tensor<?x2xf32>)
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  return
}

// -----

func.func @route_permute_c2(%x: tensor<?x4xf32>, %g: tensor<4x4xf32>) {
  // expected-error@+1 {{expects a region of x and 1 parameters}}
  %p, %w = moe.route_permute %x params(%g) : (tensor<?x4xf32>, tensor<4x4xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x4xf32>):
    %i = moe.select %t top_k(2) : tensor<?x4xf32>
    %y = moe.pick %t, %i : tensor<?x4xf32>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  return
}

// -----

// Three choices for a plan of two.
func.func @route_permute_c3(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects the region to yield i32 [T, 2] and 'tensor<?x2xf32>'}}
  %p, %w = moe.route_permute %x params() : (tensor<?x4xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x4xf32>):
    %i = moe.select %t top_k(3) : tensor<?x4xf32>
    %y = moe.pick %t, %i : tensor<?x4xf32>, tensor<?x3xi32>
    moe.yield %i, %y : tensor<?x3xi32>, tensor<?x3xf32>
  }
  return
}

// -----

// Scores that tokens share out among each other.
func.func @route_permute_c4(%x: tensor<?x4xf32>) {
  %p, %w = moe.route_permute %x params() : (tensor<?x4xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  ^bb0(%t: tensor<?x4xf32>):
    // expected-error@+1 {{is not row-wise and cannot stand in moe.route_permute}}
    %s = nn.softmax %t axis(0) : tensor<?x4xf32>
    %i = moe.select %s top_k(2) : tensor<?x4xf32>
    %y = moe.pick %s, %i : tensor<?x4xf32>, tensor<?x2xi32>
    moe.yield %i, %y : tensor<?x2xi32>, tensor<?x2xf32>
  }
  return
}
