// GLM-4.5 (2025): DeepSeek-V3's rule with one group: p = sigmoid(W·x); the K largest p + bias;
// w = scale · p / (Σ of the chosen p + 1e-20). Exact; the step of the bias is that of deepseek_v3.mlir.
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
#scale = 2.5 : f64

moe.router @glm4_moe(%x: !x, %gate: !gate, %bias: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.activate sigmoid %z : !scores
  %idx = moe.select %p bias(%bias : !per_expert) top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %eps = nn.fill 1.0e-20 like %sum : !token -> !token
  %d = arith.addf %sum, %eps : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights
  %n = arith.divf %s, %den : !weights
  %scale = nn.fill #scale like %s : !weights -> !weights
  %w = arith.mulf %n, %scale : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
