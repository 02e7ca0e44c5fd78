// AdaMoE (Zeng et al. 2024, arXiv:2406.13233): N null experts beside the E real ones, p = softmax over both; the K
// largest; a null choice costs nothing (invalid, E), and the real ones are weighed by p / Σ of the real chosen p (a token
// with null choices alone has weights 0). The loss is L2 over E + N experts, loads of null experts being their mean:
// `real` is coef·(E+N)/E, `nulls` coef·(E+N)/N. Exact.
#experts = 8 : i64
#k = 2 : i64
#null = 4 : i64
#both = 12 : i64
!plan = !moe.plan<8, 2>
!x = tensor<?x?xf32>
!gate = tensor<8x?xf32>
!null_gate = tensor<4x?xf32>
!scores = tensor<?x8xf32>
!null_scores = tensor<?x4xf32>
!all = tensor<?x12xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!loss = tensor<f32>
#real = 0.015 : f64
#nulls = 0.03 : f64

moe.router @adamoe(%x: !x, %gate: !gate, %null: !null_gate) -> (!plan, !weights, !loss {moe.loss = "load"}) {
  %zr = nn.linear %x, %gate : !x, !gate
  %zn = nn.linear %x, %null : !x, !null_gate
  %z = nn.concat %zr, %zn : !scores, !null_scores
  %p = nn.softmax %z axis(1) : !all
  %chosen = moe.select %p top_k(#k) : !all
  %none = nn.fill #experts like %chosen : !chosen -> !chosen
  %idx = arith.minsi %chosen, %none : !chosen
  %pr = nn.slice %p[0, #experts] : !all
  %s = moe.pick %pr, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %least = nn.fill 1.17549435e-38 like %sum : !token -> !token
  %d = arith.maximumf %sum, %least : !token
  %den = nn.broadcast %d axis(1) : !token -> !weights
  %w = arith.divf %s, %den : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %lr = moe.balance_loss expert %pr, %idx coef(#real) : !scores, !chosen -> !loss
  // Null choices of a token and the probability of all null experts, both as means over tokens.
  %one = nn.fill 1.0 like %s : !weights -> !weights
  %counts = moe.scatter_pick %one, %chosen experts(#both) : !weights, !chosen
  %cn = nn.slice %counts[#experts, #null] : !all
  %ct = nn.reduce sum %cn axis(1) : !null_scores
  %c = nn.reduce mean %ct axis(0) : !token
  %pn = nn.slice %p[#experts, #null] : !all
  %pt = nn.reduce sum %pn axis(1) : !null_scores
  %q = nn.reduce mean %pt axis(0) : !token
  %cq = arith.mulf %c, %q : !loss
  %coef = nn.fill #nulls like %cq : !loss -> !loss
  %ln = arith.mulf %cq, %coef : !loss
  %load = arith.addf %lr, %ln : !loss
  moe.return %plan, %w, %load : !plan, !weights, !loss
}
