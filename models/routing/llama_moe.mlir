// LLaMA-MoE (Zhu et al. 2024, arXiv:2406.16554) at evaluation: the K largest z = W·x; w = E/K · softmax over the chosen z,
// as the experts are parts of one feed-forward layer. Exact; `scale` is E/K. Training is noisy_topk.mlir.
#experts = 16 : i64
#k = 4 : i64
!plan = !moe.plan<16, 4>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x4xi32>
!weights = tensor<?x4xf32>
#scale = 4.0 : f64

moe.router @llama_moe(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %n = nn.softmax %s axis(1) : !weights
  %scale = nn.fill #scale like %s : !weights -> !weights
  %w = arith.mulf %n, %scale : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
