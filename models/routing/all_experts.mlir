// Every expert, weighed by p = softmax(W·x (+ b)), K being E: MoLoRA (Zadouri et al. 2023, arXiv:2309.05444; with b) and
// the dense training of DS-MoE (Pan et al. 2024, arXiv:2404.05567). Exact.
#experts = 8 : i64
#k = 8 : i64
!plan = !moe.plan<8, 8>
!x = tensor<?x?xf32>
!gate = tensor<8x?xf32>
!scores = tensor<?x8xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!per_expert = tensor<8xf32>

moe.router @all_experts(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @molora(%x: !x, %gate: !gate, %bias: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate bias(%bias : !per_expert) : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
