// DS-MoE (Pan et al. 2024, arXiv:2404.05567): p = softmax(W·x). dsmoe_train: every expert, weighed by p, with the loss
// L11 = −(H(mean p) − mean H(p)). Inference: dsmoe takes every expert with p > `least`, weighed by p; dsmoe_topk the `few`
// largest p. Exact.
#experts = 8 : i64
#few = 2 : i64
!plan = !moe.plan<8, 8>
!plan_few = !moe.plan<8, 2>
!x = tensor<?x?xf32>
!gate = tensor<8x?xf32>
!scores = tensor<?x8xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!chosen_few = tensor<?x2xi32>
!weights_few = tensor<?x2xf32>
!token = tensor<?xf32>
!per_expert = tensor<8xf32>
!loss = tensor<f32>
#least = 0.2 : f64
#information = 0.01 : f64

moe.router @dsmoe(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#experts) above(#least) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @dsmoe_topk(%x: !x, %gate: !gate) -> (!plan_few, !weights_few) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#few) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen_few
  %plan = moe.make_plan %idx experts(#experts) : !chosen_few
  moe.return %plan, %w : !plan_few, !weights_few
}

moe.router @dsmoe_train(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L11"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#experts) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %mean = nn.reduce mean %p axis(0) : !scores
  %lm = math.log %mean : !per_expert
  %ml = arith.mulf %mean, %lm : !per_expert
  %ours = nn.reduce sum %ml axis(0) : !per_expert
  %lp = math.log %p : !scores
  %pl = arith.mulf %p, %lp : !scores
  %each = nn.reduce sum %pl axis(1) : !scores
  %theirs = nn.reduce mean %each axis(0) : !token
  %mi = arith.subf %ours, %theirs : !loss
  %c = nn.fill #information like %mi : !loss -> !loss
  %l11 = arith.mulf %mi, %c : !loss
  moe.return %plan, %w, %l11 : !plan, !weights, !loss
}
