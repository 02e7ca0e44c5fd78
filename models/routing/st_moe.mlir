// ST-MoE (Zoph et al. 2022, arXiv:2202.08906): p = softmax(W·x); the two largest, weighed by p, which is not
// renormalised; first choices before second ones, up to `limit`. L2 counts both choices. st_moe_train: the router's x is
// multiplied by jitter. st_moe_priority: the tokens of the largest p first (batch-prioritised; not causal).
#experts = 32 : i64
#k = 2 : i64
!plan = !moe.plan<32, 2>
!x = tensor<?x?xf32>
!gate = tensor<32x?xf32>
!scores = tensor<?x32xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
#limit = #moe.capacity<factor = 1.25, round = nearest, min = 4>
#balance = 0.01 : f64
#small = 0.001 : f64

moe.router @st_moe(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L2"}, !loss {moe.loss = "L8"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %two = moe.select %p top_k(#k) : !scores
  %idx = moe.capacity %two experts(#experts) limit(#limit) choice_major : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %l2 = moe.balance_loss expert %p, %two coef(#balance) : !scores, !chosen -> !loss
  %l8 = moe.z_loss %z coef(#small) : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l2, %l8 : !plan, !weights, !loss, !loss
}

moe.router @st_moe_train(%x: !x, %gate: !gate, %jitter: !x)
    -> (!plan, !weights, !loss {moe.loss = "L2"}, !loss {moe.loss = "L8"}) {
  %xj = arith.mulf %x, %jitter : !x
  %z = nn.linear %xj, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %two = moe.select %p top_k(#k) : !scores
  %idx = moe.capacity %two experts(#experts) limit(#limit) choice_major : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %l2 = moe.balance_loss expert %p, %two coef(#balance) : !scores, !chosen -> !loss
  %l8 = moe.z_loss %z coef(#small) : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l2, %l8 : !plan, !weights, !loss, !loss
}

moe.router @st_moe_priority(%x: !x, %gate: !gate, %jitter: !x)
    -> (!plan, !weights, !loss {moe.loss = "L2"}, !loss {moe.loss = "L8"}) {
  %xj = arith.mulf %x, %jitter : !x
  %z = nn.linear %xj, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %two = moe.select %p top_k(#k) : !scores
  %best = nn.reduce max %p axis(1) : !scores
  %rank = nn.broadcast %best axis(1) : !token -> !weights
  %idx = moe.capacity %two experts(#experts) limit(#limit) choice_major priority(%rank : !weights) : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %l2 = moe.balance_loss expert %p, %two coef(#balance) : !scores, !chosen -> !loss
  %l8 = moe.z_loss %z coef(#small) : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l2, %l8 : !plan, !weights, !loss, !loss
}
