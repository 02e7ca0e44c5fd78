// RUN: moe-opt %s --split-input-file --verify-diagnostics --allow-unregistered-dialect

// expected-error@+1 {{expects experts >= 1 and k >= 1, got 4 and 0}}
func.func private @plan(!moe.plan<4, 0>)

// -----

// expected-error@+1 {{expects experts >= 1 and k >= 1, got 0 and 2}}
func.func private @plan(!moe.plan<0, 2>)

// -----

// expected-error@+1 {{expects a first argument [T, D]}}
moe.router @router_c1(%x: tensor<?xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %p, %w = "test.make"() : () -> (!moe.plan<4, 2>, tensor<?x2xf32>)
  moe.return %p, %w : !moe.plan<4, 2>, tensor<?x2xf32>
}

// -----

// expected-error@+1 {{expects results of a plan and f32 weights [T, K]}}
moe.router @router_c2(%x: tensor<?x8xf32>) -> (!moe.plan<4, 2>, tensor<?x3xf32>) {
  %p, %w = "test.make"() : () -> (!moe.plan<4, 2>, tensor<?x3xf32>)
  moe.return %p, %w : !moe.plan<4, 2>, tensor<?x3xf32>
}

// -----

// expected-error@+1 {{expects results of a plan and f32 weights [T, K]}}
moe.router @router_c2(%x: tensor<?x8xf32>) -> (tensor<?x2xf32>, !moe.plan<4, 2>) {
  %p, %w = "test.make"() : () -> (!moe.plan<4, 2>, tensor<?x2xf32>)
  moe.return %w, %p : tensor<?x2xf32>, !moe.plan<4, 2>
}

// -----

// expected-error@+1 {{expects results of a plan and f32 weights [T, K]}}
moe.router @router_c2(%x: tensor<?x8xf32>) {
  moe.return
}

// -----

// expected-error@+1 {{expects moe.input to be ids, positions, seqs or key, got "logits" at argument 1}}
moe.router @router_c3(%x: tensor<?x8xf32>, %i: tensor<?xi32> {moe.input = "logits"}) -> tensor<?x8xf32> {
  moe.return %x : tensor<?x8xf32>
}

// -----

// expected-error@+1 {{expects moe.input to be ids, positions, seqs or key, got "ids" at argument 0}}
moe.router @router_c3(%x: tensor<?x8xf32> {moe.input = "ids"}) -> tensor<?x8xf32> {
  moe.return %x : tensor<?x8xf32>
}

// -----

// expected-error@+1 {{expects moe.input to be ids, positions, seqs or key, got unit at argument 1}}
moe.router @router_c3(%x: tensor<?x8xf32>, %i: tensor<?xi32> {moe.input}) -> tensor<?x8xf32> {
  moe.return %x : tensor<?x8xf32>
}

// -----

// expected-error@+1 {{expects a scalar loss, got 'tensor<?x8xf32>'}}
moe.router @router_c4(%x: tensor<?x8xf32>) -> (tensor<?x8xf32> {moe.loss = "z"}) {
  moe.return %x : tensor<?x8xf32>
}

// -----

// expected-error@+1 {{expects a state of the type of its argument, got 'tensor<?x8xf32>' for 1 : i64}}
moe.router @router_c4(%x: tensor<?x8xf32>, %b: tensor<8xf32>) -> (tensor<?x8xf32> {moe.state = 1 : i64}) {
  moe.return %x : tensor<?x8xf32>
}

// -----

// expected-error@+1 {{expects a state of the type of its argument, got 'tensor<8xf32>' for 2 : i64}}
moe.router @router_c4(%x: tensor<?x8xf32>, %b: tensor<8xf32>) -> (tensor<8xf32> {moe.state = 2 : i64}) {
  moe.return %b : tensor<8xf32>
}

// -----

moe.router @r(%x: tensor<?x8xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %p, %w = "test.make"() : () -> (!moe.plan<4, 2>, tensor<?x2xf32>)
  moe.return %p, %w : !moe.plan<4, 2>, tensor<?x2xf32>
}
func.func @route_c2(%x: tensor<?x8xf32>) {
  // expected-error@+1 {{expects 2 results of @r, got 1}}
  %p = moe.route @r(%x) : (tensor<?x8xf32>) -> !moe.plan<4, 2>
  return
}

// -----

moe.router @r(%x: tensor<?x8xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %p, %w = "test.make"() : () -> (!moe.plan<4, 2>, tensor<?x2xf32>)
  moe.return %p, %w : !moe.plan<4, 2>, tensor<?x2xf32>
}
func.func @route_c2(%x: tensor<?x8xf32>) {
  // expected-error@+1 {{expects a result of type 'tensor<?x2xf32>' of @r, got 'tensor<?x3xf32>'}}
  %p, %w = moe.route @r(%x) : (tensor<?x8xf32>) -> (!moe.plan<4, 2>, tensor<?x3xf32>)
  return
}

// -----

moe.router @r(%x: tensor<?x8xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %p, %w = "test.make"() : () -> (!moe.plan<4, 2>, tensor<?x2xf32>)
  moe.return %p, %w : !moe.plan<4, 2>, tensor<?x2xf32>
}
func.func @route_c1(%x: tensor<?x9xf32>) {
  // expected-error@+1 {{expects an operand of type 'tensor<?x8xf32>' for @r, got 'tensor<?x9xf32>'}}
  %p, %w = moe.route @r(%x) : (tensor<?x9xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>)
  return
}

// -----

func.func @group_mask_c1(%s: tensor<?x7xf32>) {
  // expected-error@+1 {{moe.group_mask expects s [T, E] with groups dividing E}}
  %y = moe.group_mask %s groups(2) keep(1) score(max) fill(0.0) : tensor<?x7xf32>
  return
}

// -----

func.func @group_mask_c2(%s: tensor<?x8xf32>) {
  // expected-error@+1 {{moe.group_mask expects 1 <= keep <= groups, got 3 of 2}}
  %y = moe.group_mask %s groups(2) keep(3) score(max) fill(0.0) : tensor<?x8xf32>
  return
}

// -----

func.func @group_mask_c3(%s: tensor<?x8xf32>) {
  // expected-error@+2 {{moe.group_mask expects 1 <= top <= 4, got 5}}
  // expected-error@+1 {{failed to infer returned types}}
  %y = moe.group_mask %s groups(2) keep(1) score(sum_top) fill(0.0) {top = 5 : i64} : tensor<?x8xf32>
  return
}

// -----

func.func @select_c1(%s: tensor<?x8xf32>) {
  // expected-error@+1 {{moe.select expects s [T, E] and 1 <= k <= E, got 'tensor<?x8xf32>' and k = 9}}
  %y = moe.select %s top_k(9) : tensor<?x8xf32>
  return
}

// -----

func.func @select_c2(%s: tensor<?x8xf32>, %b: tensor<7xf32>) {
  // expected-error@+1 {{moe.select expects a bias [E] with E = 8}}
  %y = moe.select %s bias(%b : tensor<7xf32>) top_k(2) : tensor<?x8xf32>
  return
}

// -----

func.func @pick_c1(%s: tensor<?x8xf32>, %i: tensor<?xi32>) {
  // expected-error@+1 {{moe.pick expects s [T, E] and idx [T, K]}}
  %y = moe.pick %s, %i : tensor<?x8xf32>, tensor<?xi32>
  return
}

// -----

func.func @scatter_pick_c1(%g: tensor<?x2xf32>, %i: tensor<?x3xi32>) {
  // expected-error@+1 {{moe.scatter_pick expects g and idx [T, K] and experts >= 1}}
  %y = moe.scatter_pick %g, %i experts(4) : tensor<?x2xf32>, tensor<?x3xi32>
  return
}

// -----

func.func @make_plan_c1(%i: tensor<?xi32>) {
  // expected-error@+1 {{moe.make_plan expects idx [T, K] with static K}}
  %p = moe.make_plan %i experts(4) : tensor<?xi32>
  return
}

// -----

func.func @make_plan_c2(%i: tensor<?x3xi32>) {
  // expected-error@+1 {{moe.make_plan expects experts >= 1, got 0}}
  %p = moe.make_plan %i experts(0) : tensor<?x3xi32>
  return
}

// -----

func.func @dispatch_c1(%x: tensor<?x2x4xf32>, %p: !moe.plan<4, 2>) {
  // expected-error@+1 {{moe.dispatch expects x [T, D]}}
  %r = moe.dispatch %x, %p : tensor<?x2x4xf32>, !moe.plan<4, 2>
  return
}

// -----

func.func @experts_c1(%x: tensor<?x2x4xf32>, %p: !moe.plan<4, 2>) {
  // expected-error@+1 {{expects rows [R, D]}}
  %y = moe.experts %x, %p params() : (tensor<?x2x4xf32>, !moe.plan<4, 2>) -> tensor<?x2x4xf32> {
  ^bb0(%t: tensor<?x2x4xf32>):
    moe.yield %t : tensor<?x2x4xf32>
  }
  return
}

// -----

func.func @experts_c2(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<3x4xf32>) {
  // expected-error@+1 {{expects parameters that start with 4 experts, got 'tensor<3x4xf32>'}}
  %y = moe.experts %x, %p params(%w) : (tensor<?x4xf32>, !moe.plan<4, 2>, tensor<3x4xf32>) -> tensor<?x4xf32> {
  ^bb0(%t: tensor<?x4xf32>, %v: tensor<4xf32>):
    moe.yield %t : tensor<?x4xf32>
  }
  return
}

// -----

func.func @experts_c3(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<4x5xf32>) {
  // expected-error@+1 {{expects slices of the parameters, got 'tensor<4xf32>' of 'tensor<4x5xf32>'}}
  %y = moe.experts %x, %p params(%w) : (tensor<?x4xf32>, !moe.plan<4, 2>, tensor<4x5xf32>) -> tensor<?x4xf32> {
  ^bb0(%t: tensor<?x4xf32>, %v: tensor<4xf32>):
    moe.yield %t : tensor<?x4xf32>
  }
  return
}

// -----

func.func @experts_c4(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>) {
  // expected-error@+1 {{expects the region to yield one value of type 'tensor<?x5xf32>'}}
  %y = moe.experts %x, %p params() : (tensor<?x4xf32>, !moe.plan<4, 2>) -> tensor<?x5xf32> {
  ^bb0(%t: tensor<?x4xf32>):
    moe.yield %t : tensor<?x4xf32>
  }
  return
}

// -----

func.func @experts_c5(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>) {
  %y = moe.experts %x, %p params() : (tensor<?x4xf32>, !moe.plan<4, 2>) -> tensor<?x4xf32> {
  ^bb0(%t: tensor<?x4xf32>):
    // expected-error@+1 {{is not row-wise and cannot stand in the body of experts}}
    %s = nn.softmax %t axis(0) : tensor<?x4xf32>
    moe.yield %s : tensor<?x4xf32>
  }
  return
}

// -----

func.func @combine_c1(%r: tensor<?x2x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<?x2xf32>) {
  // expected-error@+1 {{moe.combine expects rows [R, D]}}
  %y = moe.combine %r, %p, %w : tensor<?x2x4xf32>, !moe.plan<4, 2>, tensor<?x2xf32>
  return
}

// -----

func.func @combine_c2(%r: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<?x3xf32>) {
  // expected-error@+1 {{moe.combine expects weights [T, K] with the K of the plan}}
  %y = moe.combine %r, %p, %w : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<?x3xf32>
  return
}

// -----

func.func @grouped_matmul_c1(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<3x5x4xf32>) {
  // expected-error@+1 {{moe.grouped_matmul expects x [R, K] and w [4, N, K]}}
  %y = moe.grouped_matmul %x, %p, %w : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<3x5x4xf32>
  return
}

// -----

func.func @grouped_matmul_c2(%x: tensor<?x4xf32>, %p: !moe.plan<4, 2>, %w: tensor<4x5x4xf32>, %b: tensor<4x6xf32>) {
  // expected-error@+1 {{moe.grouped_matmul expects a bias [E, N]}}
  %y = moe.grouped_matmul %x, %p, %w bias(%b : tensor<4x6xf32>) : tensor<?x4xf32>, !moe.plan<4, 2>, tensor<4x5x4xf32>
  return
}

// -----

func.func @grouped_broadcast_c1(%v: tensor<3x5xf32>, %p: !moe.plan<4, 2>) {
  // expected-error@+1 {{moe.grouped_broadcast expects v [E, N]}}
  %y = moe.grouped_broadcast %v, %p : tensor<3x5xf32>, !moe.plan<4, 2>
  return
}

// -----

func.func @layer_c1(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects @r to name a moe.router}}
  %y = moe.layer %x router(@r, []) experts(4, segments = 1, []) : tensor<?x4xf32> -> tensor<?x4xf32> body {
  ^bb0(%t: tensor<?x4xf32>):
    moe.yield %t : tensor<?x4xf32>
  } shared_body {
  }
  return
}

// -----

func.func @layer_c2(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects experts >= 1 and segments >= 1, got 4 and 0}}
  %y = moe.layer %x router(@r, []) experts(4, segments = 0, []) : tensor<?x4xf32> -> tensor<?x4xf32> body {
  ^bb0(%t: tensor<?x4xf32>):
    moe.yield %t : tensor<?x4xf32>
  } shared_body {
  }
  return
}

// -----

nn.param @w : tensor<3x5x4xf32> from [#nn.source<"e.{e}.w", [5, 4]>]
moe.router @r(%x: tensor<?x4xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>) {
  %p, %w = "test.make"() : () -> (!moe.plan<4, 2>, tensor<?x2xf32>)
  moe.return %p, %w : !moe.plan<4, 2>, tensor<?x2xf32>
}
func.func @layer_c3(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects expert parameters that start with 4 experts}}
  %y = moe.layer %x router(@r, []) experts(4, segments = 1, [@w]) : tensor<?x4xf32> -> tensor<?x4xf32> body {
  ^bb0(%t: tensor<?x4xf32>, %v: tensor<5x4xf32>):
    moe.yield %t : tensor<?x4xf32>
  } shared_body {
  }
  return
}

// -----

func.func @layer_c4(%x: tensor<?x4xf32>) {
  // expected-error@+1 {{expects a shared body exactly with shared parameters}}
  %y = moe.layer %x router(@r, []) experts(4, segments = 1, []) shared([@w]) : tensor<?x4xf32> -> tensor<?x4xf32> body {
  ^bb0(%t: tensor<?x4xf32>):
    moe.yield %t : tensor<?x4xf32>
  } shared_body {
  }
  return
}

// -----

// expected-error@+1 {{expects a body of one block}}
moe.router @bodyless(%x: tensor<?x4xf32>, %w: tensor<4x4xf32>) -> (!moe.plan<4, 2>, tensor<?x2xf32>)
