// Hash layers (Roller et al. 2021, arXiv:2106.04426): the expert of a token is in a table, by its id; weight 1, no
// parameters of its own. MultiHash has K tables, a column of `table` each, and a slice of the layer for each choice,
// whose outputs stand side by side (moe.ungroup). Exact.
#k = 1 : i64
#experts = 64 : i64
!plan = !moe.plan<64, 1>
!x = tensor<?x?xf32>
!ids = tensor<?xi32>
!table = tensor<?x1xi32>
!chosen = tensor<?x1xi32>
!weights = tensor<?x1xf32>

moe.router @hash(%x: !x, %ids: !ids {moe.input = "ids"}, %table: !table) -> (!plan, !weights) {
  %idx = nn.embedding %ids, %table : !ids, !table -> !chosen
  %w = nn.fill 1.0 like %ids : !ids -> !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
