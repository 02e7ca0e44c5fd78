// No token left behind (Fedus et al. 2021, arXiv:2101.03961; Mesh-TensorFlow): p = softmax(W·x); a token whose expert is
// full goes to its next choice of K while there is room (`limit`); w = p of the expert that took it. One choice in the end.
// Exact.
#experts = 32 : i64
#tries = 3 : i64
!plan = !moe.plan<32, 1>
!x = tensor<?x?xf32>
!gate = tensor<32x?xf32>
!scores = tensor<?x32xf32>
!wishes = tensor<?x3xi32>
!best = tensor<?x1xi32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>
!loss = tensor<f32>
#limit = #moe.capacity<factor = 1.0>
#balance = 0.01 : f64

moe.router @no_token_left_behind(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L1"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %wishes = moe.select %p top_k(#tries) : !scores
  %idx = moe.next_choice %wishes experts(#experts) limit(#limit) : !wishes
  %w = moe.pick %p, %idx : !scores, !chosen
  %first = moe.select %p top_k(1) : !scores
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !best -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1 : !plan, !weights, !loss
}
