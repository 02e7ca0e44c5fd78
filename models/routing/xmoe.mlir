// X-MoE as in torchscale (Chi et al. 2022, arXiv:2204.09179): z_e = (R·x)·c_e / max(‖c_e‖, 1e-4), R reducing to few
// dimensions; p = softmax(z). xmoe: the largest, weighed by p, up to `limit`. xmoe_top2: the two largest, first choices
// before second ones, w = p / Σ of the p that were kept. Exact; the product is divided by the norm of the row.
#experts = 32 : i64
!plan = !moe.plan<32, 1>
!plan_2 = !moe.plan<32, 2>
!x = tensor<?x?xf32>
!gate = tensor<32x?xf32>
!scores = tensor<?x32xf32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>
!chosen_2 = tensor<?x2xi32>
!weights_2 = tensor<?x2xf32>
!token = tensor<?xf32>
!per_expert = tensor<32xf32>
!loss = tensor<f32>
#limit = #moe.capacity<factor = 1.0, times = 1.25>
#limit_2 = #moe.capacity<factor = 2.0>
#least = 1.1920929e-7 : f64
#balance = 0.01 : f64

moe.router @xmoe(%x: !x, %reduce: !x, %c: !gate) -> (!plan, !weights, !loss {moe.loss = "L1"}) {
  %h = nn.linear %x, %reduce : !x, !x
  %a = nn.linear %h, %c : !x, !gate
  %c2 = arith.mulf %c, %c : !gate
  %n2 = nn.reduce sum %c2 axis(1) : !gate
  %n = math.sqrt %n2 : !per_expert
  %eps = nn.fill 1.0e-4 like %n : !per_expert -> !per_expert
  %norm = arith.maximumf %n, %eps : !per_expert
  %norms = nn.broadcast %norm like %a : !scores axis(0) : !per_expert -> !scores
  %z = arith.divf %a, %norms : !scores
  %p = nn.softmax %z axis(1) : !scores
  %first = moe.select %p top_k(1) : !scores
  %idx = moe.capacity %first experts(#experts) limit(#limit) : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1 : !plan, !weights, !loss
}

moe.router @xmoe_top2(%x: !x, %reduce: !x, %c: !gate) -> (!plan_2, !weights_2, !loss {moe.loss = "L1"}) {
  %h = nn.linear %x, %reduce : !x, !x
  %a = nn.linear %h, %c : !x, !gate
  %c2 = arith.mulf %c, %c : !gate
  %n2 = nn.reduce sum %c2 axis(1) : !gate
  %n = math.sqrt %n2 : !per_expert
  %eps = nn.fill 1.0e-4 like %n : !per_expert -> !per_expert
  %norm = arith.maximumf %n, %eps : !per_expert
  %norms = nn.broadcast %norm like %a : !scores axis(0) : !per_expert -> !scores
  %z = arith.divf %a, %norms : !scores
  %p = nn.softmax %z axis(1) : !scores
  %two = moe.select %p top_k(2) : !scores
  %idx = moe.capacity %two experts(#experts) limit(#limit_2) choice_major : !chosen_2
  %s = moe.pick %p, %idx : !scores, !chosen_2
  %sum = nn.reduce sum %s axis(1) : !weights_2
  %least = nn.fill #least like %sum : !token -> !token
  %d = arith.maximumf %sum, %least : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights_2
  %w = arith.divf %s, %den : !weights_2
  %first = moe.select %p top_k(1) : !scores
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen_2
  moe.return %plan, %w, %l1 : !plan_2, !weights_2, !loss
}
