// Routers that no model of the importer has.

// Sigmoid scores, a bias that only chooses, three experts, weights scaled to sum 2.5.
moe.router @biased(%x: tensor<?x20xf32>, %w: tensor<5x20xf32>) -> (!moe.plan<5, 3>, tensor<?x3xf32>) {
  %bias = arith.constant dense<[0.3, -0.2, 0.05, -0.1, 0.15]> : tensor<5xf32>
  %scale = arith.constant dense<2.5> : tensor<3xf32>
  %z = nn.linear %x, %w : tensor<?x20xf32>, tensor<5x20xf32>
  %s = nn.activate sigmoid %z : tensor<?x5xf32>
  %idx = moe.select %s bias(%bias : tensor<5xf32>) top_k(3) : tensor<?x5xf32>
  %p = moe.pick %s, %idx : tensor<?x5xf32>, tensor<?x3xi32>
  %sum = nn.reduce sum %p axis(1) : tensor<?x3xf32>
  %den = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x3xf32>
  %n = arith.divf %p, %den : tensor<?x3xf32>
  %all = nn.broadcast %scale like %n : tensor<?x3xf32> axis(0) : tensor<3xf32> -> tensor<?x3xf32>
  %wt = arith.mulf %n, %all : tensor<?x3xf32>
  %plan = moe.make_plan %idx experts(5) : tensor<?x3xi32>
  moe.return %plan, %wt : !moe.plan<5, 3>, tensor<?x3xf32>
}

// Softplus scores; of six groups the two whose best two experts score most; weights a softmax over the chosen three.
moe.router @grouped(%x: tensor<?x40xf32>, %w: tensor<12x40xf32>) -> (!moe.plan<12, 3>, tensor<?x3xf32>) {
  %one = arith.constant dense<1.0> : tensor<12xf32>
  %z = nn.linear %x, %w : tensor<?x40xf32>, tensor<12x40xf32>
  %e = math.exp %z : tensor<?x12xf32>
  %ones = nn.broadcast %one like %e : tensor<?x12xf32> axis(0) : tensor<12xf32> -> tensor<?x12xf32>
  %f = arith.addf %e, %ones : tensor<?x12xf32>
  %s = math.log %f : tensor<?x12xf32>
  %m = moe.group_mask %s groups(6) keep(2) score(sum_top) fill(-1.0) {top = 2 : i64} : tensor<?x12xf32>
  %idx = moe.select %m top_k(3) : tensor<?x12xf32>
  %p = moe.pick %s, %idx : tensor<?x12xf32>, tensor<?x3xi32>
  %wt = nn.softmax %p axis(1) : tensor<?x3xf32>
  %plan = moe.make_plan %idx experts(12) : tensor<?x3xi32>
  moe.return %plan, %wt : !moe.plan<12, 3>, tensor<?x3xf32>
}

// Of any width: one expert, by how far its score lies above the mean, in units of the largest distance.
moe.router @furthest(%x: tensor<?x?xf32>, %w: tensor<4x?xf32>) -> (!moe.plan<4, 1>, tensor<?x1xf32>) {
  %z = nn.linear %x, %w : tensor<?x?xf32>, tensor<4x?xf32>
  %mean = nn.reduce mean %z axis(1) : tensor<?x4xf32>
  %means = nn.broadcast %mean axis(1) : tensor<?xf32> -> tensor<?x4xf32>
  %d = arith.subf %z, %means : tensor<?x4xf32>
  %far = math.absf %d : tensor<?x4xf32>
  %most = nn.reduce max %far axis(1) : tensor<?x4xf32>
  %mosts = nn.broadcast %most axis(1) : tensor<?xf32> -> tensor<?x4xf32>
  %r = arith.divf %d, %mosts : tensor<?x4xf32>
  %idx = moe.select %r top_k(1) : tensor<?x4xf32>
  %wt = moe.pick %r, %idx : tensor<?x4xf32>, tensor<?x1xi32>
  %plan = moe.make_plan %idx experts(4) : tensor<?x1xi32>
  moe.return %plan, %wt : !moe.plan<4, 1>, tensor<?x1xf32>
}
