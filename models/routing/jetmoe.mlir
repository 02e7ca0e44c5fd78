// JetMoE's attention (Shen et al. 2024, arXiv:2404.07413), mixture of attention heads with granite.mlir's rule: the K largest
// logits z = W·x; w = softmax over the chosen z; L2. jetmoe_layer: experts project queries and outputs, one plan used twice,
// all sharing keys and values; query (k, j) reads key head j; a bias at the end. Exact; without rotary positions here.
#experts = 16 : i64
#k = 4 : i64
#width = 512 : i64
#kv = 2 : i64
#queries = 8 : i64
#dim = 64 : i64
#flat = 128 : i64
!plan = !moe.plan<16, 4>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x4xi32>
!weights = tensor<?x4xf32>
!loss = tensor<f32>
!ints = tensor<?xi32>
!rows = tensor<?x512xf32>
!router = tensor<16x512xf32>
!vector = tensor<512xf32>
!flat = tensor<?x128xf32>
!choices = tensor<?x4x128xf32>
!q = tensor<?x8x64xf32>
!k = tensor<?x2x64xf32>
!wk = tensor<128x512xf32>
!wo = tensor<512x128xf32>
!wqs = tensor<16x128x512xf32>
!wos = tensor<16x512x128xf32>
#balance = 0.01 : f64
#scale = 0.125 : f64

moe.router @jetmoe(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L2"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.softmax %s axis(1) : !weights
  %p = nn.softmax %z axis(1) : !scores
  %l2 = moe.balance_loss expert %p, %idx coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l2 : !plan, !weights, !loss
}

func.func @jetmoe_layer(%x: !rows {nn.name = "x"}, %gate: !router {nn.name = "Wg"}, %wqs: !wqs {nn.name = "Wq"},
    %wos: !wos {nn.name = "Wo"}, %wk: !wk {nn.name = "Wk"}, %wv: !wk {nn.name = "Wv"}, %bias: !vector {nn.name = "b"},
    %positions: !ints {nn.name = "positions"}, %seqs: !ints {nn.name = "cu_seqlens"}) -> (!rows {nn.name = "y"}) {
  %plan, %w, %l2 = moe.route @jetmoe(%x, %gate) : (!rows, !router) -> (!plan, !weights, !loss)
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
  %sum = moe.combine %out, %plan, %w : !rows, !plan, !weights
  %bs = nn.broadcast %bias like %x : !rows axis(0) : !vector -> !rows
  %y = arith.addf %sum, %bs : !rows
  return %y : !rows
}
