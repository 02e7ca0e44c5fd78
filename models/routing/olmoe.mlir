// OLMoE (Muennighoff et al. 2024, arXiv:2409.02060): p = softmax(W·x); the K largest, weighed by their p, which sum to
// less than 1; L2 as in transformers (all choices). Exact. Also Qwen1.5-MoE, Jamba, Grok-1, DS-MoE's top-K.
#experts = 64 : i64
#k = 8 : i64
!plan = !moe.plan<64, 8>
!x = tensor<?x?xf32>
!gate = tensor<64x?xf32>
!scores = tensor<?x64xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!loss = tensor<f32>
#balance = 0.01 : f64

moe.router @olmoe(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L2"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %l2 = moe.balance_loss expert %p, %idx coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l2 : !plan, !weights, !loss
}
