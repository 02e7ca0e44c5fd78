// Granite 3 MoE (IBM 2024): the K largest logits z = W·x; w = softmax over the chosen z alone.
// Exact. Also JetMoE, sparse upcycling, and the noisy top-K of Shazeer et al. (2017, arXiv:1701.06538) at evaluation.
// Equals mixtral.mlir in real arithmetic, not in rounding.
#experts = 40 : i64
#k = 8 : i64
!plan = !moe.plan<40, 8>
!x = tensor<?x?xf32>
!gate = tensor<40x?xf32>
!scores = tensor<?x40xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>

moe.router @granite(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.softmax %s axis(1) : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
