// Multi-gate mixture of experts (Ma et al. 2018): every expert runs once, and each of Q tasks weighs what they say by its
// own g_q = softmax(W_q·x). mmoe: weights [T, Q, E]; mmoe_layer: y [T, Q, D]. Dense. Exact.
#experts = 8 : i64
#tasks = 3 : i64
#width = 512 : i64
#inner = 2048 : i64
!plan = !moe.plan<8, 8>
!x = tensor<?x512xf32>
!xs = tensor<?x3x512xf32>
!gates = tensor<3x8x512xf32>
!weights = tensor<?x3x8xf32>
!none = tensor<?x8xf32>
!chosen = tensor<?x8xi32>
!outputs = tensor<?x8x512xf32>
!wide = tensor<?x3x8x512xf32>
!h = tensor<?x2048xf32>
!w1 = tensor<2048x512xf32>
!w2 = tensor<512x2048xf32>
!w1s = tensor<8x2048x512xf32>
!w2s = tensor<8x512x2048xf32>

moe.router @mmoe(%x: !x, %gates: !gates) -> !weights {
  %xs = nn.broadcast %x axis(1) : !x -> !xs
  %z = nn.head_linear %xs, %gates : !xs, !gates
  %g = nn.softmax %z axis(2) : !weights
  moe.return %g : !weights
}

func.func @mmoe_layer(%x: !x {nn.name = "x"}, %gates: !gates {nn.name = "Wg"}, %w1s: !w1s {nn.name = "W1"},
    %w2s: !w2s {nn.name = "W2"}) -> (!xs {nn.name = "y"}) {
  %g = moe.route @mmoe(%x, %gates) : (!x, !gates) -> !weights
  // Of equal scores, all experts are taken in ascending order.
  %none = nn.fill 0.0 like %x : !x -> !none
  %idx = moe.select %none top_k(#experts) : !none
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %rows = moe.dispatch %x, %plan : !x, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !x, !w1
    %h = nn.activate silu %u : !h
    %d = nn.linear %h, %w2 : !h, !w2
    moe.yield %d : !x
  }
  %f = moe.ungroup %out, %plan : !x, !plan
  %fs = nn.broadcast %f axis(1) : !outputs -> !wide
  %gs = nn.broadcast %g axis(3) : !weights -> !wide
  %parts = arith.mulf %fs, %gs : !wide
  %y = nn.reduce sum %parts axis(2) : !wide
  return %y : !xs
}
