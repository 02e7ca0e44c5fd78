// AdaMoE (Zeng et al. 2024, arXiv:2406.13233): null experts beside the E real ones, p = softmax over both; the K largest;
// a null choice costs nothing (invalid, E), and the real ones are weighed by p / Σ of the real chosen p.
// Exact; a token with null choices alone has weights 0.
#experts = 8 : i64
#k = 2 : i64
!plan = !moe.plan<8, 2>
!x = tensor<?x?xf32>
!gate = tensor<8x?xf32>
!scores = tensor<?x8xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>
!per_choice = tensor<2xf32>
!null_gate = tensor<4x?xf32>
!null_scores = tensor<?x4xf32>
!all = tensor<?x12xf32>
!per_choice_i32 = tensor<2xi32>
#least = dense<1.17549435e-38> : !per_choice
#none = dense<8> : !per_choice_i32

moe.router @adamoe(%x: !x, %gate: !gate, %null: !null_gate) -> (!plan, !weights) {
  %real = nn.linear %x, %gate : !x, !gate
  %nulls = nn.linear %x, %null : !x, !null_gate
  %z = nn.concat %real, %nulls : !scores, !null_scores
  %p = nn.softmax %z axis(1) : !all
  %chosen = moe.select %p top_k(#k) : !all
  %none = arith.constant #none
  %nones = nn.broadcast %none like %chosen : !chosen axis(0) : !per_choice_i32 -> !chosen
  %idx = arith.minsi %chosen, %nones : !chosen
  %preal = nn.slice %p[0, #experts] : !all
  %s = moe.pick %preal, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %least = arith.constant #least
  %leasts = nn.broadcast %least like %s : !weights axis(0) : !per_choice -> !weights
  %den = arith.maximumf %sums, %leasts : !weights
  %w = arith.divf %s, %den : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
