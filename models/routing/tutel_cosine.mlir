// The cosine gate of Tutel (Hwang et al. 2022, arXiv:2206.03382): z_e = h·c_e / (‖h‖·‖c_e‖) · exp(min(t, ln 100)) with
// h = R·x + b and a learned t; p = softmax(z); the K largest; w = p / Σ of the chosen p (tutel_cosine), or p where K = 1
// (tutel_cosine_top1). Exact without capacity; norms below 1e-12 count as that.
#experts = 32 : i64
#k = 2 : i64
!plan = !moe.plan<32, 2>
!x = tensor<?x?xf32>
!gate = tensor<32x?xf32>
!scores = tensor<?x32xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!per_expert = tensor<32xf32>
!reduced = tensor<?xf32>
#eps = dense<1.0e-12> : !per_expert
#most = dense<4.60517019> : !per_expert

moe.router @tutel_cosine(%x: !x, %reduce: !x, %bias: !reduced, %c: !gate, %t: tensor<f32>) -> (!plan, !weights) {
  %h = nn.linear %x, %reduce bias(%bias : !reduced) : !x, !x
  %a = nn.linear %h, %c : !x, !gate
  %c2 = arith.mulf %c, %c : !gate
  %n2 = nn.reduce sum %c2 axis(1) : !gate
  %root = math.sqrt %n2 : !per_expert
  %eps = arith.constant #eps
  %norm = arith.maximumf %root, %eps : !per_expert
  %norms = nn.broadcast %norm like %a : !scores axis(0) : !per_expert -> !scores
  %h2 = arith.mulf %h, %h : !x
  %l2 = nn.reduce sum %h2 axis(1) : !x
  %l = math.sqrt %l2 : !token
  %ls = nn.broadcast %l axis(1) : !token -> !scores
  %least = nn.broadcast %eps like %a : !scores axis(0) : !per_expert -> !scores
  %length = arith.maximumf %ls, %least : !scores
  %cosine = arith.divf %a, %norms : !scores
  %cosines = arith.divf %cosine, %length : !scores
  %ts = nn.broadcast %t axis(0) : tensor<f32> -> !per_expert
  %most = arith.constant #most
  %tm = arith.minimumf %ts, %most : !per_expert
  %te = math.exp %tm : !per_expert
  %scale = nn.broadcast %te like %a : !scores axis(0) : !per_expert -> !scores
  %z = arith.mulf %cosines, %scale : !scores
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %w = arith.divf %s, %sums : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @tutel_cosine_top1(%x: !x, %reduce: !x, %bias: !reduced, %c: !gate, %t: tensor<f32>) -> (!plan, !weights) {
  %h = nn.linear %x, %reduce bias(%bias : !reduced) : !x, !x
  %a = nn.linear %h, %c : !x, !gate
  %c2 = arith.mulf %c, %c : !gate
  %n2 = nn.reduce sum %c2 axis(1) : !gate
  %root = math.sqrt %n2 : !per_expert
  %eps = arith.constant #eps
  %norm = arith.maximumf %root, %eps : !per_expert
  %norms = nn.broadcast %norm like %a : !scores axis(0) : !per_expert -> !scores
  %h2 = arith.mulf %h, %h : !x
  %l2 = nn.reduce sum %h2 axis(1) : !x
  %l = math.sqrt %l2 : !token
  %ls = nn.broadcast %l axis(1) : !token -> !scores
  %least = nn.broadcast %eps like %a : !scores axis(0) : !per_expert -> !scores
  %length = arith.maximumf %ls, %least : !scores
  %cosine = arith.divf %a, %norms : !scores
  %cosines = arith.divf %cosine, %length : !scores
  %ts = nn.broadcast %t axis(0) : tensor<f32> -> !per_expert
  %most = arith.constant #most
  %tm = arith.minimumf %ts, %most : !per_expert
  %te = math.exp %tm : !per_expert
  %scale = nn.broadcast %te like %a : !scores axis(0) : !per_expert -> !scores
  %z = arith.mulf %cosines, %scale : !scores
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
