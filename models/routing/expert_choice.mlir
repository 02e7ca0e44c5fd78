// Expert choice (Zhou et al. 2022, arXiv:2202.09368): p = softmax(W·x) over the experts; every expert takes its C best
// tokens of the sequence (`limit`), weighed by p; a token has as many experts as took it, perhaps none. Not causal.
// expert_choice_noise adds given noise to W·x. expert_choice_tokens (Mesh-TensorFlow): s = softmax over the tokens, and a
// loss of its own; expert_choice_shared divides s by the number of experts that took the token. Exact.
#experts = 16 : i64
!plan = !moe.plan<16, 16>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x16xi32>
!weights = tensor<?x16xf32>
!token = tensor<?xf32>
!seqs = tensor<?xi32>
!loss = tensor<f32>
#limit = #moe.capacity<factor = 2.0>
#balance = 0.01 : f64

moe.router @expert_choice(%x: !x, %gate: !gate, %seqs: !seqs {moe.input = "seqs"}) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select_tokens %p limit(#limit) seqs(%seqs : !seqs) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @expert_choice_noise(%x: !x, %gate: !gate, %noise: !scores) -> (!plan, !weights) {
  %clean = nn.linear %x, %gate : !x, !gate
  %z = arith.addf %clean, %noise : !scores
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select_tokens %p limit(#limit) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @expert_choice_tokens(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "own_balance"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %s = nn.softmax %z axis(0) : !scores
  %idx = moe.select_tokens %s limit(#limit) : !scores
  %w = moe.pick %s, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  // T·Σ_t q², q the mean of s over the experts
  %q = nn.reduce mean %s axis(1) : !scores
  %q2 = arith.mulf %q, %q : !token
  %sum = nn.reduce sum %q2 axis(0) : !token
  %one = nn.fill 1.0 like %q : !token -> !token
  %t = nn.reduce sum %one axis(0) : !token
  %b = arith.mulf %sum, %t : !loss
  %coef = nn.fill #balance like %b : !loss -> !loss
  %balance = arith.mulf %b, %coef : !loss
  moe.return %plan, %w, %balance : !plan, !weights, !loss
}

moe.router @expert_choice_shared(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "own_balance"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %s = nn.softmax %z axis(0) : !scores
  %idx = moe.select_tokens %s limit(#limit) : !scores
  %v = moe.pick %s, %idx : !scores, !chosen
  %one = nn.fill 1.0 like %s : !scores -> !scores
  %on = moe.pick %one, %idx : !scores, !chosen
  %took = nn.reduce sum %on axis(1) : !weights
  %least = nn.fill 1.0 like %took : !token -> !token
  %n = arith.maximumf %took, %least : !token
  %ns = nn.broadcast %n axis(1) : !token -> !weights
  %w = arith.divf %v, %ns : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %q = nn.reduce mean %s axis(1) : !scores
  %q2 = arith.mulf %q, %q : !token
  %sum = nn.reduce sum %q2 axis(0) : !token
  %t = nn.reduce sum %least axis(0) : !token
  %b = arith.mulf %sum, %t : !loss
  %coef = nn.fill #balance like %b : !loss -> !loss
  %balance = arith.mulf %b, %coef : !loss
  moe.return %plan, %w, %balance : !plan, !weights, !loss
}
