// Switch Transformer (Fedus et al. 2021, arXiv:2101.03961): p = softmax(W·x); the expert of the largest p, weighed by it.
// Exact at evaluation without capacity: nothing is dropped, and the jitter of training is left out.
#experts = 128 : i64
#k = 1 : i64
!plan = !moe.plan<128, 1>
!x = tensor<?x?xf32>
!gate = tensor<128x?xf32>
!scores = tensor<?x128xf32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>

moe.router @switch(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
