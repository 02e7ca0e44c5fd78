// Mixtral's router: softmax over 8 experts, best 2, weights scaled to sum 1.
func.func @route(%x: tensor<?x48xf32>, %g: tensor<8x48xf32>) -> (!moe.plan<8, 2>, tensor<?x2xf32>) {
  %z = nn.linear %x, %g : tensor<?x48xf32>, tensor<8x48xf32>
  %p = nn.softmax %z axis(1) : tensor<?x8xf32>
  %idx = moe.select %p top_k(2) : tensor<?x8xf32>
  %s = moe.pick %p, %idx : tensor<?x8xf32>, tensor<?x2xi32>
  %sum = nn.reduce sum %s axis(1) : tensor<?x2xf32>
  %den = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x2xf32>
  %w = arith.divf %s, %den : tensor<?x2xf32>
  %plan = moe.make_plan %idx experts(8) : tensor<?x2xi32>
  return %plan, %w : !moe.plan<8, 2>, tensor<?x2xf32>
}
