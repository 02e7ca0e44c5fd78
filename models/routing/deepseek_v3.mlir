// DeepSeek-V3 noaux_tc (2024, arXiv:2412.19437): p = sigmoid(W·x); c = p + bias only chooses. A group scores the sum of
// its two largest c, the other groups become `fill`; the K largest c; w = scale · p / (Σ of the chosen p + 1e-20).
// After a step the bias of an expert with less than the mean load rises by `gamma`, of one with more it falls. L6 balances
// each sequence with p / Σ p and the K largest p. Exact; fill is −inf in the authors' code, 0 in older ports.
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
!counts = tensor<256xi32>
!more = tensor<256xi1>
!seqs = tensor<?xi32>
!loss = tensor<f32>
#groups = 8 : i64
#keep = 4 : i64
#fill = 0xFFF0000000000000 : f64
#scale = 2.5 : f64
#balance = 0.0001 : f64
#gamma = 0.001 : f64

moe.router @deepseek_v3(%x: !x, %gate: !gate, %bias: !per_expert, %seqs: !seqs {moe.input = "seqs"})
    -> (!plan, !weights, !loss {moe.loss = "L6"}, !per_expert {moe.state = 2}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.activate sigmoid %z : !scores
  %b = nn.broadcast %bias like %p : !scores axis(0) : !per_expert -> !scores
  %c = arith.addf %p, %b : !scores
  %kept = moe.group_mask %c groups(#groups) keep(#keep) score(sum_top) fill(#fill) {top = 2 : i64} : !scores
  %idx = moe.select %kept top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %eps = nn.fill 1.0e-20 like %sum : !token -> !token
  %d = arith.addf %sum, %eps : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights
  %n = arith.divf %s, %den : !weights
  %scale = nn.fill #scale like %s : !weights -> !weights
  %w = arith.mulf %n, %scale : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  // L6
  %all = nn.reduce sum %p axis(1) : !scores
  %alls = nn.broadcast %all axis(1) : !token -> !scores
  %share = arith.divf %p, %alls : !scores
  %best = moe.select %p top_k(#k) : !scores
  %l6 = moe.balance_loss expert %share, %best coef(#balance) per_choice seqs(%seqs : !seqs) : !scores, !chosen -> !loss
  // bias + gamma · sign(mean load − load)
  %counts = moe.counts %plan : !plan
  %load = arith.sitofp %counts : !counts to !per_expert
  %m = nn.reduce mean %load axis(0) : !per_expert
  %mean = nn.broadcast %m axis(0) : !loss -> !per_expert
  %gamma = nn.fill #gamma like %load : !per_expert -> !per_expert
  %up = arith.addf %bias, %gamma : !per_expert
  %down = arith.subf %bias, %gamma : !per_expert
  %less = arith.cmpf olt, %load, %mean : !per_expert
  %more = arith.cmpf ogt, %load, %mean : !per_expert
  %raised = arith.select %less, %up, %bias : !more, !per_expert
  %next = arith.select %more, %down, %raised : !more, !per_expert
  moe.return %plan, %w, %l6, %next : !plan, !weights, !loss, !per_expert
}
