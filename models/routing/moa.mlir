// Mixture of Attention Heads (Zhang et al. 2022, arXiv:2210.05144) and the attention of JetMoE (2024, arXiv:2404.07413):
// experts project the queries of a token, all share keys and values, and the same experts project what attention gives:
// one plan used twice. moa: p = softmax(W·x), the K largest, weighed by p, losses L9 (of the sums over 1-norm), L2n and L8;
// JetMoE's router is granite.mlir. moa_layer: query (k, j) reads key head j. Exact; L9's ε is below the rounding.
#experts = 32 : i64
#k = 4 : i64
#width = 512 : i64
#kv = 2 : i64
#queries = 8 : i64
#dim = 64 : i64
#flat = 128 : i64
!plan = !moe.plan<32, 4>
!x = tensor<?x?xf32>
!gate = tensor<32x?xf32>
!scores = tensor<?x32xf32>
!chosen = tensor<?x4xi32>
!weights = tensor<?x4xf32>
!loss = tensor<f32>
!ints = tensor<?xi32>
!rows = tensor<?x512xf32>
!router = tensor<32x512xf32>
!flat = tensor<?x128xf32>
!choices = tensor<?x4x128xf32>
!q = tensor<?x8x64xf32>
!k = tensor<?x2x64xf32>
!wk = tensor<128x512xf32>
!wo = tensor<512x128xf32>
!wqs = tensor<32x128x512xf32>
!wos = tensor<32x512x128xf32>
#importance = 0.01 : f64
#balance = 0.02 : f64
#small = 0.001 : f64
#scale = 0.125 : f64

moe.router @moa(%x: !x, %gate: !gate)
    -> (!plan, !weights, !loss {moe.loss = "L9"}, !loss {moe.loss = "L2n"}, !loss {moe.loss = "L8"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %gates = moe.scatter_pick %w, %idx experts(#experts) : !weights, !chosen
  %l9 = moe.variation_loss %gates coef(#importance) unbiased : !scores -> !loss
  %l2 = moe.balance_loss expert %p, %idx coef(#balance) per_choice : !scores, !chosen -> !loss
  %l8 = moe.z_loss %z coef(#small) : !scores -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l9, %l2, %l8 : !plan, !weights, !loss, !loss, !loss
}

func.func @moa_layer(%x: !rows {nn.name = "x"}, %gate: !router {nn.name = "Wg"}, %wqs: !wqs {nn.name = "Wq"},
    %wos: !wos {nn.name = "Wo"}, %wk: !wk {nn.name = "Wk"}, %wv: !wk {nn.name = "Wv"}, %positions: !ints {nn.name = "positions"},
    %seqs: !ints {nn.name = "cu_seqlens"}) -> (!rows {nn.name = "y"}) {
  %plan, %w, %l9, %l2, %l8 = moe.route @moa(%x, %gate) : (!rows, !router) -> (!plan, !weights, !loss, !loss, !loss)
  %rows = moe.dispatch %x, %plan : !rows, !plan
  %map = moe.experts %rows, %plan params(%wqs) : (!rows, !plan, !wqs) -> !flat {
  ^bb0(%r: !rows, %wq: !wk):
    %h = nn.linear %r, %wq : !rows, !wk
    moe.yield %h : !flat
  }
  %qk = moe.ungroup %map, %plan : !flat, !plan
  %q = nn.reshape %qk : !choices -> !q
  %kf = nn.linear %x, %wk : !rows, !wk
  %vf = nn.linear %x, %wv : !rows, !wk
  %k = nn.reshape %kf : !flat -> !k
  %v = nn.reshape %vf : !flat -> !k
  %o = nn.attend %q, %k, %v positions(%positions) seqs(%seqs) {scale = #scale, tiled} : !q, !k, !k seqs !ints, !ints -> !q
  %ok = nn.reshape %o : !q -> !choices
  %heads = moe.group %ok, %plan : !choices, !plan
  %out = moe.experts %heads, %plan params(%wos) : (!flat, !plan, !wos) -> !rows {
  ^bb0(%r: !flat, %wo: !wo):
    %h = nn.linear %r, %wo : !flat, !wo
    moe.yield %h : !rows
  }
  %y = moe.combine %out, %plan, %w : !rows, !plan, !weights
  return %y : !rows
}
