// DEMix layers (Gururangan et al. 2021, arXiv:2108.05036): the expert of a sequence is that of its domain, by a table;
// weight 1. `domain` has a number for each sequence. Exact; mixing the outputs of several domains is the model's.
#experts = 8 : i64
!plan = !moe.plan<8, 1>
!x = tensor<?x?xf32>
!ints = tensor<?xi32>
!table = tensor<?x1xi32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>

moe.router @demix(%x: !x, %domain: !ints, %table: !table, %seqs: !ints {moe.input = "seqs"}) -> (!plan, !weights) {
  %expert = nn.embedding %domain, %table : !ints, !table -> !chosen
  %idx = nn.segment_broadcast %expert like %x seqs(%seqs) : !chosen, !x, !ints
  %w = nn.fill 1.0 like %x : !x -> !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
