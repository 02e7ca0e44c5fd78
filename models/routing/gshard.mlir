// GShard top-2 (Lepikhin et al. 2020, arXiv:2006.16668) as in Mesh-TensorFlow: p = softmax(W·x); the two largest;
// n = p / (p1 + p2 + 1e-9). gshard: the second is left out unless n2 > `threshold`, which n1 always is (below ½).
// gshard_random: the second stays if u < n2 / `threshold` for a drawn u. Choices by first, then second, up to `limit`.
// GLaM (2021) is the same. L7 balances second choices, off where `second` is 0.
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
#limit = #moe.capacity<factor = 2.0, round = floor, min = 4>
#threshold = 0.2 : f64
#balance = 0.01 : f64
#second = 0.005 : f64
#eps = 1.0e-9 : f64

moe.router @gshard(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L1"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %two = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %two : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %eps = nn.fill #eps like %sum : !token -> !token
  %d = arith.addf %sum, %eps : !token
  %den = nn.broadcast %d axis(1) : !token -> !scores
  %n = arith.divf %p, %den : !scores
  %some = moe.select %n top_k(#k) above(#threshold) : !scores
  %idx = moe.capacity %some experts(#experts) limit(#limit) choice_major : !chosen
  %w = moe.pick %n, %idx : !scores, !chosen
  %first = moe.select %p top_k(1) : !scores
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !best -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1 : !plan, !weights, !loss
}

moe.router @gshard_random(%x: !x, %gate: !gate, %uniform: !token)
    -> (!plan, !weights, !loss {moe.loss = "L1"}, !loss {moe.loss = "L7"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %two = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %two : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %eps = nn.fill #eps like %sum : !token -> !token
  %d = arith.addf %sum, %eps : !token
  %den = nn.broadcast %d axis(1) : !token -> !scores
  %n = arith.divf %p, %den : !scores
  %first = moe.select %p top_k(1) : !scores
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !best -> !loss
  // The second stays where n2 − threshold·u > 0.
  %threshold = nn.fill #threshold like %uniform : !token -> !token
  %b = arith.mulf %uniform, %threshold : !token
  %bar = nn.broadcast %b axis(1) : !token -> !scores
  %over = arith.subf %n, %bar : !scores
  %others = moe.mask_choices %over, %first fill(-1.0) : !scores, !best
  %next = moe.select %others top_k(1) above(0.0) : !scores
  %some = nn.concat %first, %next : !best, !best
  %idx = moe.capacity %some experts(#experts) limit(#limit) choice_major : !chosen
  %w = moe.pick %n, %idx : !scores, !chosen
  // L7 is L1 of the second choices, whether they stay or not, among the probabilities without the first.
  %rest = moe.mask_choices %p, %first fill(0.0) : !scores, !best
  %rs = nn.reduce sum %rest axis(1) : !scores
  %rd = arith.addf %rs, %eps : !token
  %rden = nn.broadcast %rd axis(1) : !token -> !scores
  %q = arith.divf %rest, %rden : !scores
  %after = moe.select %rest top_k(1) : !scores
  %l7 = moe.balance_loss expert %q, %after coef(#second) : !scores, !best -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1, %l7 : !plan, !weights, !loss, !loss
}
