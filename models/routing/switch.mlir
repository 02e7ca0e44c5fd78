// Switch Transformer (Fedus et al. 2021, arXiv:2101.03961): p = softmax(W·x); the expert of the largest p, weighed by it.
// An expert keeps its first C tokens (`limit`), the others pass by. switch_train: the router's x is multiplied by jitter.
// switch_sequences: capacity and balance for each sequence. switch_random: who stays is drawn (DeepSpeed; not causal).
#experts = 128 : i64
#k = 1 : i64
!plan = !moe.plan<128, 1>
!x = tensor<?x?xf32>
!gate = tensor<128x?xf32>
!scores = tensor<?x128xf32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>
!seqs = tensor<?xi32>
!loss = tensor<f32>
#limit = #moe.capacity<factor = 1.25>
#balance = 0.01 : f64
#small = 0.001 : f64

moe.router @switch(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L1"}, !loss {moe.loss = "L8"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %first = moe.select %p top_k(#k) : !scores
  %idx = moe.capacity %first experts(#experts) limit(#limit) : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !chosen -> !loss
  %l8 = moe.z_loss %z coef(#small) : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1, %l8 : !plan, !weights, !loss, !loss
}

moe.router @switch_train(%x: !x, %gate: !gate, %jitter: !x)
    -> (!plan, !weights, !loss {moe.loss = "L1"}, !loss {moe.loss = "L8"}) {
  %xj = arith.mulf %x, %jitter : !x
  %z = nn.linear %xj, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %first = moe.select %p top_k(#k) : !scores
  %idx = moe.capacity %first experts(#experts) limit(#limit) : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !chosen -> !loss
  %l8 = moe.z_loss %z coef(#small) : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1, %l8 : !plan, !weights, !loss, !loss
}

moe.router @switch_sequences(%x: !x, %gate: !gate, %jitter: !x, %seqs: !seqs {moe.input = "seqs"})
    -> (!plan, !weights, !loss {moe.loss = "L1"}, !loss {moe.loss = "L8"}) {
  %xj = arith.mulf %x, %jitter : !x
  %z = nn.linear %xj, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %first = moe.select %p top_k(#k) : !scores
  %idx = moe.capacity %first experts(#experts) limit(#limit) seqs(%seqs : !seqs) : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %l1 = moe.balance_loss expert %p, %first coef(#balance) seqs(%seqs : !seqs) : !scores, !chosen -> !loss
  %l8 = moe.z_loss %z coef(#small) : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1, %l8 : !plan, !weights, !loss, !loss
}

moe.router @switch_random(%x: !x, %gate: !gate, %uniform: !scores)
    -> (!plan, !weights, !loss {moe.loss = "L1"}, !loss {moe.loss = "L8"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %first = moe.select %p top_k(#k) : !scores
  %rank = moe.pick %uniform, %first : !scores, !chosen
  %idx = moe.capacity %first experts(#experts) limit(#limit) priority(%rank : !weights) : !chosen
  %w = moe.pick %p, %idx : !scores, !chosen
  %l1 = moe.balance_loss expert %p, %first coef(#balance) : !scores, !chosen -> !loss
  %l8 = moe.z_loss %z coef(#small) : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l1, %l8 : !plan, !weights, !loss, !loss
}
