// Merging: `map` names the merged expert of each old one; its parameters are Σ usage·θ / Σ usage of the old ones.
// merge: p = softmax(W·x) over the old experts, the K largest, w = p / Σ of the chosen p; choices that land on one merged
// expert add their weights. `one` is the unit matrix, `member` row c of [map = c]. Exact.
#experts = 16 : i64
#merged = 4 : i64
#k = 2 : i64
#width = 512 : i64
#inner = 2048 : i64
!plan = !moe.plan<4, 2>
!x = tensor<?x512xf32>
!gate = tensor<16x512xf32>
!member = tensor<4x16xf32>
!old = tensor<?x16xf32>
!scores = tensor<?x4xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!map = tensor<16xi32>
!map_rows = tensor<16x1xi32>
!usage = tensor<16xf32>
!usage_rows = tensor<16x1xf32>
!hot = tensor<16x4xf32>
!square = tensor<4x4xf32>
!per_expert = tensor<4xf32>
!h = tensor<?x2048xf32>
!w1 = tensor<2048x512xf32>
!w2 = tensor<512x2048xf32>
!w1s = tensor<4x2048x512xf32>
!w2s = tensor<4x512x2048xf32>
!old_w1s = tensor<16x2048x512xf32>
!old_w2s = tensor<16x512x2048xf32>
#one = dense<[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]> : !square

moe.router @merge(%x: !x, %gate: !gate, %member: !member) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !old
  %some = moe.select %p top_k(#k) : !old
  %s = moe.pick %p, %some : !old, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %share = arith.divf %s, %sums : !weights
  %all = moe.scatter_pick %share, %some experts(#experts) : !weights, !chosen
  %merged = nn.linear %all, %member : !old, !member
  %idx = moe.select %merged top_k(#k) above(0.0) : !scores
  %w = moe.pick %merged, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#merged) : !chosen
  moe.return %plan, %w : !plan, !weights
}

func.func @merge_layer(%x: !x {nn.name = "x"}, %gate: !gate {nn.name = "Wg"}, %map: !map {nn.name = "map"},
    %usage: !usage {nn.name = "usage"}, %old1: !old_w1s {nn.name = "W1"}, %old2: !old_w2s {nn.name = "W2"})
    -> (!x {nn.name = "y"}, !chosen {nn.name = "idx"}, !weights {nn.name = "w"}, !w1s {nn.name = "ref.W1"}, !w2s {nn.name = "ref.W2"}) {
  %m = nn.reshape %map : !map -> !map_rows
  %u = nn.reshape %usage : !usage -> !usage_rows
  %unit = nn.fill 1.0 like %u : !usage_rows -> !usage_rows
  %one = arith.constant #one
  %hot = moe.scatter_pick %unit, %m experts(#merged) : !usage_rows, !map_rows
  %used = moe.scatter_pick %u, %m experts(#merged) : !usage_rows, !map_rows
  %member = nn.linear %one, %hot : !square, !hot
  %weight = nn.linear %one, %used : !square, !hot
  %sum = nn.reduce sum %weight axis(1) : !member
  %sums = nn.broadcast %sum axis(1) : !per_expert -> !member
  %average = arith.divf %weight, %sums : !member
  %w1s = moe.merge_params %average, %old1 : !member, !old_w1s
  %w2s = moe.merge_params %average, %old2 : !member, !old_w2s
  %plan, %w = moe.route @merge(%x, %gate, %member) : (!x, !gate, !member) -> (!plan, !weights)
  %rows = moe.dispatch %x, %plan : !x, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %a: !w1, %b: !w2):
    %up = nn.linear %r, %a : !x, !w1
    %h = nn.activate silu %up : !h
    %d = nn.linear %h, %b : !h, !w2
    moe.yield %d : !x
  }
  %y = moe.combine %out, %plan, %w : !x, !plan, !weights
  %idx = moe.plan_indices %plan : !plan
  return %y, %idx, %w, %w1s, %w2s : !x, !chosen, !weights, !w1s, !w2s
}
