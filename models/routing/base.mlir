// BASE layers (Lewis et al. 2021, arXiv:2103.16716) at evaluation: the expert of the largest a = C·x, α = sigmoid(a).
// Also stage 1 of StableMoE (Dai et al. 2022, arXiv:2204.08396) without capacity and distillation.
// Exact choice and α; the layer's α·f(x) + (1−α)·x is the model's to write. Training balances by an assignment.
#experts = 16 : i64
#k = 1 : i64
!plan = !moe.plan<16, 1>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>

moe.router @base(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.activate sigmoid %s : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
