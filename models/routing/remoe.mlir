// ReMoE (Wang et al. 2024, arXiv:2412.14711): p = relu(W·x); every expert with p > 0, weighed by p. A token takes as many
// experts as are positive, the rest of its choices is invalid (E). L13 is λ·E/(K·T²)·Σ_e (Σ_t p)(Σ_t [p > 0]) for a wanted
// K, and after a step λ is multiplied by 1.2 where more than K·T pairs were positive, else divided by it. Exact.
#experts = 8 : i64
!plan = !moe.plan<8, 8>
!x = tensor<?x?xf32>
!gate = tensor<8x?xf32>
!scores = tensor<?x8xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
!more = tensor<i1>
#one_of_k = 0.5 : f64
#share = 0.25 : f64

moe.router @remoe(%x: !x, %gate: !gate, %lambda: !loss) -> (!plan, !weights, !loss {moe.loss = "L13"}, !loss {moe.state = 2}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.activate relu %z : !scores
  %idx = moe.select %p top_k(#experts) above(0.0) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %b = moe.balance_loss expert %p, %idx coef(#one_of_k) : !scores, !chosen -> !loss
  %l = moe.stop_gradient %lambda : !loss
  %l13 = arith.mulf %b, %l : !loss
  // The share of positive pairs, wanted to be K/E.
  %one = nn.fill 1.0 like %p : !scores -> !scores
  %on = moe.pick %one, %idx : !scores, !chosen
  %tokens = nn.reduce mean %on axis(1) : !weights
  %share = nn.reduce mean %tokens axis(0) : !token
  %wanted = nn.fill #share like %share : !loss -> !loss
  %more = arith.cmpf ogt, %share, %wanted : !loss
  %factor = nn.fill 1.2 like %share : !loss -> !loss
  %up = arith.mulf %lambda, %factor : !loss
  %down = arith.divf %lambda, %factor : !loss
  %next = arith.select %more, %up, %down : !more, !loss
  moe.return %plan, %w, %l13, %next : !plan, !weights, !loss, !loss
}
