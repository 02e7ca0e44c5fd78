// Noisy top-K (Shazeer et al. 2017, arXiv:1701.06538): z = W·x + noise·σ with σ = softplus(N·x) + 1e-2; the K largest;
// w = softmax over the chosen z. L9 is the variation of the sums of w, L10 that of the load: the probability that new noise
// leaves an expert among the K, Φ((W·x − v)/σ), v the K-th largest z of the others.
// noisy_topk_eval: no noise, the load counts choices.
#experts = 64 : i64
#k = 4 : i64
!plan = !moe.plan<64, 4>
!x = tensor<?x?xf32>
!gate = tensor<64x?xf32>
!scores = tensor<?x64xf32>
!on = tensor<?x64xi1>
!chosen = tensor<?x4xi32>
!weights = tensor<?x4xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
#sigma = 1.0e-2 : f64
#importance = 0.1 : f64
#load = 0.1 : f64
#eps = 1.0e-10 : f64

moe.router @noisy_topk(%x: !x, %gate: !gate, %wide: !gate, %noise: !scores)
    -> (!plan, !weights, !loss {moe.loss = "L9"}, !loss {moe.loss = "L10"}) {
  %clean = nn.linear %x, %gate : !x, !gate
  %n = nn.linear %x, %wide : !x, !gate
  // softplus(n) = max(n, 0) + log(1 + exp(−|n|))
  %relu = nn.activate relu %n : !scores
  %abs = math.absf %n : !scores
  %neg = arith.negf %abs : !scores
  %e = math.exp %neg : !scores
  %one = nn.fill 1.0 like %n : !scores -> !scores
  %e1 = arith.addf %e, %one : !scores
  %log = math.log %e1 : !scores
  %softplus = arith.addf %relu, %log : !scores
  %least = nn.fill #sigma like %n : !scores -> !scores
  %sigma = arith.addf %softplus, %least : !scores
  %shift = arith.mulf %noise, %sigma : !scores
  %z = arith.addf %clean, %shift : !scores
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.softmax %s axis(1) : !weights
  %gates = moe.scatter_pick %w, %idx experts(#experts) : !weights, !chosen
  %l9 = moe.variation_loss %gates coef(#importance) {eps = #eps} : !scores -> !loss
  // The thresholds: the K-th z for experts outside, the (K+1)-th for those inside.
  %out = nn.reduce min %s axis(1) : !weights
  %outs = nn.broadcast %out axis(1) : !token -> !scores
  %others = moe.mask_choices %z, %idx fill(0xFFF0000000000000) : !scores, !chosen
  %in = nn.reduce max %others axis(1) : !scores
  %ins = nn.broadcast %in axis(1) : !token -> !scores
  %inside = arith.cmpf ogt, %z, %ins : !scores
  %v = arith.select %inside, %ins, %outs : !on, !scores
  %gap = arith.subf %clean, %v : !scores
  %t = arith.divf %gap, %sigma : !scores
  %root = nn.fill 0.70710678118654757 like %t : !scores -> !scores
  %t2 = arith.mulf %t, %root : !scores
  %erf = math.erf %t2 : !scores
  %twice = arith.addf %erf, %one : !scores
  %half = nn.fill 0.5 like %t : !scores -> !scores
  %stays = arith.mulf %twice, %half : !scores
  %l10 = moe.variation_loss %stays coef(#load) {eps = #eps} : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l9, %l10 : !plan, !weights, !loss, !loss
}

moe.router @noisy_topk_eval(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L9"}, !loss {moe.loss = "L10"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.softmax %s axis(1) : !weights
  %gates = moe.scatter_pick %w, %idx experts(#experts) : !weights, !chosen
  %l9 = moe.variation_loss %gates coef(#importance) {eps = #eps} : !scores -> !loss
  %one = nn.fill 1.0 like %w : !weights -> !weights
  %counts = moe.scatter_pick %one, %idx experts(#experts) : !weights, !chosen
  %l10 = moe.variation_loss %counts coef(#load) {eps = #eps} : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l9, %l10 : !plan, !weights, !loss, !loss
}
