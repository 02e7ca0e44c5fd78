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
