// Skywork-MoE (Wei et al. 2024, arXiv:2406.06563): z' = λ·(z − mean z) / std z over the experts; p = softmax(z'); the K
// largest, weighed by p, tokens in order up to `limit`. L2 has a coefficient c of its own for each layer; after a step c is
// β·c + (1 − β)·min(ξ·d, a), d the share of dropped pairs. Exact with the population's deviation; for the sample's
// multiply λ by √((E−1)/E).
#experts = 16 : i64
#k = 2 : i64
!plan = !moe.plan<16, 2>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
#lambda = 1.0 : f64
#limit = #moe.capacity<factor = 2.5>
#beta = 0.99 : f64
#new = 0.01 : f64
#xi = -0.2 : f64
#most = 0.01 : f64

moe.router @skywork(%x: !x, %gate: !gate, %coef: !loss) -> (!plan, !weights, !loss {moe.loss = "L2"}, !loss {moe.state = 2}) {
  %z = nn.linear %x, %gate : !x, !gate
  %m = nn.reduce mean %z axis(1) : !scores
  %mean = nn.broadcast %m axis(1) : !token -> !scores
  %d = arith.subf %z, %mean : !scores
  %d2 = arith.mulf %d, %d : !scores
  %var = nn.reduce mean %d2 axis(1) : !scores
  %dev = math.sqrt %var : !token
  %devs = nn.broadcast %dev axis(1) : !token -> !scores
  %n = arith.divf %d, %devs : !scores
  %lambda = nn.fill #lambda like %z : !scores -> !scores
  %zn = arith.mulf %n, %lambda : !scores
  %p = nn.softmax %zn axis(1) : !scores
  %some = moe.select %p top_k(#k) : !scores
  %idx = moe.capacity %some experts(#experts) limit(#limit) : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %b = moe.balance_loss expert %p, %some coef(1.0) : !scores, !chosen -> !loss
  %c = moe.stop_gradient %coef : !loss
  %l2 = arith.mulf %b, %c : !loss
  // ξ times the share of dropped pairs: kept − 1, times −ξ.
  %one = nn.fill 1.0 like %p : !scores -> !scores
  %on = moe.pick %one, %idx : !scores, !chosen
  %tokens = nn.reduce mean %on axis(1) : !weights
  %kept = nn.reduce mean %tokens axis(0) : !token
  %unit = nn.fill 1.0 like %kept : !loss -> !loss
  %drop = arith.subf %kept, %unit : !loss
  %xi = nn.fill #xi like %kept : !loss -> !loss
  %rise = arith.mulf %drop, %xi : !loss
  %most = nn.fill #most like %kept : !loss -> !loss
  %a = arith.minimumf %rise, %most : !loss
  %new = nn.fill #new like %kept : !loss -> !loss
  %beta = nn.fill #beta like %kept : !loss -> !loss
  %an = arith.mulf %a, %new : !loss
  %old = arith.mulf %coef, %beta : !loss
  %next = arith.addf %old, %an : !loss
  moe.return %plan, %w, %l2, %next : !plan, !weights, !loss, !loss
}
