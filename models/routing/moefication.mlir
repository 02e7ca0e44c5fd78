// MoEfication (Zhang et al. 2021, arXiv:2110.01786): z = V·tanh(W·x / ‖x‖), chosen without gradient; the K largest are
// summed with weight 1. Exact but for the rounding of W·x / ‖x‖, divided here behind the product.
#experts = 16 : i64
#k = 4 : i64
!plan = !moe.plan<16, 4>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x4xi32>
!weights = tensor<?x4xf32>
!token = tensor<?xf32>
!square = tensor<16x16xf32>

moe.router @moefication(%x: !x, %gate: !gate, %second: !square) -> (!plan, !weights) {
  %a = nn.linear %x, %gate : !x, !gate
  %x2 = arith.mulf %x, %x : !x
  %l2 = nn.reduce sum %x2 axis(1) : !x
  %l = math.sqrt %l2 : !token
  %length = nn.broadcast %l axis(1) : !token -> !scores
  %n = arith.divf %a, %length : !scores
  %t = nn.activate tanh %n : !scores
  %z = nn.linear %t, %second : !scores, !square
  %idx = moe.select %z top_k(#k) : !scores
  %w = nn.fill 1.0 like %x : !x -> !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
