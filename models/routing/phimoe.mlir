// SparseMixer as PhiMoE has it (Liu et al. 2023, arXiv:2310.00811; 2024, arXiv:2409.12136): z = W·x; twice: an expert of
// the z that are left, weighed by a softmax over the z within 2ε of the largest, in parts of max(|z|, largest).
// phimoe, at evaluation: the largest, with the ordinary gradient. phimoe_train: the largest z + Gumbel noise of those
// within 2ε; the weight m is m/3 where the pick is not the largest and a drawn u is not above ¾, and its gradient is
// m·(onehot(pick) − softmax). L2 counts the two largest of softmax(z). Exact.
#experts = 16 : i64
#k = 2 : i64
#both = 32 : i64
!plan = !moe.plan<16, 2>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!best = tensor<?x1xi32>
!weight = tensor<?x1xf32>
!on = tensor<?x1xi1>
!mask = tensor<?x16xi1>
!noise = tensor<?x2x16xf32>
!noises = tensor<?x32xf32>
!loss = tensor<f32>
#near = 0.02 : f64
#none = 0xFFF0000000000000 : f64
#balance = 0.001 : f64

moe.router @phimoe(%x: !x, %gate: !gate) -> (!plan, !weights, !loss {moe.loss = "L2"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %size = math.absf %z : !scores
  %near = nn.fill #near like %z : !scores -> !scores
  %none = nn.fill #none like %z : !scores -> !scores
  %max1 = nn.reduce max %z axis(1) : !scores
  %most1 = nn.broadcast %max1 axis(1) : !token -> !scores
  %gap1 = arith.subf %most1, %z : !scores
  %size1 = arith.maximumf %size, %most1 : !scores
  %part1 = arith.divf %gap1, %size1 : !scores
  %far1 = arith.cmpf ogt, %part1, %near : !scores
  %close1 = arith.select %far1, %none, %z : !mask, !scores
  %p1 = nn.softmax %close1 axis(1) : !scores
  %e1 = moe.select %z top_k(1) : !scores
  %w1 = moe.pick %p1, %e1 : !scores, !best
  // The second choice looks at what is left.
  %left = moe.mask_choices %z, %e1 fill(#none) : !scores, !best
  %max2 = nn.reduce max %left axis(1) : !scores
  %most2 = nn.broadcast %max2 axis(1) : !token -> !scores
  %gap2 = arith.subf %most2, %z : !scores
  %size2 = arith.maximumf %size, %most2 : !scores
  %part2 = arith.divf %gap2, %size2 : !scores
  %far2 = arith.cmpf ogt, %part2, %near : !scores
  %close2 = arith.select %far2, %none, %left : !mask, !scores
  %p2 = nn.softmax %close2 axis(1) : !scores
  %e2 = moe.select %left top_k(1) : !scores
  %w2 = moe.pick %p2, %e2 : !scores, !best
  %w = nn.concat %w1, %w2 : !weight, !weight
  %idx = nn.concat %e1, %e2 : !best, !best
  %p = nn.softmax %z axis(1) : !scores
  %two = moe.select %p top_k(#k) : !scores
  %l2 = moe.balance_loss expert %p, %two coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l2 : !plan, !weights, !loss
}

moe.router @phimoe_train(%x: !x, %gate: !gate, %gumbel: !noise, %uniform: !weights)
    -> (!plan, !weights, !loss {moe.loss = "L2"}) {
  %z = nn.linear %x, %gate : !x, !gate
  %size = math.absf %z : !scores
  %near = nn.fill #near like %z : !scores -> !scores
  %none = nn.fill #none like %z : !scores -> !scores
  %noises = nn.reshape %gumbel : !noise -> !noises
  %one = nn.fill 1.0 like %z : !scores -> !scores
  %bar = nn.fill 0.75 like %z : !scores -> !weight
  %third = nn.fill 0.3333 like %z : !scores -> !weight
  %max1 = nn.reduce max %z axis(1) : !scores
  %most1 = nn.broadcast %max1 axis(1) : !token -> !scores
  %gap1 = arith.subf %most1, %z : !scores
  %size1 = arith.maximumf %size, %most1 : !scores
  %part1 = arith.divf %gap1, %size1 : !scores
  %far1 = arith.cmpf ogt, %part1, %near : !scores
  %close1 = arith.select %far1, %none, %z : !mask, !scores
  %p1 = nn.softmax %close1 axis(1) : !scores
  %n1 = nn.slice %noises[0, #experts] : !noises
  %noisy1 = arith.addf %close1, %n1 : !scores
  %e1 = moe.select %noisy1 top_k(1) : !scores
  %best1 = moe.select %z top_k(1) : !scores
  %u1 = nn.slice %uniform[0, 1] : !weights
  %lucky1 = arith.cmpf ogt, %u1, %bar : !weight
  %is1 = arith.cmpi eq, %e1, %best1 : !best
  %full1 = arith.ori %lucky1, %is1 : !on
  %unit = moe.pick %one, %e1 : !scores, !best
  %f1 = arith.select %full1, %unit, %third : !on, !weight
  %w1 = moe.custom_vjp (%z, %p1, %e1, %f1) : (!scores, !scores, !best, !weight) -> !weight forward {
  ^bb0(%logits: !scores, %p: !scores, %e: !best, %f: !weight):
    %m = moe.pick %p, %e : !scores, !best
    %mf = arith.mulf %m, %f : !weight
    moe.yield %mf : !weight
  } backward {
  ^bb0(%logits: !scores, %p: !scores, %e: !best, %f: !weight, %mf: !weight, %g: !weight):
    %m = moe.pick %p, %e : !scores, !best
    %gm = arith.mulf %g, %m : !weight
    %hot = moe.scatter_pick %gm, %e experts(#experts) : !weight, !best
    %gt = nn.reduce sum %gm axis(1) : !weight
    %gs = nn.broadcast %gt axis(1) : !token -> !scores
    %cold = arith.mulf %gs, %p : !scores
    %dz = arith.subf %hot, %cold : !scores
    %zero = nn.fill 0.0 like %p : !scores -> !scores
    %nothing = nn.fill 0.0 like %p : !scores -> !weight
    moe.yield %dz, %zero, %e, %nothing : !scores, !scores, !best, !weight
  }
  %left = moe.mask_choices %z, %e1 fill(#none) : !scores, !best
  %max2 = nn.reduce max %left axis(1) : !scores
  %most2 = nn.broadcast %max2 axis(1) : !token -> !scores
  %gap2 = arith.subf %most2, %z : !scores
  %size2 = arith.maximumf %size, %most2 : !scores
  %part2 = arith.divf %gap2, %size2 : !scores
  %far2 = arith.cmpf ogt, %part2, %near : !scores
  %close2 = arith.select %far2, %none, %left : !mask, !scores
  %p2 = nn.softmax %close2 axis(1) : !scores
  %n2 = nn.slice %noises[#experts, #experts] : !noises
  %noisy2 = arith.addf %close2, %n2 : !scores
  %e2 = moe.select %noisy2 top_k(1) : !scores
  %best2 = moe.select %left top_k(1) : !scores
  %u2 = nn.slice %uniform[1, 1] : !weights
  %lucky2 = arith.cmpf ogt, %u2, %bar : !weight
  %is2 = arith.cmpi eq, %e2, %best2 : !best
  %full2 = arith.ori %lucky2, %is2 : !on
  %f2 = arith.select %full2, %unit, %third : !on, !weight
  %w2 = moe.custom_vjp (%z, %p2, %e2, %f2) : (!scores, !scores, !best, !weight) -> !weight forward {
  ^bb0(%logits: !scores, %p: !scores, %e: !best, %f: !weight):
    %m = moe.pick %p, %e : !scores, !best
    %mf = arith.mulf %m, %f : !weight
    moe.yield %mf : !weight
  } backward {
  ^bb0(%logits: !scores, %p: !scores, %e: !best, %f: !weight, %mf: !weight, %g: !weight):
    %m = moe.pick %p, %e : !scores, !best
    %gm = arith.mulf %g, %m : !weight
    %hot = moe.scatter_pick %gm, %e experts(#experts) : !weight, !best
    %gt = nn.reduce sum %gm axis(1) : !weight
    %gs = nn.broadcast %gt axis(1) : !token -> !scores
    %cold = arith.mulf %gs, %p : !scores
    %dz = arith.subf %hot, %cold : !scores
    %zero = nn.fill 0.0 like %p : !scores -> !scores
    %nothing = nn.fill 0.0 like %p : !scores -> !weight
    moe.yield %dz, %zero, %e, %nothing : !scores, !scores, !best, !weight
  }
  %w = nn.concat %w1, %w2 : !weight, !weight
  %idx = nn.concat %e1, %e2 : !best, !best
  %p = nn.softmax %z axis(1) : !scores
  %two = moe.select %p top_k(#k) : !scores
  %l2 = moe.balance_loss expert %p, %two coef(#balance) : !scores, !chosen -> !loss
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w, %l2 : !plan, !weights, !loss
}
