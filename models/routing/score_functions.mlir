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
!per_expert = tensor<64xf32>
!per_choice = tensor<6xf32>
#eps = dense<1.0e-20> : !per_choice
#scale = dense<2.5> : !per_choice
#zero = dense<0.0> : !per_expert
#one = dense<1.0> : !per_expert

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
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %eps = arith.constant #eps
  %epss = nn.broadcast %eps like %s : !weights axis(0) : !per_choice -> !weights
  %den = arith.addf %sums, %epss : !weights
  %n = arith.divf %s, %den : !weights
  %scale = arith.constant #scale
  %scales = nn.broadcast %scale like %s : !weights axis(0) : !per_choice -> !weights
  %w = arith.mulf %n, %scales : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @sqrt_softplus(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %zero = arith.constant #zero
  %zeros = nn.broadcast %zero like %z : !scores axis(0) : !per_expert -> !scores
  %one = arith.constant #one
  %ones = nn.broadcast %one like %z : !scores axis(0) : !per_expert -> !scores
  %above = arith.maximumf %z, %zeros : !scores
  %abs = math.absf %z : !scores
  %neg = arith.negf %abs : !scores
  %e = math.exp %neg : !scores
  %e1 = arith.addf %e, %ones : !scores
  %log = math.log %e1 : !scores
  %softplus = arith.addf %above, %log : !scores
  %p = math.sqrt %softplus : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %eps = arith.constant #eps
  %epss = nn.broadcast %eps like %s : !weights axis(0) : !per_choice -> !weights
  %den = arith.addf %sums, %epss : !weights
  %n = arith.divf %s, %den : !weights
  %scale = arith.constant #scale
  %scales = nn.broadcast %scale like %s : !weights axis(0) : !per_choice -> !weights
  %w = arith.mulf %n, %scales : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
