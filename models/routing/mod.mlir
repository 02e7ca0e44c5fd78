// Mixture of Depths (Raposo et al. 2024, arXiv:2404.02258): r = w·x; in training the tokens of the largest r of a sequence,
// `limit` of them, go through a block, weighed by r (not causal); in sampling (mod_sample) those with sigmoid(r) > ½, which
// L16, the cross entropy of sigmoid(r) with the choice, teaches. mod_layer: y = x + r·block(x) for the tokens that were
// chosen, at their positions; the block here is an attention head of 8 and a feed-forward layer. Exact.
#width = 512 : i64
#inner = 2048 : i64
!plan = !moe.plan<1, 1>
!x = tensor<?x?xf32>
!gate = tensor<1x?xf32>
!scores = tensor<?x1xf32>
!chosen = tensor<?x1xi32>
!token = tensor<?xf32>
!ints = tensor<?xi32>
!loss = tensor<f32>
!rows = tensor<?x512xf32>
!router = tensor<1x512xf32>
!flat = tensor<?x8xf32>
!head = tensor<?x1x8xf32>
!h = tensor<?x2048xf32>
!qkv = tensor<8x512xf32>
!wo = tensor<512x8xf32>
!w1 = tensor<2048x512xf32>
!w2 = tensor<512x2048xf32>
#limit = #moe.capacity<factor = 0.125, round = floor>
#entropy = 0.01 : f64

moe.router @mod(%x: !x, %gate: !gate, %seqs: !ints {moe.input = "seqs"}) -> (!plan, !scores, !loss {moe.loss = "L16"}) {
  %r = nn.linear %x, %gate : !x, !gate
  %idx = moe.select_tokens %r limit(#limit) seqs(%seqs : !ints) : !scores
  %w = moe.pick %r, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(1) : !chosen
  // The mean of log(1 + exp(r)) − r·chosen; pick gives r where chosen.
  %relu = nn.activate relu %r : !scores
  %abs = math.absf %r : !scores
  %neg = arith.negf %abs : !scores
  %e = math.exp %neg : !scores
  %one = nn.fill 1.0 like %r : !scores -> !scores
  %e1 = arith.addf %e, %one : !scores
  %log = math.log %e1 : !scores
  %softplus = arith.addf %relu, %log : !scores
  %each = arith.subf %softplus, %w : !scores
  %t = nn.reduce sum %each axis(1) : !scores
  %mean = nn.reduce mean %t axis(0) : !token
  %coef = nn.fill #entropy like %mean : !loss -> !loss
  %l16 = arith.mulf %mean, %coef : !loss
  moe.return %plan, %w, %l16 : !plan, !scores, !loss
}

moe.router @mod_sample(%x: !x, %gate: !gate) -> (!plan, !scores, !loss {moe.loss = "L16"}) {
  %r = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %r top_k(1) above(0.0) : !scores
  %w = moe.pick %r, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(1) : !chosen
  %abs = math.absf %r : !scores
  %neg = arith.negf %abs : !scores
  %e = math.exp %neg : !scores
  %one = nn.fill 1.0 like %r : !scores -> !scores
  %e1 = arith.addf %e, %one : !scores
  %log = math.log %e1 : !scores  // max(r, 0) is what was picked
  %t = nn.reduce sum %log axis(1) : !scores
  %mean = nn.reduce mean %t axis(0) : !token
  %coef = nn.fill #entropy like %mean : !loss -> !loss
  %l16 = arith.mulf %mean, %coef : !loss
  moe.return %plan, %w, %l16 : !plan, !scores, !loss
}

func.func @mod_layer(%x: !rows {nn.name = "x"}, %gate: !router {nn.name = "w_r"}, %seqs: !ints {nn.name = "cu_seqlens"},
    %positions: !ints {nn.name = "positions"}, %wq: !qkv {nn.name = "Wq"}, %wk: !qkv {nn.name = "Wk"},
    %wv: !qkv {nn.name = "Wv"}, %wo: !wo {nn.name = "Wo"}, %w1: !w1 {nn.name = "W1"}, %w2: !w2 {nn.name = "W2"})
    -> (!rows {nn.name = "y"}) {
  %plan, %w, %l16 = moe.route @mod(%x, %gate, %seqs) : (!rows, !router, !ints) -> (!plan, !scores, !loss)
  %u = moe.dispatch %x, %plan : !rows, !plan
  %at = moe.dispatch %positions, %plan : !ints, !plan
  %rows = moe.plan_seqs %plan seqs(%seqs) : !plan, !ints
  %table = nn.rope_table %at scale(1.0) inv_freq([1.0, 0.1, 0.01, 0.001]) : !ints
  %qf = nn.linear %u, %wq : !rows, !qkv
  %kf = nn.linear %u, %wk : !rows, !qkv
  %vf = nn.linear %u, %wv : !rows, !qkv
  %qh = nn.reshape %qf : !flat -> !head
  %kh = nn.reshape %kf : !flat -> !head
  %v = nn.reshape %vf : !flat -> !head
  %q = nn.rope half %qh, %table start(0) : !head, !flat
  %k = nn.rope half %kh, %table start(0) : !head, !flat
  %oh = nn.attend %q, %k, %v positions(%at) seqs(%rows) {scale = 0.35355339059327379 : f64} : !head, !head, !head seqs !ints, !ints -> !head
  %of = nn.reshape %oh : !head -> !flat
  %a = nn.linear %of, %wo : !flat, !wo
  %ua = arith.addf %u, %a : !rows
  %up = nn.linear %ua, %w1 : !rows, !w1
  %h = nn.activate silu %up : !h
  %f = nn.linear %h, %w2 : !h, !w2
  %block = arith.addf %a, %f : !rows
  %d = moe.combine %block, %plan, %w : !rows, !plan, !scores
  %y = arith.addf %x, %d : !rows
  return %y : !rows
}

func.func @mod_sample_layer(%x: !rows {nn.name = "x"}, %gate: !router {nn.name = "w_r"}, %seqs: !ints {nn.name = "cu_seqlens"},
    %positions: !ints {nn.name = "positions"}, %wq: !qkv {nn.name = "Wq"}, %wk: !qkv {nn.name = "Wk"},
    %wv: !qkv {nn.name = "Wv"}, %wo: !wo {nn.name = "Wo"}, %w1: !w1 {nn.name = "W1"}, %w2: !w2 {nn.name = "W2"})
    -> (!rows {nn.name = "y"}) {
  %plan, %w, %l16 = moe.route @mod_sample(%x, %gate) : (!rows, !router) -> (!plan, !scores, !loss)
  %u = moe.dispatch %x, %plan : !rows, !plan
  %at = moe.dispatch %positions, %plan : !ints, !plan
  %rows = moe.plan_seqs %plan seqs(%seqs) : !plan, !ints
  %table = nn.rope_table %at scale(1.0) inv_freq([1.0, 0.1, 0.01, 0.001]) : !ints
  %qf = nn.linear %u, %wq : !rows, !qkv
  %kf = nn.linear %u, %wk : !rows, !qkv
  %vf = nn.linear %u, %wv : !rows, !qkv
  %qh = nn.reshape %qf : !flat -> !head
  %kh = nn.reshape %kf : !flat -> !head
  %v = nn.reshape %vf : !flat -> !head
  %q = nn.rope half %qh, %table start(0) : !head, !flat
  %k = nn.rope half %kh, %table start(0) : !head, !flat
  %oh = nn.attend %q, %k, %v positions(%at) seqs(%rows) {scale = 0.35355339059327379 : f64} : !head, !head, !head seqs !ints, !ints -> !head
  %of = nn.reshape %oh : !head -> !flat
  %a = nn.linear %of, %wo : !flat, !wo
  %ua = arith.addf %u, %a : !rows
  %up = nn.linear %ua, %w1 : !rows, !w1
  %h = nn.activate silu %up : !h
  %f = nn.linear %h, %w2 : !h, !w2
  %block = arith.addf %a, %f : !rows
  %d = moe.combine %block, %plan, %w : !rows, !plan, !scores
  %y = arith.addf %x, %d : !rows
  return %y : !rows
}
