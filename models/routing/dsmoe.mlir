// DS-MoE (Pan et al. 2024, arXiv:2404.05567), inference by threshold: p = softmax(W·x); every expert with p > τ, weighed
// by p, K being E. Exact. Its top-K variant is olmoe.mlir, its dense training all_experts.mlir.
#experts = 8 : i64
#k = 8 : i64
!plan = !moe.plan<8, 8>
!x = tensor<?x?xf32>
!gate = tensor<8x?xf32>
!scores = tensor<?x8xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!per_choice = tensor<8xf32>
!on = tensor<?x8xi1>
!per_choice_i32 = tensor<8xi32>
#least = dense<0.2> : !per_choice
#none = dense<8> : !per_choice_i32
#zero = dense<0.0> : !per_choice

moe.router @dsmoe(%x: !x, %gate: !gate) -> (!plan, !weights) {
  %z = nn.linear %x, %gate : !x, !gate
  %p = nn.softmax %z axis(1) : !scores
  %all = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %all : !scores, !chosen
  %least = arith.constant #least
  %leasts = nn.broadcast %least like %s : !weights axis(0) : !per_choice -> !weights
  %on = arith.cmpf ogt, %s, %leasts : !weights
  %none = arith.constant #none
  %nones = nn.broadcast %none like %all : !chosen axis(0) : !per_choice_i32 -> !chosen
  %idx = arith.select %on, %all, %nones : !on, !chosen
  %zero = arith.constant #zero
  %zeros = nn.broadcast %zero like %s : !weights axis(0) : !per_choice -> !weights
  %w = arith.select %on, %s, %zeros : !on, !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
