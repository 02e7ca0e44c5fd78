// Other scores than softmax. sigmoid: p = sigmoid(W·x), the K largest, weighed by p (Megatron-Core has it for K = 1);
// sigmoid_renorm: w = scale · p / (Σ of the chosen p + 1e-20); sqrt_softplus: the same with p = √log(1 + exp(W·x)), also
// of Megatron-Core. Exact.
#experts = 64 : i64
#k = 6 : i64
!plan = !moe.plan<64, 6>
!x = tensor<?x?xf32>
!gate = tensor<64x?xf32>
!scores = tensor<?x64xf32>
!chosen = tensor<?x6xi32>
!weights = tensor<?x6xf32>
!token = tensor<?xf32>
#scale = 2.5 : f64

moe.router @sigmoid(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.activate sigmoid %z : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @sigmoid_renorm(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.activate sigmoid %z : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %eps = nn.fill 1.0e-20 like %sum : !token -> !token
  %d = arith.addf %sum, %eps : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights
  %n = arith.divf %s, %den : !weights
  %scale = nn.fill #scale like %s : !weights -> !weights
  %w = arith.mulf %n, %scale : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @sqrt_softplus(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  // log(1 + exp(z)) = max(z, 0) + log(1 + exp(−|z|))
  %relu = nn.activate relu %z : !scores
  %abs = math.absf %z : !scores
  %neg = arith.negf %abs : !scores
  %e = math.exp %neg : !scores
  %one = nn.fill 1.0 like %z : !scores -> !scores
  %e1 = arith.addf %e, %one : !scores
  %log = math.log %e1 : !scores
  %softplus = arith.addf %relu, %log : !scores
  %p = math.sqrt %softplus : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %eps = nn.fill 1.0e-20 like %sum : !token -> !token
  %d = arith.addf %sum, %eps : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights
  %n = arith.divf %s, %den : !weights
  %scale = nn.fill #scale like %s : !weights -> !weights
  %w = arith.mulf %n, %scale : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
