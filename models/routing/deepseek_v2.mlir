// DeepSeek-V2 (2024, arXiv:2405.04434): p = softmax(W·x); a group of experts scores its largest p, the experts of the
// other groups become 0; the K largest of what is left, weighed by `scale` times their p.
// Exact at evaluation: the limits of training per device are left out.
#experts = 160 : i64
#k = 6 : i64
!plan = !moe.plan<160, 6>
!x = tensor<?x?xf32>
!gate = tensor<160x?xf32>
!scores = tensor<?x160xf32>
!chosen = tensor<?x6xi32>
!weights = tensor<?x6xf32>
!per_choice = tensor<6xf32>
#groups = 8 : i64
#keep = 3 : i64
#scale = dense<16.0> : !per_choice

moe.router @deepseek_v2(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %kept = moe.group_mask %p groups(#groups) keep(#keep) score(max) fill(0.0) : !scores
  %idx = moe.select %kept top_k(#k) : !scores
  %s = moe.pick %kept, %idx : !scores, !chosen
  %scale = arith.constant #scale
  %scales = nn.broadcast %scale like %s : !weights axis(0) : !per_choice -> !weights
  %w = arith.mulf %s, %scales : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
