// MoLoRA (Zadouri et al. 2023, arXiv:2309.05444): every adapter, weighed by p = softmax(W·x + b). molora_layer:
// y = W0·x + (α/r)·Σ_e p_e·B_e·A_e·x, `scale` being α/r. Exact.
#experts = 8 : i64
#width = 512 : i64
#out = 1024 : i64
#rank = 4 : i64
!plan = !moe.plan<8, 8>
!x = tensor<?x?xf32>
!gate = tensor<8x?xf32>
!scores = tensor<?x8xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!per_expert = tensor<8xf32>
!rows = tensor<?x512xf32>
!y = tensor<?x1024xf32>
!router = tensor<8x512xf32>
!dense = tensor<1024x512xf32>
!low = tensor<?x4xf32>
!a = tensor<4x512xf32>
!b = tensor<1024x4xf32>
!as = tensor<8x4x512xf32>
!bs = tensor<8x1024x4xf32>
#scale = 4.0 : f64

moe.router @molora(%x: !x, %gate: !gate, %bias: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate bias(%bias : !per_expert) : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#experts) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

func.func @molora_layer(%x: !rows {nn.name = "x"}, %gate: !router {nn.name = "Wg"}, %bias: !per_expert {nn.name = "b"},
    %w0: !dense {nn.name = "W0"}, %as: !as {nn.name = "A"}, %bs: !bs {nn.name = "B"}) -> (!y {nn.name = "y"}) {
  %plan, %w = moe.route @molora(%x, %gate, %bias) : (!rows, !router, !per_expert) -> (!plan, !weights)
  %rows = moe.dispatch %x, %plan : !rows, !plan
  %out = moe.experts %rows, %plan params(%as, %bs) : (!rows, !plan, !as, !bs) -> !y {
  ^bb0(%r: !rows, %a: !a, %b: !b):
    %low = nn.linear %r, %a : !rows, !a
    %up = nn.linear %low, %b : !low, !b
    %scale = nn.fill #scale like %up : !y -> !y
    %scaled = arith.mulf %up, %scale : !y
    moe.yield %scaled : !y
  }
  %adapters = moe.combine %out, %plan, %w : !y, !plan, !weights
  %base = nn.linear %x, %w0 : !rows, !dense
  %y = arith.addf %base, %adapters : !y
  return %y : !y
}
