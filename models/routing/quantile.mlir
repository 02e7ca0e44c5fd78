// Quantile balancing (Megatron-Core): β, one number per expert, is subtracted from z = W·x for choosing only. Weights of
// the chosen: softmax over their z (quantile), their part of the softmax over all z (quantile_softmax), or
// sigmoid(z) / (Σ + 1e-20) (quantile_sigmoid). Exact for a given β; its step in training is no router's.
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
!per_choice = tensor<6xf32>
#eps = dense<1.0e-20> : !per_choice

moe.router @quantile(%x: !x, %gate: !gate, %beta: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %less = arith.negf %beta : !per_expert
  %idx = moe.select %z bias(%less : !per_expert) top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.softmax %s axis(1) : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @quantile_softmax(%x: !x, %gate: !gate, %beta: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %less = arith.negf %beta : !per_expert
  %idx = moe.select %z bias(%less : !per_expert) top_k(#k) : !scores
  %p = nn.softmax %z axis(1) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @quantile_sigmoid(%x: !x, %gate: !gate, %beta: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %less = arith.negf %beta : !per_expert
  %idx = moe.select %z bias(%less : !per_expert) top_k(#k) : !scores
  %p = nn.activate sigmoid %z : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %eps = arith.constant #eps
  %epss = nn.broadcast %eps like %s : !weights axis(0) : !per_choice -> !weights
  %den = arith.addf %sums, %epss : !weights
  %w = arith.divf %s, %den : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
