// RUN: moe-opt %s --split-input-file --verify-diagnostics --verify-local

// A program partitioned for more ranks than the mesh has.
module attributes {moe.mesh = {dp = 2, ep = 2}} {
  func.func @wrong_size(%rows: tensor<?x4xf32>, %plan: !moe.plan<8, 2>) -> tensor<?x4xf32> {
    // expected-error@+1 {{exchanges along ep with 4 ranks; the mesh has ep = 2}}
    %a, %l, %f = moe.all_to_all_v %rows, %plan ranks(4) axis("ep") : tensor<?x4xf32>, !moe.plan<8, 2>
    %b = moe.all_to_all_v_back %a, %l, %f, %plan axis("ep") : tensor<?x4xf32>, !moe.plan<2, 1>, tensor<5xi32>, !moe.plan<8, 2>
    return %b : tensor<?x4xf32>
  }
}

// -----

// Rows that nobody returns.
module attributes {moe.mesh = {dp = 2, ep = 2}} {
  func.func @lost(%rows: tensor<?x4xf32>, %plan: !moe.plan<8, 2>) -> tensor<?x4xf32> {
    // expected-error@+1 {{sends rows that never come back}}
    %a, %l, %f = moe.all_to_all_v %rows, %plan ranks(2) axis("ep") : tensor<?x4xf32>, !moe.plan<8, 2>
    return %a : tensor<?x4xf32>
  }
}

// -----

// A forgotten exchange: every rank would run all experts on its own rows.
module attributes {moe.mesh = {dp = 2, ep = 2}} {
  func.func @forgotten(%x: tensor<?x4xf32>, %plan: !moe.plan<8, 2>, %w: tensor<8x4x4xf32>) -> tensor<?x4xf32> {
    %rows = moe.dispatch %x, %plan : tensor<?x4xf32>, !moe.plan<8, 2>
    // expected-error@+1 {{runs all experts on each of 2 ranks; their rows must go to the rank of the expert}}
    %y = moe.experts %rows, %plan params(%w) : (tensor<?x4xf32>, !moe.plan<8, 2>, tensor<8x4x4xf32>) -> tensor<?x4xf32> {
    ^bb0(%r: tensor<?x4xf32>, %u: tensor<4x4xf32>):
      %h = nn.linear %r, %u : tensor<?x4xf32>, tensor<4x4xf32>
      moe.yield %h : tensor<?x4xf32>
    }
    return %y : tensor<?x4xf32>
  }
}

// -----

// Rows of one exchange returned by the plan of another.
module attributes {moe.mesh = {dp = 2, ep = 2}} {
  func.func @mixed_up(%rows: tensor<?x4xf32>, %p: !moe.plan<8, 2>, %q: !moe.plan<8, 2>) -> tensor<?x4xf32> {
    %a, %l, %f = moe.all_to_all_v %rows, %p ranks(2) axis("ep") : tensor<?x4xf32>, !moe.plan<8, 2>
    // expected-error@+1 {{expects the plans, axis and counts of one moe.all_to_all_v}}
    %b = moe.all_to_all_v_back %a, %l, %f, %q axis("ep") : tensor<?x4xf32>, !moe.plan<4, 1>, tensor<3xi32>, !moe.plan<8, 2>
    return %b : tensor<?x4xf32>
  }
}

// -----

// An exchange in a program for one device.
func.func @no_mesh(%rows: tensor<?x4xf32>, %plan: !moe.plan<8, 2>) -> tensor<?x4xf32> {
  // expected-error@+1 {{exchanges along ep with 2 ranks; the mesh has ep = 1}}
  %a, %l, %f = moe.all_to_all_v %rows, %plan ranks(2) axis("ep") : tensor<?x4xf32>, !moe.plan<8, 2>
  %b = moe.all_to_all_v_back %a, %l, %f, %plan axis("ep") : tensor<?x4xf32>, !moe.plan<4, 1>, tensor<3xi32>, !moe.plan<8, 2>
  return %b : tensor<?x4xf32>
}
