// More experts than threads of a block and than registers of a word: 1300 in 26 groups of 50, rows of 7.
func.func @route(%x: tensor<?x7xf32>, %g: tensor<1300x7xf32>) -> (!moe.plan<1300, 9>, tensor<?x9xf32>) {
  %z = nn.linear %x, %g : tensor<?x7xf32>, tensor<1300x7xf32>
  %m = moe.group_mask %z groups(26) keep(5) score(sum_top) fill(-1.0e30) {top = 3 : i64} : tensor<?x1300xf32>
  %idx = moe.select %m top_k(9) : tensor<?x1300xf32>
  %s = moe.pick %m, %idx : tensor<?x1300xf32>, tensor<?x9xi32>
  %w = nn.softmax %s axis(1) : tensor<?x9xf32>
  %plan = moe.make_plan %idx experts(1300) : tensor<?x9xi32>
  return %plan, %w : !moe.plan<1300, 9>, tensor<?x9xf32>
}
