// StableMoE (Dai et al. 2022, arXiv:2204.08396): w = sigmoid(C·x) of the chosen expert, tokens in order up to `limit`; a
// dropped token keeps x. Stage 1 (stable_moe_1): the largest C·x, a balance loss and L15, which teaches a light router of
// the token's id, D·emb[id], the choice. Stage 2 and evaluation (stable_moe): the light router chooses. Exact; the layer's
// w·f(x) + (1−w)·x is the model's to write.
#experts = 32 : i64
#light = 50 : i64
!plan = !moe.plan<32, 1>
!x = tensor<?x?xf32>
!ids = tensor<?xi32>
!gate = tensor<32x?xf32>
!emb = tensor<?x50xf32>
!light = tensor<32x50xf32>
!scores = tensor<?x32xf32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>
!token = tensor<?xf32>
!per_expert = tensor<32xf32>
!loss = tensor<f32>
#limit = #moe.capacity<factor = 1.5, round = floor>
#balance = 0.3 : f64
#distil = -0.2 : f64

moe.router @stable_moe(%x: !x, %gate: !gate, %ids: !ids {moe.input = "ids"}, %emb: !emb, %light: !light) -> (!plan, !weights) {
  %a = nn.linear %x, %gate : !x, !gate
  %e = nn.embedding %ids, %emb : !ids, !emb -> !emb
  %z = nn.linear %e, %light : !emb, !light
  %first = moe.select %z top_k(1) : !scores
  %idx = moe.capacity %first experts(#experts) limit(#limit) : !chosen
  %alpha = nn.activate sigmoid %a : !scores
  %w = moe.pick %alpha, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @stable_moe_1(%x: !x, %gate: !gate, %ids: !ids {moe.input = "ids"}, %emb: !emb, %light: !light)
    -> (!plan, !weights, !loss {moe.loss = "balance"}, !loss {moe.loss = "L15"}) {
  %a = nn.linear %x, %gate : !x, !gate
  %first = moe.select %a top_k(1) : !scores
  %idx = moe.capacity %first experts(#experts) limit(#limit) : !chosen
  %alpha = nn.activate sigmoid %a : !scores
  %w = moe.pick %alpha, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  // Σ_e (n_e − n̄)/n̄ · Σ of α over the tokens of e
  %s = moe.pick %alpha, %first : !scores, !chosen
  %se = moe.scatter_pick %s, %first experts(#experts) : !weights, !chosen
  %alphas = nn.reduce sum %se axis(0) : !scores
  %one = nn.fill 1.0 like %s : !weights -> !weights
  %oe = moe.scatter_pick %one, %first experts(#experts) : !weights, !chosen
  %n = nn.reduce sum %oe axis(0) : !scores
  %m = nn.reduce mean %n axis(0) : !per_expert
  %mean = nn.broadcast %m axis(0) : !loss -> !per_expert
  %over = arith.subf %n, %mean : !per_expert
  %share = arith.divf %over, %mean : !per_expert
  %parts = arith.mulf %share, %alphas : !per_expert
  %b = nn.reduce sum %parts axis(0) : !per_expert
  %bc = nn.fill #balance like %b : !loss -> !loss
  %balance = arith.mulf %b, %bc : !loss
  // −Σ log of what the light router gives the choice
  %e = nn.embedding %ids, %emb : !ids, !emb -> !emb
  %z = nn.linear %e, %light : !emb, !light
  %p = nn.softmax %z axis(1) : !scores
  %q = moe.pick %p, %first : !scores, !chosen
  %log = math.log %q : !weights
  %logs = nn.reduce sum %log axis(1) : !weights
  %d = nn.reduce sum %logs axis(0) : !token
  %dc = nn.fill #distil like %d : !loss -> !loss
  %l15 = arith.mulf %d, %dc : !loss
  moe.return %plan, %w, %balance, %l15 : !plan, !weights, !loss, !loss
}
