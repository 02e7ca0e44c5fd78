// Residual-MoE of DeepSpeed-MoE (Rajbhandari et al. 2022, arXiv:2201.05596): a dense layer beside the experts.
// residual_layer: y = c0·experts + c1·dense with c = softmax(Wc·x + b); residual_add_layer, the paper's form and Arctic's:
// y = experts + dense. The router takes the largest p = softmax(W·x), weighed by it, or (residual_top2) the two largest,
// w = p / Σ of the chosen p. Pyramid-MoE: another number of experts in another layer. Exact.
#experts = 16 : i64
#width = 512 : i64
#inner = 2048 : i64
!plan = !moe.plan<16, 1>
!plan_2 = !moe.plan<16, 2>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x1xi32>
!chosen_2 = tensor<?x2xi32>
!weights = tensor<?x1xf32>
!weights_2 = tensor<?x2xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
!rows = tensor<?x512xf32>
!router = tensor<16x512xf32>
!h = tensor<?x2048xf32>
!w1 = tensor<2048x512xf32>
!w2 = tensor<512x2048xf32>
!w1s = tensor<16x2048x512xf32>
!w2s = tensor<16x512x2048xf32>
!blend = tensor<2x512xf32>
!pair = tensor<2xf32>
#balance = 0.01 : f64

moe.router @residual(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L1"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(1) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %l1 = moe.balance_loss expert %p, %idx coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1 : !plan, !weights, !loss
}

moe.router @residual_top2(%x: !x, %gate: !gate) -> (!plan_2, !weights_2, !loss {moe.loss = "L1"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(2) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen_2
  %sum = nn.reduce sum %s axis(1) : !weights_2
  %sums = nn.broadcast %sum axis(1) : !token -> !weights_2
  %w = arith.divf %s, %sums : !weights_2
  %first = moe.select %p top_k(1) : !scores
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen_2
  moe.return %plan, %w, %l1 : !plan_2, !weights_2, !loss
}

func.func @residual_layer(%x: !rows {nn.name = "x"}, %gate: !router {nn.name = "Wg"}, %w1s: !w1s {nn.name = "W1"},
    %w2s: !w2s {nn.name = "W2"}, %m1: !w1 {nn.name = "M1"}, %m2: !w2 {nn.name = "M2"}, %wc: !blend {nn.name = "Wc"},
    %bc: !pair {nn.name = "bc"}) -> (!rows {nn.name = "y"}) {
  %plan, %w, %l1 = moe.route @residual(%x, %gate) : (!rows, !router) -> (!plan, !weights, !loss)
  %rows = moe.dispatch %x, %plan : !rows, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!rows, !plan, !w1s, !w2s) -> !rows {
  ^bb0(%r: !rows, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !rows, !w1
    %h = nn.activate silu %u : !h
    %d = nn.linear %h, %w2 : !h, !w2
    moe.yield %d : !rows
  }
  // The weights of experts and of the dense layer, c0 and c1.
  %c = nn.linear %x, %wc bias(%bc : !pair) : !rows, !blend
  %cs = nn.softmax %c axis(1) : !weights_2
  %c0 = nn.slice %cs[0, 1] : !weights_2
  %c1 = nn.slice %cs[1, 1] : !weights_2
  %wc0 = arith.mulf %w, %c0 : !weights
  %routed = moe.combine %out, %plan, %wc0 : !rows, !plan, !weights
  %mu = nn.linear %x, %m1 : !rows, !w1
  %mh = nn.activate silu %mu : !h
  %mlp = nn.linear %mh, %m2 : !h, !w2
  %t1 = nn.reduce sum %c1 axis(1) : !weights
  %c1s = nn.broadcast %t1 axis(1) : !token -> !rows
  %dense = arith.mulf %mlp, %c1s : !rows
  %y = arith.addf %routed, %dense : !rows
  return %y : !rows
}

func.func @residual_top2_layer(%x: !rows {nn.name = "x"}, %gate: !router {nn.name = "Wg"}, %w1s: !w1s {nn.name = "W1"},
    %w2s: !w2s {nn.name = "W2"}, %m1: !w1 {nn.name = "M1"}, %m2: !w2 {nn.name = "M2"}, %wc: !blend {nn.name = "Wc"},
    %bc: !pair {nn.name = "bc"}) -> (!rows {nn.name = "y"}) {
  %plan, %w, %l1 = moe.route @residual_top2(%x, %gate) : (!rows, !router) -> (!plan_2, !weights_2, !loss)
  %rows = moe.dispatch %x, %plan : !rows, !plan_2
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!rows, !plan_2, !w1s, !w2s) -> !rows {
  ^bb0(%r: !rows, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !rows, !w1
    %h = nn.activate silu %u : !h
    %d = nn.linear %h, %w2 : !h, !w2
    moe.yield %d : !rows
  }
  %routed = moe.combine %out, %plan, %w : !rows, !plan_2, !weights_2
  %mu = nn.linear %x, %m1 : !rows, !w1
  %mh = nn.activate silu %mu : !h
  %mlp = nn.linear %mh, %m2 : !h, !w2
  %c = nn.linear %x, %wc bias(%bc : !pair) : !rows, !blend
  %cs = nn.softmax %c axis(1) : !weights_2
  %c0 = nn.slice %cs[0, 1] : !weights_2
  %c1 = nn.slice %cs[1, 1] : !weights_2
  %t0 = nn.reduce sum %c0 axis(1) : !weights
  %t1 = nn.reduce sum %c1 axis(1) : !weights
  %c0s = nn.broadcast %t0 axis(1) : !token -> !rows
  %c1s = nn.broadcast %t1 axis(1) : !token -> !rows
  %sparse = arith.mulf %routed, %c0s : !rows
  %dense = arith.mulf %mlp, %c1s : !rows
  %y = arith.addf %sparse, %dense : !rows
  return %y : !rows
}

func.func @residual_add_layer(%x: !rows {nn.name = "x"}, %gate: !router {nn.name = "Wg"}, %w1s: !w1s {nn.name = "W1"},
    %w2s: !w2s {nn.name = "W2"}, %m1: !w1 {nn.name = "M1"}, %m2: !w2 {nn.name = "M2"}) -> (!rows {nn.name = "y"}) {
  %plan, %w, %l1 = moe.route @residual(%x, %gate) : (!rows, !router) -> (!plan, !weights, !loss)
  %rows = moe.dispatch %x, %plan : !rows, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!rows, !plan, !w1s, !w2s) -> !rows {
  ^bb0(%r: !rows, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !rows, !w1
    %h = nn.activate silu %u : !h
    %d = nn.linear %h, %w2 : !h, !w2
    moe.yield %d : !rows
  }
  %routed = moe.combine %out, %plan, %w : !rows, !plan, !weights
  %mu = nn.linear %x, %m1 : !rows, !w1
  %mh = nn.activate silu %mu : !h
  %dense = nn.linear %mh, %m2 : !h, !w2
  %y = arith.addf %routed, %dense : !rows
  return %y : !rows
}
