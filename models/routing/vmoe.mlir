// V-MoE (Riquelme et al. 2021, arXiv:2106.05974), training: p = softmax(W·x + σ·noise), σ = 1/E; the K largest, weighed
// by p; first choices before second ones, up to `limit`. L9: importance, of the softmax without noise. L10: load, the
// probability that new noise puts the expert above the K-th logit, 1 − Φ((v_K − z)/σ) = ½·(1 + erf((z − v_K)/(σ√2))).
// vmoe: the tokens of the largest p first (batch-prioritised; not causal). vmoe_position: tokens in order.
#experts = 32 : i64
#k = 2 : i64
!plan = !moe.plan<32, 2>
!x = tensor<?x?xf32>
!gate = tensor<32x?xf32>
!scores = tensor<?x32xf32>
!best = tensor<?x1xi32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
#limit = #moe.capacity<factor = 2.1, round = ceil, multiple = 4>
#sigma = 0.03125 : f64
#narrow = 22.627417 : f64  // 1/(σ√2)
#importance = 0.005 : f64
#load = 0.005 : f64
#balance = 0.0 : f64

moe.router @vmoe(%x: !x, %gate: !gate, %noise: !scores)
    -> (!plan, !weights, !loss {moe.loss = "L9"}, !loss {moe.loss = "L10"}, !loss {moe.loss = "L1"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %sigma = nn.fill #sigma like %z : !scores -> !scores
  %n = arith.mulf %noise, %sigma : !scores
  %noisy = arith.addf %z, %n : !scores
  %p = nn.softmax %noisy axis(1) : !scores
  %some = moe.select %p top_k(#k) : !scores
  %most = nn.reduce max %p axis(1) : !scores
  %rank = nn.broadcast %most axis(1) : !token -> !weights
  %idx = moe.capacity %some experts(#experts) limit(#limit) choice_major priority(%rank : !weights) : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %quiet = nn.softmax %z axis(1) : !scores
  %l9 = moe.variation_loss %quiet coef(#importance) : !scores -> !loss
  %v = moe.pick %noisy, %some : !scores, !chosen
  %vk = nn.reduce min %v axis(1) : !weights
  %bar = nn.broadcast %vk axis(1) : !token -> !scores
  %gap = arith.subf %z, %bar : !scores
  %narrow = nn.fill #narrow like %z : !scores -> !scores
  %t = arith.mulf %gap, %narrow : !scores
  %erf = math.erf %t : !scores
  %one = nn.fill 1.0 like %z : !scores -> !scores
  %wins = arith.addf %erf, %one : !scores  // twice the probability, which does not change L10
  %l10 = moe.variation_loss %wins coef(#load) : !scores -> !loss
  %first = moe.select %p top_k(1) : !scores
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !best -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l9, %l10, %l1 : !plan, !weights, !loss, !loss, !loss
}

moe.router @vmoe_position(%x: !x, %gate: !gate, %noise: !scores)
    -> (!plan, !weights, !loss {moe.loss = "L9"}, !loss {moe.loss = "L10"}, !loss {moe.loss = "L1"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %sigma = nn.fill #sigma like %z : !scores -> !scores
  %n = arith.mulf %noise, %sigma : !scores
  %noisy = arith.addf %z, %n : !scores
  %p = nn.softmax %noisy axis(1) : !scores
  %some = moe.select %p top_k(#k) : !scores
  %idx = moe.capacity %some experts(#experts) limit(#limit) choice_major : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %quiet = nn.softmax %z axis(1) : !scores
  %l9 = moe.variation_loss %quiet coef(#importance) : !scores -> !loss
  %v = moe.pick %noisy, %some : !scores, !chosen
  %vk = nn.reduce min %v axis(1) : !weights
  %bar = nn.broadcast %vk axis(1) : !token -> !scores
  %gap = arith.subf %z, %bar : !scores
  %narrow = nn.fill #narrow like %z : !scores -> !scores
  %t = arith.mulf %gap, %narrow : !scores
  %erf = math.erf %t : !scores
  %one = nn.fill 1.0 like %z : !scores -> !scores
  %wins = arith.addf %erf, %one : !scores
  %l10 = moe.variation_loss %wins coef(#load) : !scores -> !loss
  %first = moe.select %p top_k(1) : !scores
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !best -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l9, %l10, %l1 : !plan, !weights, !loss, !loss, !loss
}
