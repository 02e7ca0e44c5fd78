// DBRX (Databricks 2024): p = softmax(W·x); the K largest; w = p / ‖chosen p‖ in the L_power norm.
// Exact but for rounding: (Σ p^power)^(1/power) by logarithms, as p > 0. The released model has power 1: mixtral.mlir.
#experts = 16 : i64
#k = 4 : i64
!plan = !moe.plan<16, 4>
!x = tensor<?x?xf32>
!gate = tensor<16x?xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x4xi32>
!weights = tensor<?x4xf32>
!token = tensor<?xf32>
#power = 1.0 : f64

moe.router @dbrx(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %power = nn.fill #power like %s : !weights -> !weights
  %log = math.log %s : !weights
  %scaled = arith.mulf %log, %power : !weights
  %e = math.exp %scaled : !weights
  %sum = nn.reduce sum %e axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %logs = math.log %sums : !weights
  %root = arith.divf %logs, %power : !weights
  %norm = math.exp %root : !weights
  %w = arith.divf %s, %norm : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
