// X-MoE as in torchscale (Chi et al. 2022, arXiv:2204.09179): z_e = (R·x)·c_e / max(‖c_e‖, 1e-4), R reducing to few
// dimensions; p = softmax(z); the K largest, weighed by p (xmoe, K = 1) or p / Σ of the chosen p (xmoe_top2, K = 2).
// Exact without capacity; the normalised rows never appear, the product is divided by their norm.
#experts = 32 : i64
#k = 1 : i64
!plan = !moe.plan<32, 1>
!x = tensor<?x?xf32>
!gate = tensor<32x?xf32>
!scores = tensor<?x32xf32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>
!token = tensor<?xf32>
!per_expert = tensor<32xf32>
#eps = dense<1.0e-4> : !per_expert

moe.router @xmoe(%x: !x, %reduce: !x, %c: !gate) -> (!plan, !weights) {
  %h = nn.linear %x, %reduce : !x, !x
  %a = nn.linear %h, %c : !x, !gate
  %c2 = arith.mulf %c, %c : !gate
  %n2 = nn.reduce sum %c2 axis(1) : !gate
  %root = math.sqrt %n2 : !per_expert
  %eps = arith.constant #eps
  %norm = arith.maximumf %root, %eps : !per_expert
  %norms = nn.broadcast %norm like %a : !scores axis(0) : !per_expert -> !scores
  %z = arith.divf %a, %norms : !scores
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @xmoe_top2(%x: !x, %reduce: !x, %c: !gate) -> (!plan, !weights) {
  %h = nn.linear %x, %reduce : !x, !x
  %a = nn.linear %h, %c : !x, !gate
  %c2 = arith.mulf %c, %c : !gate
  %n2 = nn.reduce sum %c2 axis(1) : !gate
  %root = math.sqrt %n2 : !per_expert
  %eps = arith.constant #eps
  %norm = arith.maximumf %root, %eps : !per_expert
  %norms = nn.broadcast %norm like %a : !scores axis(0) : !per_expert -> !scores
  %z = arith.divf %a, %norms : !scores
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %w = arith.divf %s, %sums : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
