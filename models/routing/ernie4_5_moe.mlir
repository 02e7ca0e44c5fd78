// ERNIE 4.5 (Baidu 2025): p = softmax(W·x); the K largest p + bias; w = p / max(Σ of the chosen p, 1e-12). Exact.
#experts = 64 : i64
#k = 6 : i64
!plan = !moe.plan<64, 6>
!x = tensor<?x?xf32>
!gate = tensor<64x?xf32>
!scores = tensor<?x64xf32>
!chosen = tensor<?x6xi32>
!weights = tensor<?x6xf32>
!token = tensor<?xf32>
!per_expert = tensor<64xf32>

moe.router @ernie4_5_moe(%x: !x, %gate: !gate, %bias: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p bias(%bias : !per_expert) top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %least = nn.fill 1.0e-12 like %sum : !token -> !token
  %d = arith.maximumf %sum, %least : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights
  %w = arith.divf %s, %den : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
