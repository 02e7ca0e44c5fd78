// The cosine gate of Tutel (Hwang et al. 2022, arXiv:2206.03382): z_e = h·c_e / (‖h‖·‖c_e‖) · exp(min(t, ln 100)) with
// h = R·x + b and a learned t; p = softmax(z); the K largest, first choices before second ones, up to `limit`;
// w = p / Σ of the chosen p before drops (tutel_cosine), or p where K = 1 (tutel_cosine_top1). Exact; norms below 1e-12
// count as that.
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
!per_expert = tensor<32xf32>
!reduced = tensor<?xf32>
!loss = tensor<f32>
#limit = #moe.capacity<factor = 2.0>
#balance = 0.01 : f64

moe.router @tutel_cosine(%x: !x, %reduce: !x, %bias: !reduced, %c: !gate, %t: !loss)
    -> (!plan, !weights, !loss {moe.loss = "L1"}) {
  %h = nn.linear %x, %reduce bias(%bias : !reduced) : !x, !x
  %a = nn.linear %h, %c : !x, !gate
  %c2 = arith.mulf %c, %c : !gate
  %n2 = nn.reduce sum %c2 axis(1) : !gate
  %n = math.sqrt %n2 : !per_expert
  %eps = nn.fill 1.0e-12 like %n : !per_expert -> !per_expert
  %norm = arith.maximumf %n, %eps : !per_expert
  %h2 = arith.mulf %h, %h : !x
  %l2 = nn.reduce sum %h2 axis(1) : !x
  %l = math.sqrt %l2 : !token
  %small = nn.fill 1.0e-12 like %l : !token -> !token
  %length = arith.maximumf %l, %small : !token
  %most = nn.fill 4.60517019 like %t : !loss -> !loss
  %tm = arith.minimumf %t, %most : !loss
  %te = math.exp %tm : !loss
  %ts = nn.broadcast %te axis(0) : !loss -> !per_expert
  %factor = arith.divf %ts, %norm : !per_expert
  %factors = nn.broadcast %factor like %a : !scores axis(0) : !per_expert -> !scores
  %lengths = nn.broadcast %length axis(1) : !token -> !scores
  %af = arith.mulf %a, %factors : !scores
  %z = arith.divf %af, %lengths : !scores
  %p = nn.softmax %z axis(1) : !scores
  %some = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %some : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %den = nn.broadcast %sum axis(1) : !token -> !scores
  %share = arith.divf %p, %den : !scores
  %idx = moe.capacity %some experts(#experts) limit(#limit) choice_major : !chosen
  %w = moe.pick %share, %idx : !scores, !chosen
  %first = moe.select %p top_k(1) : !scores
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !best -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1 : !plan, !weights, !loss
}

moe.router @tutel_cosine_top1(%x: !x, %reduce: !x, %bias: !reduced, %c: !gate, %t: !loss)
    -> (!plan, !weights, !loss {moe.loss = "L1"}) {
  %h = nn.linear %x, %reduce bias(%bias : !reduced) : !x, !x
  %a = nn.linear %h, %c : !x, !gate
  %c2 = arith.mulf %c, %c : !gate
  %n2 = nn.reduce sum %c2 axis(1) : !gate
  %n = math.sqrt %n2 : !per_expert
  %eps = nn.fill 1.0e-12 like %n : !per_expert -> !per_expert
  %norm = arith.maximumf %n, %eps : !per_expert
  %h2 = arith.mulf %h, %h : !x
  %l2 = nn.reduce sum %h2 axis(1) : !x
  %l = math.sqrt %l2 : !token
  %small = nn.fill 1.0e-12 like %l : !token -> !token
  %length = arith.maximumf %l, %small : !token
  %most = nn.fill 4.60517019 like %t : !loss -> !loss
  %tm = arith.minimumf %t, %most : !loss
  %te = math.exp %tm : !loss
  %ts = nn.broadcast %te axis(0) : !loss -> !per_expert
  %factor = arith.divf %ts, %norm : !per_expert
  %factors = nn.broadcast %factor like %a : !scores axis(0) : !per_expert -> !scores
  %lengths = nn.broadcast %length axis(1) : !token -> !scores
  %af = arith.mulf %a, %factors : !scores
  %z = arith.divf %af, %lengths : !scores
  %p = nn.softmax %z axis(1) : !scores
  %some = moe.select %p top_k(#k) : !scores
  %idx = moe.capacity %some experts(#experts) limit(#limit) choice_major : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %l1 = moe.balance_loss expert %p, %some coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1 : !plan, !weights, !loss
}
