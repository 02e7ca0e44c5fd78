// Progressive layered extraction (Tang et al. 2020): Q tasks with `own` experts each and `shared` ones for all. A task
// weighs its own and the shared experts by softmax(W_q·h_q). ple_layer is one level; ple_two_layer has a level below it,
// whose shared gate weighs all experts into the stream that the shared experts of the next level read. Experts and their
// parameters stand in the order task 0, task 1, …, shared. Dense. Exact.
#tasks = 3 : i64
#own = 2 : i64
#shared = 4 : i64
#experts = 10 : i64
#width = 512 : i64
#inner = 1024 : i64
#owned_flat = 3072 : i64
#shared_flat = 2048 : i64
#flat = 5120 : i64
#choices = 6 : i64
!plan = !moe.plan<10, 10>
!x = tensor<?x512xf32>
!tasks = tensor<?x3x512xf32>
!owned = tensor<?x3x2x512xf32>
!owned_flat = tensor<?x3072xf32>
!shared = tensor<?x4x512xf32>
!shared_flat = tensor<?x2048xf32>
!shared_tasks = tensor<?x3x4x512xf32>
!flat = tensor<?x5120xf32>
!outputs = tensor<?x10x512xf32>
!gates = tensor<3x6x512xf32>
!shared_gate = tensor<10x512xf32>
!weights = tensor<?x3x6xf32>
!own_weights = tensor<?x3x2xf32>
!shared_weights = tensor<?x3x4xf32>
!scores = tensor<?x10xf32>
!chosen = tensor<?x10xi32>
!h = tensor<?x1024xf32>
!w1 = tensor<1024x512xf32>
!w2 = tensor<512x1024xf32>
!w1s = tensor<10x1024x512xf32>
!w2s = tensor<10x512x1024xf32>

func.func @ple_layer(%x: !x {nn.name = "x"}, %gates: !gates {nn.name = "Wg.0"}, %w1s: !w1s {nn.name = "W1.0"},
    %w2s: !w2s {nn.name = "W2.0"}) -> (!tasks {nn.name = "y"}, !weights {nn.name = "dense.0"}) {
  // All experts in ascending order, being equal.
  %none = nn.fill 0.0 like %x : !x -> !scores
  %idx = moe.select %none top_k(#experts) : !scores
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %rows = moe.dispatch %x, %plan : !x, !plan
  %out = moe.experts %rows, %plan params(%w1s, %w2s) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !x, !w1
    %a = nn.activate silu %u : !h
    %d = nn.linear %a, %w2 : !h, !w2
    moe.yield %d : !x
  }
  // Own experts [T, Q, own, D], shared ones for every task [T, Q, shared, D], and the weights of both.
  %f = moe.ungroup %out, %plan : !x, !plan
  %ff = nn.reshape %f : !outputs -> !flat
  %fo1 = nn.slice %ff[0, #owned_flat] : !flat
  %fs1 = nn.slice %ff[#owned_flat, #shared_flat] : !flat
  %fo = nn.reshape %fo1 : !owned_flat -> !owned
  %fs2 = nn.reshape %fs1 : !shared_flat -> !shared
  %fs = nn.broadcast %fs2 axis(1) : !shared -> !shared_tasks
  %h = nn.broadcast %x axis(1) : !x -> !tasks
  %z = nn.head_linear %h, %gates : !tasks, !gates
  %g = nn.softmax %z axis(2) : !weights
  %go = nn.slice %g[0, #own] : !weights
  %gs = nn.slice %g[#own, #shared] : !weights
  %gow = nn.broadcast %go axis(3) : !own_weights -> !owned
  %gsw = nn.broadcast %gs axis(3) : !shared_weights -> !shared_tasks
  %po = arith.mulf %fo, %gow : !owned
  %ps = arith.mulf %fs, %gsw : !shared_tasks
  %yo = nn.reduce sum %po axis(2) : !owned
  %ys = nn.reduce sum %ps axis(2) : !shared_tasks
  %y = arith.addf %yo, %ys : !tasks
  return %y, %g : !tasks, !weights
}

func.func @ple_two_layer(%x: !x {nn.name = "x"}, %gates0: !gates {nn.name = "Wg.0"}, %gate: !shared_gate {nn.name = "Wg.0.shared"},
    %w1s0: !w1s {nn.name = "W1.0"}, %w2s0: !w2s {nn.name = "W2.0"}, %gates1: !gates {nn.name = "Wg.1"},
    %w1s1: !w1s {nn.name = "W1.1"}, %w2s1: !w2s {nn.name = "W2.1"})
    -> (!tasks {nn.name = "y"}, !weights {nn.name = "dense.0"}, !scores {nn.name = "dense.0.shared"}, !weights {nn.name = "dense.1"}) {
  %none = nn.fill 0.0 like %x : !x -> !scores
  %idx = moe.select %none top_k(#experts) : !scores
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  %rows = moe.dispatch %x, %plan : !x, !plan
  %out = moe.experts %rows, %plan params(%w1s0, %w2s0) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !x, !w1
    %a = nn.activate silu %u : !h
    %d = nn.linear %a, %w2 : !h, !w2
    moe.yield %d : !x
  }
  %f = moe.ungroup %out, %plan : !x, !plan
  %ff = nn.reshape %f : !outputs -> !flat
  %fo1 = nn.slice %ff[0, #owned_flat] : !flat
  %fs1 = nn.slice %ff[#owned_flat, #shared_flat] : !flat
  %fo = nn.reshape %fo1 : !owned_flat -> !owned
  %fs2 = nn.reshape %fs1 : !shared_flat -> !shared
  %fs = nn.broadcast %fs2 axis(1) : !shared -> !shared_tasks
  %h = nn.broadcast %x axis(1) : !x -> !tasks
  %z = nn.head_linear %h, %gates0 : !tasks, !gates
  %g = nn.softmax %z axis(2) : !weights
  %go = nn.slice %g[0, #own] : !weights
  %gs = nn.slice %g[#own, #shared] : !weights
  %gow = nn.broadcast %go axis(3) : !own_weights -> !owned
  %gsw = nn.broadcast %gs axis(3) : !shared_weights -> !shared_tasks
  %po = arith.mulf %fo, %gow : !owned
  %ps = arith.mulf %fs, %gsw : !shared_tasks
  %yo = nn.reduce sum %po axis(2) : !owned
  %ys = nn.reduce sum %ps axis(2) : !shared_tasks
  %h1 = arith.addf %yo, %ys : !tasks
  // The stream of the shared experts.
  %zs = nn.linear %x, %gate : !x, !shared_gate
  %gall = nn.softmax %zs axis(1) : !scores
  %hs1 = moe.combine %out, %plan, %gall : !x, !plan, !scores
  // The next level: own experts read the stream of their task.
  %ho4 = nn.broadcast %h1 axis(2) : !tasks -> !owned
  %ho = nn.reshape %ho4 : !owned -> !owned_flat
  %hs3 = nn.broadcast %hs1 axis(1) : !x -> !shared
  %hs = nn.reshape %hs3 : !shared -> !shared_flat
  %hf = nn.concat %ho, %hs : !owned_flat, !shared_flat
  %in = nn.reshape %hf : !flat -> !outputs
  %rows1 = moe.group %in, %plan : !outputs, !plan
  %out1 = moe.experts %rows1, %plan params(%w1s1, %w2s1) : (!x, !plan, !w1s, !w2s) -> !x {
  ^bb0(%r: !x, %w1: !w1, %w2: !w2):
    %u = nn.linear %r, %w1 : !x, !w1
    %a = nn.activate silu %u : !h
    %d = nn.linear %a, %w2 : !h, !w2
    moe.yield %d : !x
  }
  %f1 = moe.ungroup %out1, %plan : !x, !plan
  %ff1 = nn.reshape %f1 : !outputs -> !flat
  %fo3 = nn.slice %ff1[0, #owned_flat] : !flat
  %fs3 = nn.slice %ff1[#owned_flat, #shared_flat] : !flat
  %fo4 = nn.reshape %fo3 : !owned_flat -> !owned
  %fs4 = nn.reshape %fs3 : !shared_flat -> !shared
  %fs5 = nn.broadcast %fs4 axis(1) : !shared -> !shared_tasks
  %z1 = nn.head_linear %h1, %gates1 : !tasks, !gates
  %g1 = nn.softmax %z1 axis(2) : !weights
  %go1 = nn.slice %g1[0, #own] : !weights
  %gs1 = nn.slice %g1[#own, #shared] : !weights
  %gow1 = nn.broadcast %go1 axis(3) : !own_weights -> !owned
  %gsw1 = nn.broadcast %gs1 axis(3) : !shared_weights -> !shared_tasks
  %po1 = arith.mulf %fo4, %gow1 : !owned
  %ps1 = arith.mulf %fs5, %gsw1 : !shared_tasks
  %yo1 = nn.reduce sum %po1 axis(2) : !owned
  %ys1 = nn.reduce sum %ps1 axis(2) : !shared_tasks
  %y = arith.addf %yo1, %ys1 : !tasks
  return %y, %g, %gall, %g1 : !tasks, !weights, !scores, !weights
}
