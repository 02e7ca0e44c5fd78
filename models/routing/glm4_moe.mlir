// GLM-4.5 (2025): DeepSeek-V3's rule with one group: p = sigmoid(W·x); the K largest p + bias;
// w = scale · p / (Σ of the chosen p + 1e-20). Exact.
#experts = 160 : i64
#k = 8 : i64
!plan = !moe.plan<160, 8>
!x = tensor<?x?xf32>
!gate = tensor<160x?xf32>
!scores = tensor<?x160xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!token = tensor<?xf32>
!per_expert = tensor<160xf32>
!per_choice = tensor<8xf32>
#eps = dense<1.0e-20> : !per_choice
#scale = dense<2.5> : !per_choice

moe.router @glm4_moe(%x: !x, %gate: !gate, %bias: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.activate sigmoid %z : !scores
  %idx = moe.select %p bias(%bias : !per_expert) top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %eps = arith.constant #eps
  %epss = nn.broadcast %eps like %s : !weights axis(0) : !per_choice -> !weights
  %den = arith.addf %sums, %epss : !weights
  %n = arith.divf %s, %den : !weights
  %scale = arith.constant #scale
  %scales = nn.broadcast %scale like %s : !weights axis(0) : !per_choice -> !weights
  %w = arith.mulf %n, %scales : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
