// DeepSeek-V2 (2024, arXiv:2405.04434): p = softmax(W·x); a group of experts scores its largest p, the experts of the
// other groups become 0; the K largest of what is left, weighed by `scale` times their p. L3 balances experts, L4
// devices, L5 what is sent between devices, a device being a group. Exact; training drops tokens per device beyond this.
#experts = 160 : i64
#k = 6 : i64
!plan = !moe.plan<160, 6>
!x = tensor<?x?xf32>
!gate = tensor<160x?xf32>
!scores = tensor<?x160xf32>
!chosen = tensor<?x6xi32>
!weights = tensor<?x6xf32>
!seqs = tensor<?xi32>
!loss = tensor<f32>
#groups = 8 : i64
#keep = 3 : i64
#scale = 16.0 : f64
#experts_coef = 0.003 : f64
#devices_coef = 0.05 : f64
#sent_coef = 0.02 : f64

moe.router @deepseek_v2(%x: !x, %gate: !gate, %seqs: !seqs {moe.input = "seqs"})
    -> (!plan, !weights, !loss {moe.loss = "L3"}, !loss {moe.loss = "L4"}, !loss {moe.loss = "L5"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %kept = moe.group_mask %p groups(#groups) keep(#keep) score(max) fill(0.0) : !scores
  %idx = moe.select %kept top_k(#k) : !scores
  %s = moe.pick %kept, %idx : !scores, !chosen
  %scale = nn.fill #scale like %s : !weights -> !weights
  %w = arith.mulf %s, %scale : !weights
  %l3 = moe.balance_loss expert %p, %idx coef(#experts_coef) per_choice seqs(%seqs : !seqs) : !scores, !chosen -> !loss
  %l4 = moe.balance_loss device %p, %idx coef(#devices_coef) per_choice seqs(%seqs : !seqs) {devices = #groups} : !scores, !chosen -> !loss
  %l5 = moe.balance_loss communication %p, %idx coef(#sent_coef) seqs(%seqs : !seqs) {devices = #groups, limit = #keep} : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l3, %l4, %l5 : !plan, !weights, !loss, !loss, !loss
}
