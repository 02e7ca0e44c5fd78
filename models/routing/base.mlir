// BASE layers (Lewis et al. 2021, arXiv:2103.16716): a = C·x; α = sigmoid(a). base_train: every expert gets T/E tokens, by
// an assignment that makes the sum of a large (not causal; T divisible by E). base, at evaluation: the largest a.
// Exact choice and α; the layer's α·f(x) + (1−α)·x is the model's to write.
#experts = 16 : i64
#k = 1 : i64
!plan = !moe.plan<16, 1>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>

moe.router @base_train(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %a = nn.linear %x, %gate : !x, !gate
  %idx = moe.assign %a : !scores
  %s = moe.pick %a, %idx : !scores, !chosen
  %w = nn.activate sigmoid %s : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @base(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %a = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %a top_k(#k) : !scores
  %s = moe.pick %a, %idx : !scores, !chosen
  %w = nn.activate sigmoid %s : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
