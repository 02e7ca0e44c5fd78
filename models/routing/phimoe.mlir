// SparseMixer as PhiMoE evaluates it (Liu et al. 2023, arXiv:2310.00811; 2024, arXiv:2409.12136): z = W·x; twice: the
// largest z that is left, weighed by a softmax over the z within 2ε of it, in parts of max(|z|, largest).
// Exact at evaluation (ordinary gradient); training draws and has a gradient of its own.
#experts = 16 : i64
#k = 2 : i64
!plan = !moe.plan<16, 2>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!per_expert = tensor<16xf32>
!best = tensor<?x1xi32>
!weight = tensor<?x1xf32>
!mask = tensor<?x16xi1>
#near = dense<0.02> : !per_expert
#none = dense<0xFF800000> : !per_expert
#zero = dense<0.0> : !per_expert

moe.router @phimoe(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %abs = math.absf %z : !scores
  %none = arith.constant #none
  %nones = nn.broadcast %none like %z : !scores axis(0) : !per_expert -> !scores
  %near = arith.constant #near
  %nears = nn.broadcast %near like %z : !scores axis(0) : !per_expert -> !scores
  %best1 = moe.select %z top_k(1) : !scores
  %max1 = nn.reduce max %z axis(1) : !scores
  %most1 = nn.broadcast %max1 axis(1) : !token -> !scores
  %gap1 = arith.subf %most1, %z : !scores
  %size1 = arith.maximumf %abs, %most1 : !scores
  %part1 = arith.divf %gap1, %size1 : !scores
  %far1 = arith.cmpf ogt, %part1, %nears : !scores
  %close1 = arith.select %far1, %nones, %z : !mask, !scores
  %p1 = nn.softmax %close1 axis(1) : !scores
  %w1 = moe.pick %p1, %best1 : !scores, !best
  // The second choice looks at what is left.
  %taken = moe.scatter_pick %w1, %best1 experts(#experts) : !weight, !best
  %zero = arith.constant #zero
  %zeros = nn.broadcast %zero like %z : !scores axis(0) : !per_expert -> !scores
  %is = arith.cmpf ogt, %taken, %zeros : !scores
  %left = arith.select %is, %nones, %z : !mask, !scores
  %best2 = moe.select %left top_k(1) : !scores
  %max2 = nn.reduce max %left axis(1) : !scores
  %most2 = nn.broadcast %max2 axis(1) : !token -> !scores
  %gap2 = arith.subf %most2, %z : !scores
  %size2 = arith.maximumf %abs, %most2 : !scores
  %part2 = arith.divf %gap2, %size2 : !scores
  %far2 = arith.cmpf ogt, %part2, %nears : !scores
  %close2 = arith.select %far2, %nones, %left : !mask, !scores
  %p2 = nn.softmax %close2 axis(1) : !scores
  %w2 = moe.pick %p2, %best2 : !scores, !best
  %w = nn.concat %w1, %w2 : !weight, !weight
  %idx = moe.select %z top_k(#k) : !scores
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
