// GShard top-2 as in DeepSpeed, fairseq and NLLB-MoE: p = softmax(W·x); choices by first, then second, up to `limit`;
// w = p / Σ of the p that were kept. gshard_after: the two largest. gshard_random: the second stays if 2·p2 > u for a
// drawn u (fairseq). gshard_sampling: the second is the largest z + Gumbel noise but the first, w = p / Σ before drops.
#experts = 16 : i64
#k = 2 : i64
!plan = !moe.plan<16, 2>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!best = tensor<?x1xi32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
#limit = #moe.capacity<factor = 2.0>
#balance = 0.01 : f64
#least = 1.1920929e-7 : f64

moe.router @gshard_after(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L1"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %two = moe.select %p top_k(#k) : !scores
  %idx = moe.capacity %two experts(#experts) limit(#limit) choice_major : !chosen
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %least = nn.fill #least like %sum : !token -> !token
  %d = arith.maximumf %sum, %least : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights
  %w = arith.divf %s, %den : !weights
  %first = moe.select %p top_k(1) : !scores
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !best -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1 : !plan, !weights, !loss
}

moe.router @gshard_random(%x: !x, %gate: !gate, %uniform: !token) -> (!plan, !weights, !loss {moe.loss = "L1"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %first = moe.select %p top_k(1) : !scores
  %u = nn.broadcast %uniform axis(1) : !token -> !scores
  %p2 = arith.addf %p, %p : !scores
  %over = arith.subf %p2, %u : !scores
  %others = moe.mask_choices %over, %first fill(-1.0) : !scores, !best
  %next = moe.select %others top_k(1) above(0.0) : !scores
  %some = nn.concat %first, %next : !best, !best
  %idx = moe.capacity %some experts(#experts) limit(#limit) choice_major : !chosen
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %least = nn.fill #least like %sum : !token -> !token
  %d = arith.maximumf %sum, %least : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights
  %w = arith.divf %s, %den : !weights
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !best -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1 : !plan, !weights, !loss
}

moe.router @gshard_sampling(%x: !x, %gate: !gate, %gumbel: !scores) -> (!plan, !weights, !loss {moe.loss = "L1"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %first = moe.select %p top_k(1) : !scores
  %noisy = arith.addf %z, %gumbel : !scores
  %others = moe.mask_choices %noisy, %first fill(0xFFF0000000000000) : !scores, !best
  %next = moe.select %others top_k(1) : !scores
  %two = nn.concat %first, %next : !best, !best
  %s = moe.pick %p, %two : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %least = nn.fill #least like %sum : !token -> !token
  %d = arith.maximumf %sum, %least : !token
  %den = nn.broadcast %d axis(1) : !token -> !scores
  %n = arith.divf %p, %den : !scores
  %idx = moe.capacity %two experts(#experts) limit(#limit) choice_major : !chosen
  %w = moe.pick %n, %idx : !scores, !chosen
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !best -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1 : !plan, !weights, !loss
}
