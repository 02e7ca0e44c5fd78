// Mixtral (Jiang et al. 2024, arXiv:2401.04088): p = softmax(W·x); the K largest; w = p / Σ of the chosen p; L2 as in
// transformers (all choices). Exact. Also Qwen3-MoE and MiniMax.
#experts = 8 : i64
#k = 2 : i64
!plan = !moe.plan<8, 2>
!x = tensor<?x?xf32>
!gate = tensor<8x?xf32>
!scores = tensor<?x8xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
#balance = 0.02 : f64

moe.router @mixtral(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L2"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %w = arith.divf %s, %sums : !weights
  %l2 = moe.balance_loss expert %p, %idx coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l2 : !plan, !weights, !loss
}
