// Llama 4 (Meta 2025): the K largest logits z = W·x; w = sigmoid(z), which need not sum to 1. Exact; a moe.layer would
// weigh the output of an expert, the model weighs its input: llama4_layer, with the shared expert.
#experts = 16 : i64
#k = 1 : i64
#width = 5120 : i64
#inner = 8192 : i64
!plan = !moe.plan<16, 1>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>
!rows = tensor<?x5120xf32>
!router = tensor<16x5120xf32>
!copies = tensor<?x1x5120xf32>
!h = tensor<?x8192xf32>
!ups = tensor<16x8192x5120xf32>
!downs = tensor<16x5120x8192xf32>
!up = tensor<8192x5120xf32>
!down = tensor<5120x8192xf32>

moe.router @llama4(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.activate sigmoid %s : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

func.func @llama4_layer(%x: !rows {nn.name = "x"}, %router: !router {nn.name = "Wg"}, %gates: !ups {nn.name = "gate"},
    %ups: !ups {nn.name = "up"}, %downs: !downs {nn.name = "down"}, %sgate: !up {nn.name = "sgate"},
    %sup: !up {nn.name = "sup"}, %sdown: !down {nn.name = "sdown"}) -> (!rows {nn.name = "y"}) {
  %plan, %w = moe.route @llama4(%x, %router) : (!rows, !router) -> (!plan, !weights)
  %xs = nn.broadcast %x axis(1) : !rows -> !copies
  %ws = nn.broadcast %w axis(2) : !weights -> !copies
  %xw = arith.mulf %xs, %ws : !copies
  %rows = moe.group %xw, %plan : !copies, !plan
  %out = moe.experts %rows, %plan params(%gates, %ups, %downs) : (!rows, !plan, !ups, !ups, !downs) -> !rows {
  ^bb0(%r: !rows, %gate: !up, %up: !up, %down: !down):
    %g = nn.linear %r, %gate : !rows, !up
    %a = nn.activate silu %g : !h
    %u = nn.linear %r, %up : !rows, !up
    %h = arith.mulf %a, %u : !h
    %d = nn.linear %h, %down : !h, !down
    moe.yield %d : !rows
  }
  %one = nn.fill 1.0 like %w : !weights -> !weights
  %routed = moe.combine %out, %plan, %one : !rows, !plan, !weights
  %sg = nn.linear %x, %sgate : !rows, !up
  %sa = nn.activate silu %sg : !h
  %su = nn.linear %x, %sup : !rows, !up
  %sh = arith.mulf %sa, %su : !h
  %shared = nn.linear %sh, %sdown : !h, !down
  %y = arith.addf %routed, %shared : !rows
  return %y : !rows
}
