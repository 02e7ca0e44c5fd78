// Skywork-MoE (Wei et al. 2024, arXiv:2406.06563): z' = λ·(z − mean z) / std z over the experts; p = softmax(z'); the K
// largest, weighed by p. Exact without capacity, with the population's deviation; for the sample's multiply λ by
// √((E−1)/E). The step of the loss coefficient is no router's.
#experts = 16 : i64
#k = 2 : i64
!plan = !moe.plan<16, 2>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!per_expert = tensor<16xf32>
#lambda = dense<1.0> : !per_expert

moe.router @skywork(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %m = nn.reduce mean %z axis(1) : !scores
  %mean = nn.broadcast %m axis(1) : !token -> !scores
  %d = arith.subf %z, %mean : !scores
  %d2 = arith.mulf %d, %d : !scores
  %var = nn.reduce mean %d2 axis(1) : !scores
  %dev = math.sqrt %var : !token
  %devs = nn.broadcast %dev axis(1) : !token -> !scores
  %n = arith.divf %d, %devs : !scores
  %lambda = arith.constant #lambda
  %lambdas = nn.broadcast %lambda like %z : !scores axis(0) : !per_expert -> !scores
  %zn = arith.mulf %n, %lambdas : !scores
  %p = nn.softmax %zn axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
