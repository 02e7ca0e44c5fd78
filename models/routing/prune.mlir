// Pruning: `keep` lists the experts that stay. prune_layer takes their rows of the router and of the parameters and routes
// among them alone: p = softmax over the rest, the K largest, w = p / Σ of the chosen p (the rule of mixtral.mlir). Exact.
#experts = 16 : i64
#kept = 12 : i64
#k = 2 : i64
#width = 512 : i64
#inner = 2048 : i64
#flat = 1048576 : i64
!plan = !moe.plan<12, 2>
!x = tensor<?x512xf32>
!keep = tensor<12xi32>
!scores = tensor<?x12xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!h = tensor<?x2048xf32>
!w1 = tensor<2048x512xf32>
!w2 = tensor<512x2048xf32>
!gate = tensor<12x512xf32>
!w1s = tensor<12x2048x512xf32>
!w2s = tensor<12x512x2048xf32>
!rows = tensor<12x1048576xf32>
!old_gate = tensor<16x512xf32>
!old_w1s = tensor<16x2048x512xf32>
!old_w2s = tensor<16x512x2048xf32>
!old_rows = tensor<16x1048576xf32>

moe.router @prune(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %w = arith.divf %s, %sums : !weights
  %plan = moe.make_plan %idx experts(#kept) : !chosen
  moe.return %plan, %w : !plan, !weights
}

func.func @prune_layer(%x: !x {nn.name = "x"}, %keep: !keep {nn.name = "keep"}, %gate: !old_gate {nn.name = "Wg"},
    %w1: !old_w1s {nn.name = "W1"}, %w2: !old_w2s {nn.name = "W2"})
    -> (!x {nn.name = "y"}, !chosen {nn.name = "idx"}, !weights {nn.name = "w"}) {
  %g = nn.embedding %keep, %gate : !keep, !old_gate -> !gate
  %flat1 = nn.reshape %w1 : !old_w1s -> !old_rows
  %flat2 = nn.reshape %w2 : !old_w2s -> !old_rows
  %kept1 = nn.embedding %keep, %flat1 : !keep, !old_rows -> !rows
  %kept2 = nn.embedding %keep, %flat2 : !keep, !old_rows -> !rows
  %w1s = nn.reshape %kept1 : !rows -> !w1s
  %w2s = nn.reshape %kept2 : !rows -> !w2s
  %plan, %w = moe.route @prune(%x, %g) : (!x, !gate) -> (!plan, !weights)
  %rows = moe.dispatch %x, %plan : !x, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %a: !w1, %b: !w2):
    %u = nn.linear %r, %a : !x, !w1
    %h = nn.activate silu %u : !h
    %d = nn.linear %h, %b : !h, !w2
    moe.yield %d : !x
  }
  %y = moe.combine %out, %plan, %w : !x, !plan, !weights
  %idx = moe.plan_indices %plan : !plan
  return %y, %idx, %w : !x, !chosen, !weights
}
