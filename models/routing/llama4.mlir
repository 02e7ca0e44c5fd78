// Llama 4 (Meta 2025): the K largest logits z = W·x; w = sigmoid(z), which need not sum to 1. Also Sinkhorn routing
// (Clark et al. 2022, arXiv:2202.01169) at evaluation with K = 1.
// Exact choice and weights. The model multiplies the input of an expert by w, a moe.layer its output.
#experts = 16 : i64
#k = 1 : i64
!plan = !moe.plan<16, 1>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>

moe.router @llama4(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.activate sigmoid %s : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
