// DeepSeek-V3's router: sigmoid scores, a bias for choosing alone, 8 groups scored by their best 2, weights scaled to sum 2.5.
func.func @route(%x: tensor<?x96xf32>, %g: tensor<64x96xf32>, %b: tensor<64xf32>) -> (!moe.plan<64, 4>, tensor<?x4xf32>) {
  %scale = arith.constant dense<2.5> : tensor<4xf32>
  %z = nn.linear %x, %g : tensor<?x96xf32>, tensor<64x96xf32>
  %p = nn.activate sigmoid %z : tensor<?x64xf32>
  %bias = nn.broadcast %b like %p : tensor<?x64xf32> axis(0) : tensor<64xf32> -> tensor<?x64xf32>
  %c = arith.addf %p, %bias : tensor<?x64xf32>
  %m = moe.group_mask %c groups(8) keep(4) score(sum_top) fill(0.0) {top = 2 : i64} : tensor<?x64xf32>
  %idx = moe.select %m top_k(4) : tensor<?x64xf32>
  %s = moe.pick %p, %idx : tensor<?x64xf32>, tensor<?x4xi32>
  %sum = nn.reduce sum %s axis(1) : tensor<?x4xf32>
  %den = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x4xf32>
  %n = arith.divf %s, %den : tensor<?x4xf32>
  %all = nn.broadcast %scale like %n : tensor<?x4xf32> axis(0) : tensor<4xf32> -> tensor<?x4xf32>
  %w = arith.mulf %n, %all : tensor<?x4xf32>
  %plan = moe.make_plan %idx experts(64) : tensor<?x4xi32>
  return %plan, %w : !moe.plan<64, 4>, tensor<?x4xf32>
}
