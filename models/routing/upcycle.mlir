// Sparse upcycling (Komatsuzaki et al. 2022, arXiv:2212.05055): a dense layer becomes E equal experts and a new router; with
// weights that sum to 1 (granite.mlir) the layer says what it said before. Exact.
#experts = 8 : i64
#k = 2 : i64
#width = 512 : i64
#inner = 2048 : i64
!plan = !moe.plan<8, 2>
!x = tensor<?x512xf32>
!gate = tensor<8x512xf32>
!scores = tensor<?x8xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!h = tensor<?x2048xf32>
!w1 = tensor<2048x512xf32>
!w2 = tensor<512x2048xf32>
!w1s = tensor<8x2048x512xf32>
!w2s = tensor<8x512x2048xf32>

moe.router @upcycle(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.softmax %s axis(1) : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

func.func @upcycle_layer(%x: !x {nn.name = "x"}, %gate: !gate {nn.name = "Wg"}, %dense1: !w1 {nn.name = "W1"},
    %dense2: !w2 {nn.name = "W2"})
    -> (!x {nn.name = "y"}, !w1s {nn.name = "ref.W1_experts"}, !w2s {nn.name = "ref.W2_experts"}) {
  %w1s = nn.broadcast %dense1 axis(0) : !w1 -> !w1s
  %w2s = nn.broadcast %dense2 axis(0) : !w2 -> !w2s
  %plan, %w = moe.route @upcycle(%x, %gate) : (!x, !gate) -> (!plan, !weights)
  %rows = moe.dispatch %x, %plan : !x, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !x, !w1
    %h = nn.activate silu %u : !h
    %d = nn.linear %h, %w2 : !h, !w2
    moe.yield %d : !x
  }
  %y = moe.combine %out, %plan, %w : !x, !plan, !weights
  return %y, %w1s, %w2s : !x, !w1s, !w2s
}
