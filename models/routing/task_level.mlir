// Task-level MoE (Kudugunta et al. 2021, arXiv:2110.03742): z is the row of `table` of the task of the sequence;
// p = softmax(z); the K largest, weighed by p, or (task_level_norm) by p / Σ of the chosen p. `task` has a number for each
// sequence. Exact.
#experts = 16 : i64
#k = 2 : i64
!plan = !moe.plan<16, 2>
!x = tensor<?x?xf32>
!ints = tensor<?xi32>
!table = tensor<?x16xf32>
!scores = tensor<?x16xf32>
!chosen = tensor<?x2xi32>
!weights = tensor<?x2xf32>
!token = tensor<?xf32>

moe.router @task_level(%x: !x, %task: !ints, %table: !table, %seqs: !ints {moe.input = "seqs"}) -> (!plan, !weights) {
  %rows = nn.embedding %task, %table : !ints, !table -> !scores
  %z = nn.segment_broadcast %rows like %x seqs(%seqs) : !scores, !x, !ints
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}

moe.router @task_level_norm(%x: !x, %task: !ints, %table: !table, %seqs: !ints {moe.input = "seqs"}) -> (!plan, !weights) {
  %rows = nn.embedding %task, %table : !ints, !table -> !scores
  %z = nn.segment_broadcast %rows like %x seqs(%seqs) : !scores, !x, !ints
  %p = nn.softmax %z axis(1) : !scores
  %idx = moe.select %p top_k(#k) : !scores
  %s = moe.pick %p, %idx : !scores, !chosen
  %sum = nn.reduce sum %s axis(1) : !weights
  %sums = nn.broadcast %sum axis(1) : !token -> !weights
  %w = arith.divf %s, %sums : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
