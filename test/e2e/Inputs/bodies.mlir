// Experts with other bodies than a gated MLP. All choose 2 of 6 experts by the given scores.

// Low-rank adapters beside a shared matrix (MoLoRA, 2024): base(x) + combine(B_e(A_e(x))).
func.func @lora(%x: tensor<?x20xf32>, %s: tensor<?x6xf32>, %base: tensor<18x20xf32>, %a: tensor<6x3x20xf32>, %b: tensor<6x18x3xf32>) -> tensor<?x18xf32> {
  %idx = moe.select %s top_k(2) : tensor<?x6xf32>
  %w = moe.pick %s, %idx : tensor<?x6xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(6) : tensor<?x2xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x20xf32>, !moe.plan<6, 2>
  %y = moe.experts %rows, %plan params(%a, %b) : (tensor<?x20xf32>, !moe.plan<6, 2>, tensor<6x3x20xf32>, tensor<6x18x3xf32>) -> tensor<?x18xf32> {
  ^bb0(%r: tensor<?x20xf32>, %down: tensor<3x20xf32>, %up: tensor<18x3xf32>):
    %h = nn.linear %r, %down : tensor<?x20xf32>, tensor<3x20xf32>
    %o = nn.linear %h, %up : tensor<?x3xf32>, tensor<18x3xf32>
    moe.yield %o : tensor<?x18xf32>
  }
  %sum = moe.combine %y, %plan, %w : tensor<?x18xf32>, !moe.plan<6, 2>, tensor<?x2xf32>
  %own = nn.linear %x, %base : tensor<?x20xf32>, tensor<18x20xf32>
  %out = arith.addf %own, %sum : tensor<?x18xf32>
  return %out : tensor<?x18xf32>
}

// Vectors that scale activations (MoV, Zadouri et al. 2024, on (IA)^3): no matrix of an expert at all.
func.func @ia3(%x: tensor<?x20xf32>, %s: tensor<?x6xf32>, %v: tensor<6x20xf32>) -> tensor<?x20xf32> {
  %idx = moe.select %s top_k(2) : tensor<?x6xf32>
  %w = moe.pick %s, %idx : tensor<?x6xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(6) : tensor<?x2xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x20xf32>, !moe.plan<6, 2>
  %y = moe.experts %rows, %plan params(%v) : (tensor<?x20xf32>, !moe.plan<6, 2>, tensor<6x20xf32>) -> tensor<?x20xf32> {
  ^bb0(%r: tensor<?x20xf32>, %scale: tensor<20xf32>):
    %all = nn.broadcast %scale like %r : tensor<?x20xf32> axis(0) : tensor<20xf32> -> tensor<?x20xf32>
    %o = arith.mulf %r, %all : tensor<?x20xf32>
    moe.yield %o : tensor<?x20xf32>
  }
  %sum = moe.combine %y, %plan, %w : tensor<?x20xf32>, !moe.plan<6, 2>, tensor<?x2xf32>
  return %sum : tensor<?x20xf32>
}

// A plain MLP with biases and a squared ReLU.
func.func @mlp(%x: tensor<?x20xf32>, %s: tensor<?x6xf32>, %up: tensor<6x33x20xf32>, %ub: tensor<6x33xf32>, %down: tensor<6x20x33xf32>, %db: tensor<6x20xf32>) -> tensor<?x20xf32> {
  %idx = moe.select %s top_k(2) : tensor<?x6xf32>
  %w = moe.pick %s, %idx : tensor<?x6xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(6) : tensor<?x2xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x20xf32>, !moe.plan<6, 2>
  %y = moe.experts %rows, %plan params(%up, %ub, %down, %db) : (tensor<?x20xf32>, !moe.plan<6, 2>, tensor<6x33x20xf32>, tensor<6x33xf32>, tensor<6x20x33xf32>, tensor<6x20xf32>) -> tensor<?x20xf32> {
  ^bb0(%r: tensor<?x20xf32>, %u: tensor<33x20xf32>, %ubias: tensor<33xf32>, %d: tensor<20x33xf32>, %dbias: tensor<20xf32>):
    %h = nn.linear %r, %u bias(%ubias : tensor<33xf32>) : tensor<?x20xf32>, tensor<33x20xf32>
    %p = nn.activate relu %h : tensor<?x33xf32>
    %q = arith.mulf %p, %p : tensor<?x33xf32>
    %o = nn.linear %q, %d bias(%dbias : tensor<20xf32>) : tensor<?x33xf32>, tensor<20x33xf32>
    moe.yield %o : tensor<?x20xf32>
  }
  %sum = moe.combine %y, %plan, %w : tensor<?x20xf32>, !moe.plan<6, 2>, tensor<?x2xf32>
  return %sum : tensor<?x20xf32>
}

// A residual bottleneck adapter with a norm: rows plus what the expert adds to them.
func.func @adapter(%x: tensor<?x20xf32>, %s: tensor<?x6xf32>, %n: tensor<6x20xf32>, %down: tensor<6x5x20xf32>, %up: tensor<6x20x5xf32>) -> tensor<?x20xf32> {
  %idx = moe.select %s top_k(2) : tensor<?x6xf32>
  %w = moe.pick %s, %idx : tensor<?x6xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(6) : tensor<?x2xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x20xf32>, !moe.plan<6, 2>
  %y = moe.experts %rows, %plan params(%n, %down, %up) : (tensor<?x20xf32>, !moe.plan<6, 2>, tensor<6x20xf32>, tensor<6x5x20xf32>, tensor<6x20x5xf32>) -> tensor<?x20xf32> {
  ^bb0(%r: tensor<?x20xf32>, %scale: tensor<20xf32>, %d: tensor<5x20xf32>, %u: tensor<20x5xf32>):
    %all = nn.broadcast %scale like %r : tensor<?x20xf32> axis(0) : tensor<20xf32> -> tensor<?x20xf32>
    %m = arith.mulf %r, %all : tensor<?x20xf32>
    %h = nn.linear %m, %d : tensor<?x20xf32>, tensor<5x20xf32>
    %g = nn.activate gelu_tanh %h : tensor<?x5xf32>
    %o = nn.linear %g, %u : tensor<?x5xf32>, tensor<20x5xf32>
    %sum = arith.addf %r, %o : tensor<?x20xf32>
    moe.yield %sum : tensor<?x20xf32>
  }
  %sum = moe.combine %y, %plan, %w : tensor<?x20xf32>, !moe.plan<6, 2>, tensor<?x2xf32>
  return %sum : tensor<?x20xf32>
}

// Experts that cost nothing (MoE++, Jin et al. 2024): of 6 experts the first 3 are MLPs, then one gives 0, one its input,
// one a constant. Choices from 3 on have no row.
func.func @zero_copy_constant(%x: tensor<?x20xf32>, %s: tensor<?x6xf32>, %up: tensor<3x33x20xf32>, %down: tensor<3x20x33xf32>, %v: tensor<20xf32>) -> tensor<?x20xf32> {
  %idx = moe.select %s top_k(2) : tensor<?x6xf32>
  %w = moe.pick %s, %idx : tensor<?x6xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(3) : tensor<?x2xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x20xf32>, !moe.plan<3, 2>
  %y = moe.experts %rows, %plan params(%up, %down) : (tensor<?x20xf32>, !moe.plan<3, 2>, tensor<3x33x20xf32>, tensor<3x20x33xf32>) -> tensor<?x20xf32> {
  ^bb0(%r: tensor<?x20xf32>, %u: tensor<33x20xf32>, %d: tensor<20x33xf32>):
    %h = nn.linear %r, %u : tensor<?x20xf32>, tensor<33x20xf32>
    %p = nn.activate silu %h : tensor<?x33xf32>
    %o = nn.linear %p, %d : tensor<?x33xf32>, tensor<20x33xf32>
    moe.yield %o : tensor<?x20xf32>
  }
  %mlps = moe.combine %y, %plan, %w : tensor<?x20xf32>, !moe.plan<3, 2>, tensor<?x2xf32>
  %none = nn.fill 0.0 like %w : tensor<?x2xf32> -> tensor<?x2xf32>
  %four = nn.fill 4 like %idx : tensor<?x2xi32> -> tensor<?x2xi32>
  %five = nn.fill 5 like %idx : tensor<?x2xi32> -> tensor<?x2xi32>
  %copies = arith.cmpi eq, %idx, %four : tensor<?x2xi32>
  %constants = arith.cmpi eq, %idx, %five : tensor<?x2xi32>
  %wcopy = arith.select %copies, %w, %none : tensor<?x2xi1>, tensor<?x2xf32>
  %wconstant = arith.select %constants, %w, %none : tensor<?x2xi1>, tensor<?x2xf32>
  %tcopy = nn.reduce sum %wcopy axis(1) : tensor<?x2xf32>
  %tconstant = nn.reduce sum %wconstant axis(1) : tensor<?x2xf32>
  %bcopy = nn.broadcast %tcopy axis(1) : tensor<?xf32> -> tensor<?x20xf32>
  %bconstant = nn.broadcast %tconstant axis(1) : tensor<?xf32> -> tensor<?x20xf32>
  %vectors = nn.broadcast %v like %x : tensor<?x20xf32> axis(0) : tensor<20xf32> -> tensor<?x20xf32>
  %copied = arith.mulf %bcopy, %x : tensor<?x20xf32>
  %constant = arith.mulf %bconstant, %vectors : tensor<?x20xf32>
  %sum = arith.addf %mlps, %copied : tensor<?x20xf32>
  %all = arith.addf %sum, %constant : tensor<?x20xf32>
  return %all : tensor<?x20xf32>
}

// Residual-MoE (Rajbhandari et al. 2022): the token mixes its experts with a dense MLP by a softmax of two.
func.func @residual(%x: tensor<?x20xf32>, %s: tensor<?x6xf32>, %m: tensor<6x20x20xf32>, %up: tensor<33x20xf32>, %down: tensor<20x33xf32>, %c: tensor<2x20xf32>) -> tensor<?x20xf32> {
  %idx = moe.select %s top_k(1) : tensor<?x6xf32>
  %w = moe.pick %s, %idx : tensor<?x6xf32>, tensor<?x1xi32>
  %plan = moe.make_plan %idx experts(6) : tensor<?x1xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x20xf32>, !moe.plan<6, 1>
  %y = moe.experts %rows, %plan params(%m) : (tensor<?x20xf32>, !moe.plan<6, 1>, tensor<6x20x20xf32>) -> tensor<?x20xf32> {
  ^bb0(%r: tensor<?x20xf32>, %own: tensor<20x20xf32>):
    %o = nn.linear %r, %own : tensor<?x20xf32>, tensor<20x20xf32>
    moe.yield %o : tensor<?x20xf32>
  }
  %sparse = moe.combine %y, %plan, %w : tensor<?x20xf32>, !moe.plan<6, 1>, tensor<?x1xf32>
  %h = nn.linear %x, %up : tensor<?x20xf32>, tensor<33x20xf32>
  %p = nn.activate gelu %h : tensor<?x33xf32>
  %dense = nn.linear %p, %down : tensor<?x33xf32>, tensor<20x33xf32>
  %z = nn.linear %x, %c : tensor<?x20xf32>, tensor<2x20xf32>
  %q = nn.softmax %z axis(1) : tensor<?x2xf32>
  %q0 = nn.slice %q[0, 1] : tensor<?x2xf32>
  %q1 = nn.slice %q[1, 1] : tensor<?x2xf32>
  %v0 = nn.reshape %q0 : tensor<?x1xf32> -> tensor<?xf32>
  %v1 = nn.reshape %q1 : tensor<?x1xf32> -> tensor<?xf32>
  %b0 = nn.broadcast %v0 axis(1) : tensor<?xf32> -> tensor<?x20xf32>
  %b1 = nn.broadcast %v1 axis(1) : tensor<?xf32> -> tensor<?x20xf32>
  %a0 = arith.mulf %b0, %sparse : tensor<?x20xf32>
  %a1 = arith.mulf %b1, %dense : tensor<?x20xf32>
  %all = arith.addf %a0, %a1 : tensor<?x20xf32>
  return %all : tensor<?x20xf32>
}

// Experts that share their first matrix: it runs once over the rows of all of them.
func.func @shared_factor(%x: tensor<?x20xf32>, %s: tensor<?x6xf32>, %up: tensor<33x20xf32>, %down: tensor<6x20x33xf32>) -> tensor<?x20xf32> {
  %idx = moe.select %s top_k(2) : tensor<?x6xf32>
  %w = moe.pick %s, %idx : tensor<?x6xf32>, tensor<?x2xi32>
  %plan = moe.make_plan %idx experts(6) : tensor<?x2xi32>
  %h = nn.linear %x, %up : tensor<?x20xf32>, tensor<33x20xf32>
  %p = nn.activate silu %h : tensor<?x33xf32>
  %rows = moe.dispatch %p, %plan : tensor<?x33xf32>, !moe.plan<6, 2>
  %y = moe.experts %rows, %plan params(%down) : (tensor<?x33xf32>, !moe.plan<6, 2>, tensor<6x20x33xf32>) -> tensor<?x20xf32> {
  ^bb0(%r: tensor<?x33xf32>, %d: tensor<20x33xf32>):
    %o = nn.linear %r, %d : tensor<?x33xf32>, tensor<20x33xf32>
    moe.yield %o : tensor<?x20xf32>
  }
  %sum = moe.combine %y, %plan, %w : tensor<?x20xf32>, !moe.plan<6, 2>, tensor<?x2xf32>
  return %sum : tensor<?x20xf32>
}

// Experts choose tokens (Zhou et al. 2022): a quarter more rows than tokens, whatever the number of experts.
func.func @expert_choice(%x: tensor<?x20xf32>, %s: tensor<?x6xf32>, %m: tensor<6x20x20xf32>) -> tensor<?x20xf32> {
  %idx = moe.select_tokens %s limit(<factor = 1.25>) : tensor<?x6xf32>
  %w = moe.pick %s, %idx : tensor<?x6xf32>, tensor<?x6xi32>
  %plan = moe.make_plan %idx experts(6) : tensor<?x6xi32>
  %rows = moe.dispatch %x, %plan : tensor<?x20xf32>, !moe.plan<6, 6>
  %y = moe.experts %rows, %plan params(%m) : (tensor<?x20xf32>, !moe.plan<6, 6>, tensor<6x20x20xf32>) -> tensor<?x20xf32> {
  ^bb0(%r: tensor<?x20xf32>, %own: tensor<20x20xf32>):
    %o = nn.linear %r, %own : tensor<?x20xf32>, tensor<20x20xf32>
    moe.yield %o : tensor<?x20xf32>
  }
  %sum = moe.combine %y, %plan, %w : tensor<?x20xf32>, !moe.plan<6, 6>, tensor<?x6xf32>
  return %sum : tensor<?x20xf32>
}
