// DeepSeek-V3 noaux_tc (2024, arXiv:2412.19437): p = sigmoid(W·x); c = p + bias only chooses. A group scores the sum of
// its two largest c, the other groups become `fill`; the K largest c; w = scale · p / (Σ of the chosen p + 1e-20).
// Exact; fill is −inf in the authors' code, 0 in older ports. The step of the bias after training steps is no router's.
#experts = 256 : i64
#k = 8 : i64
!plan = !moe.plan<256, 8>
!x = tensor<?x?xf32>
!gate = tensor<256x?xf32>
!scores = tensor<?x256xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!token = tensor<?xf32>
!per_expert = tensor<256xf32>
!per_choice = tensor<8xf32>
#groups = 8 : i64
#keep = 4 : i64
#fill = 0xFFF0000000000000 : f64
#eps = dense<1.0e-20> : !per_choice
#scale = dense<2.5> : !per_choice

moe.router @deepseek_v3(%x: !x, %gate: !gate, %bias: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.activate sigmoid %z : !scores
  %b = nn.broadcast %bias like %p : !scores axis(0) : !per_expert -> !scores
  %c = arith.addf %p, %b : !scores
  %kept = moe.group_mask %c groups(#groups) keep(#keep) score(sum_top) fill(#fill) {top = 2 : i64} : !scores
  %idx = moe.select %kept top_k(#k) : !scores
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
