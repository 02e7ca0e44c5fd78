// DeepSeekMoE (Dai et al. 2024, arXiv:2401.06066) with norm_topk_prob: p = softmax(W·x); the K largest;
// w = p / (Σ of the chosen p + 1e-20). Exact. The released 16B does not normalise: olmoe.mlir.
#experts = 64 : i64
#k = 6 : i64
!plan = !moe.plan<64, 6>
!x = tensor<?x?xf32>
!gate = tensor<64x?xf32>
!scores = tensor<?x64xf32>
!chosen = tensor<?x6xi32>
!weights = tensor<?x6xf32>
!token = tensor<?xf32>
!per_choice = tensor<6xf32>
#eps = dense<1.0e-20> : !per_choice

moe.router @deepseek_v1(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
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
