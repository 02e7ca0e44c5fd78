// Quantile balancing (Megatron-Core): β, one number per expert, is subtracted from z = W·x for choosing only. Weights of
// the chosen: softmax over their z (quantile), their part of the softmax over all z (quantile_softmax), or
// sigmoid(z) / (Σ + 1e-20) (quantile_sigmoid). After a step β is ema·β + (1 − ema)·q less its mean, q_e being the
// (T·K/E + 1)-th largest z_e − α over the tokens, α the (K+1)-th largest z − β of a token. Exact.
#experts = 64 : i64
#k = 6 : i64
!plan = !moe.plan<64, 6>
!x = tensor<?x?xf32>
!gate = tensor<64x?xf32>
!scores = tensor<?x64xf32>
!all = tensor<?x64xi32>
!chosen = tensor<?x6xi32>
!weights = tensor<?x6xf32>
!token = tensor<?xf32>
!per_expert = tensor<64xf32>
!mean = tensor<f32>
#rank = #moe.capacity<factor = 6.0, round = floor>
#ema = 0.0 : f64
#new = 1.0 : f64
#none = 0xFFF0000000000000 : f64

moe.router @quantile(%x: !x, %gate: !gate, %beta: !per_expert) -> (!plan, !weights, !per_expert {moe.state = 2}) {
  %z = nn.linear %x, %gate : !x, !gate
  %b = nn.broadcast %beta like %z : !scores axis(0) : !per_expert -> !scores
  %zb = arith.subf %z, %b : !scores
  %idx = moe.select %zb top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.softmax %s axis(1) : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  // The largest that is left when the T·K/E largest are taken out is the quantile.
  %others = moe.mask_choices %zb, %idx fill(#none) : !scores, !chosen
  %a = nn.reduce max %others axis(1) : !scores
  %alpha = nn.broadcast %a axis(1) : !token -> !scores
  %d = arith.subf %z, %alpha : !scores
  %upper = moe.select_tokens %d limit(#rank) : !scores
  %lower = moe.mask_choices %d, %upper fill(#none) : !scores, !all
  %q = nn.reduce max %lower axis(0) : !scores
  %ema = nn.fill #ema like %q : !per_expert -> !per_expert
  %new = nn.fill #new like %q : !per_expert -> !per_expert
  %old = arith.mulf %beta, %ema : !per_expert
  %qn = arith.mulf %q, %new : !per_expert
  %sum = arith.addf %old, %qn : !per_expert
  %m = nn.reduce mean %sum axis(0) : !per_expert
  %mean = nn.broadcast %m axis(0) : !mean -> !per_expert
  %next = arith.subf %sum, %mean : !per_expert
  moe.return %plan, %w, %next : !plan, !weights, !per_expert
}

moe.router @quantile_softmax(%x: !x, %gate: !gate, %beta: !per_expert)
    -> (!plan, !weights, !per_expert {moe.state = 2}) {
  %z = nn.linear %x, %gate : !x, !gate
  %b = nn.broadcast %beta like %z : !scores axis(0) : !per_expert -> !scores
  %zb = arith.subf %z, %b : !scores
  %idx = moe.select %zb top_k(#k) : !scores
  %p = nn.softmax %z axis(1) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %others = moe.mask_choices %zb, %idx fill(#none) : !scores, !chosen
  %a = nn.reduce max %others axis(1) : !scores
  %alpha = nn.broadcast %a axis(1) : !token -> !scores
  %d = arith.subf %z, %alpha : !scores
  %upper = moe.select_tokens %d limit(#rank) : !scores
  %lower = moe.mask_choices %d, %upper fill(#none) : !scores, !all
  %q = nn.reduce max %lower axis(0) : !scores
  %ema = nn.fill #ema like %q : !per_expert -> !per_expert
  %new = nn.fill #new like %q : !per_expert -> !per_expert
  %old = arith.mulf %beta, %ema : !per_expert
  %qn = arith.mulf %q, %new : !per_expert
  %sum = arith.addf %old, %qn : !per_expert
  %m = nn.reduce mean %sum axis(0) : !per_expert
  %mean = nn.broadcast %m axis(0) : !mean -> !per_expert
  %next = arith.subf %sum, %mean : !per_expert
  moe.return %plan, %w, %next : !plan, !weights, !per_expert
}

moe.router @quantile_sigmoid(%x: !x, %gate: !gate, %beta: !per_expert)
    -> (!plan, !weights, !per_expert {moe.state = 2}) {
  %z = nn.linear %x, %gate : !x, !gate
  %b = nn.broadcast %beta like %z : !scores axis(0) : !per_expert -> !scores
  %zb = arith.subf %z, %b : !scores
  %idx = moe.select %zb top_k(#k) : !scores
  %p = nn.activate sigmoid %z : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %total = nn.reduce sum %s axis(1) : !weights
  %eps = nn.fill 1.0e-20 like %total : !token -> !token
  %t = arith.addf %total, %eps : !token
  %den = nn.broadcast %t axis(1) : !token -> !weights
  %w = arith.divf %s, %den : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %others = moe.mask_choices %zb, %idx fill(#none) : !scores, !chosen
  %a = nn.reduce max %others axis(1) : !scores
  %alpha = nn.broadcast %a axis(1) : !token -> !scores
  %d = arith.subf %z, %alpha : !scores
  %upper = moe.select_tokens %d limit(#rank) : !scores
  %lower = moe.mask_choices %d, %upper fill(#none) : !scores, !all
  %q = nn.reduce max %lower axis(0) : !scores
  %ema = nn.fill #ema like %q : !per_expert -> !per_expert
  %new = nn.fill #new like %q : !per_expert -> !per_expert
  %old = arith.mulf %beta, %ema : !per_expert
  %qn = arith.mulf %q, %new : !per_expert
  %sum = arith.addf %old, %qn : !per_expert
  %m = nn.reduce mean %sum axis(0) : !per_expert
  %mean = nn.broadcast %m axis(0) : !mean -> !per_expert
  %next = arith.subf %sum, %mean : !per_expert
  moe.return %plan, %w, %next : !plan, !weights, !per_expert
}
