// DeepSeekMoE (Dai et al. 2024, arXiv:2401.06066): p = softmax(W·x); the K largest, weighed by p, or (deepseek_v1_norm,
// norm_topk_prob) by p / (Σ of the chosen p + 1e-20). L3 balances experts, L4 devices (`devices` contiguous groups), both
// for each sequence. Exact. The released 16B is deepseek_v1 without L4.
#experts = 64 : i64
#k = 6 : i64
!plan = !moe.plan<64, 6>
!x = tensor<?x?xf32>
!gate = tensor<64x?xf32>
!scores = tensor<?x64xf32>
!chosen = tensor<?x6xi32>
!weights = tensor<?x6xf32>
!token = tensor<?xf32>
!seqs = tensor<?xi32>
!loss = tensor<f32>
#devices = 8 : i64
#experts_coef = 0.001 : f64
#devices_coef = 0.05 : f64

moe.router @deepseek_v1(%x: !x, %gate: !gate, %seqs: !seqs {moe.input = "seqs"})
    -> (!plan, !weights, !loss {moe.loss = "L3"}, !loss {moe.loss = "L4"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %l3 = moe.balance_loss expert %p, %idx coef(#experts_coef) per_choice seqs(%seqs : !seqs) : !scores, !chosen -> !loss
  %l4 = moe.balance_loss device %p, %idx coef(#devices_coef) per_choice seqs(%seqs : !seqs) {devices = #devices} : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l3, %l4 : !plan, !weights, !loss, !loss
}

moe.router @deepseek_v1_norm(%x: !x, %gate: !gate, %seqs: !seqs {moe.input = "seqs"})
    -> (!plan, !weights, !loss {moe.loss = "L3"}, !loss {moe.loss = "L4"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %eps = nn.fill 1.0e-20 like %sum : !token -> !token
  %d = arith.addf %sum, %eps : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights
  %w = arith.divf %s, %den : !weights
  %l3 = moe.balance_loss expert %p, %idx coef(#experts_coef) per_choice seqs(%seqs : !seqs) : !scores, !chosen -> !loss
  %l4 = moe.balance_loss device %p, %idx coef(#devices_coef) per_choice seqs(%seqs : !seqs) {devices = #devices} : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l3, %l4 : !plan, !weights, !loss, !loss
}
