// S-BASE, Sinkhorn routing (Clark et al. 2022, arXiv:2202.01169; Megatron-Core), training: z = W·x; the K largest of z
// scaled so that tokens and experts are used equally (not causal); w = softmax(z) there, or (sinkhorn_top1, K = 1)
// sigmoid(z). Exact. At evaluation the choice is the largest w: olmoe.mlir, and llama4.mlir with K = 1.
#experts = 16 : i64
#k = 2 : i64
!plan = !moe.plan<16, 2>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>

moe.router @sinkhorn(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %even = moe.sinkhorn %z tolerance(1.0e-4) max_iterations(200) : !scores
  %idx = moe.select %even top_k(#k) : !scores
  %p = nn.softmax %z axis(1) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @sinkhorn_top1(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %even = moe.sinkhorn %z tolerance(1.0e-4) max_iterations(200) : !scores
  %idx = moe.select %even top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.activate sigmoid %s : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
