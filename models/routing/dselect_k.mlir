// DSelect-k (Hazimeh et al. 2021, arXiv:2106.03760), conditioned on x: `selectors` selectors, each one of 2^3 codes. Bit b
// of selector s is on with S(ζ_sb), ζ = Z·x + bz, S the smooth step ½ + 1.5 t − 2 t³ of t = ζ/γ, t within ±½. q_s,e is the
// product over the bits of the code of e (most significant first; `off` holds code − 1), and
// p_e = Σ_s softmax(A·x + ba)_s · q_s,e. Every expert with p > 0, weighed by p. The losses are the entropy of q, and
// Σ 1/Σ_e q, a constant where E is a power of two. dselect_k_free: selectors of a task, one row of weights.
// Exact but for rounding: the product runs through logarithms.
#experts = 8 : i64
#selectors = 2 : i64
#bits = 3 : i64
#pairs = 6 : i64
!plan = !moe.plan<8, 8>
!x = tensor<?x?xf32>
!scores = tensor<?x8xf32>
!chosen = tensor<?x8xi32>
!weights = tensor<?x8xf32>
!zeta = tensor<6x?xf32>
!zeta_bias = tensor<6xf32>
!alpha = tensor<2x?xf32>
!alpha_bias = tensor<2xf32>
!selectors = tensor<?x2xf32>
!token = tensor<?xf32>
!flat = tensor<?x6xf32>
!bits = tensor<?x2x3xf32>
!codes = tensor<8x3xf32>
!codes_2 = tensor<2x8x3xf32>
!wide = tensor<?x2x8x3xf32>
!q = tensor<?x2x8xf32>
!loss = tensor<f32>
#off = dense<[[-1., -1., -1.], [-1., -1., 0.], [-1., 0., -1.], [-1., 0., 0.], [0., -1., -1.], [0., -1., 0.], [0., 0., -1.], [0., 0., 0.]]> : !codes
#inverse_gamma = 1.0 : f64
#entropy = -0.1 : f64

moe.router @dselect_k(%x: !x, %wz: !zeta, %bz: !zeta_bias, %wa: !alpha, %ba: !alpha_bias)
    -> (!plan, !weights, !loss {moe.loss = "L12_entropy"}, !loss {moe.loss = "L12_reachability"}) {
  %zeta = nn.linear %x, %wz bias(%bz : !zeta_bias) : !x, !zeta
  %mix = nn.linear %x, %wa bias(%ba : !alpha_bias) : !x, !alpha
  %ig = nn.fill #inverse_gamma like %zeta : !flat -> !flat
  %half = nn.fill 0.5 like %zeta : !flat -> !flat
  %low = nn.fill -0.5 like %zeta : !flat -> !flat
  %slope = nn.fill 1.5 like %zeta : !flat -> !flat
  %two = nn.fill 2.0 like %zeta : !flat -> !flat
  %t0 = arith.mulf %zeta, %ig : !flat
  %t1 = arith.minimumf %t0, %half : !flat
  %t = arith.maximumf %t1, %low : !flat
  %sq = arith.mulf %t, %t : !flat
  %sq2 = arith.mulf %sq, %two : !flat
  %c = arith.subf %slope, %sq2 : !flat
  %ct = arith.mulf %c, %t : !flat
  %s = arith.addf %ct, %half : !flat
  // The factor of a bit is s where the code has it and 1 − s elsewhere: |s + code − 1|.
  %sb = nn.reshape %s : !flat -> !bits
  %s4 = nn.broadcast %sb axis(2) : !bits -> !wide
  %off = arith.constant #off
  %off3 = nn.broadcast %off axis(0) : !codes -> !codes_2
  %off4 = nn.broadcast %off3 like %s4 : !wide axis(0) : !codes_2 -> !wide
  %f = arith.addf %s4, %off4 : !wide
  %factor = math.absf %f : !wide
  %log = math.log %factor : !wide
  %logs = nn.reduce sum %log axis(3) : !wide
  %q = math.exp %logs : !q
  %share = nn.softmax %mix axis(1) : !selectors
  %shares = nn.broadcast %share axis(2) : !selectors -> !q
  %parts = arith.mulf %shares, %q : !q
  %p = nn.reduce sum %parts axis(1) : !q
  %idx = moe.select %p top_k(#experts) above(0.0) : !scores
  %w = moe.pick %p, %idx : !scores, !chosen
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  // −Σ q·log(q + 1e-6), and Σ 1/Σ_e q
  %eps = nn.fill 1.0e-6 like %q : !q -> !q
  %qe = arith.addf %q, %eps : !q
  %lq = math.log %qe : !q
  %ql = arith.mulf %q, %lq : !q
  %e2 = nn.reduce sum %ql axis(2) : !q
  %e1 = nn.reduce sum %e2 axis(1) : !selectors
  %e0 = nn.reduce sum %e1 axis(0) : !token
  %coef = nn.fill #entropy like %e0 : !loss -> !loss
  %entropy = arith.mulf %e0, %coef : !loss
  %sum = nn.reduce sum %q axis(2) : !q
  %one = nn.fill 1.0 like %sum : !selectors -> !selectors
  %inverse = arith.divf %one, %sum : !selectors
  %r1 = nn.reduce sum %inverse axis(1) : !selectors
  %reach = nn.reduce sum %r1 axis(0) : !token
  moe.return %plan, %w, %entropy, %reach : !plan, !weights, !loss, !loss
}

moe.router @dselect_k_free(%x: !x, %zeta: !flat, %mix: !selectors) -> (!weights, !loss {moe.loss = "L12_entropy"}) {
  %ig = nn.fill #inverse_gamma like %zeta : !flat -> !flat
  %half = nn.fill 0.5 like %zeta : !flat -> !flat
  %low = nn.fill -0.5 like %zeta : !flat -> !flat
  %slope = nn.fill 1.5 like %zeta : !flat -> !flat
  %two = nn.fill 2.0 like %zeta : !flat -> !flat
  %t0 = arith.mulf %zeta, %ig : !flat
  %t1 = arith.minimumf %t0, %half : !flat
  %t = arith.maximumf %t1, %low : !flat
  %sq = arith.mulf %t, %t : !flat
  %sq2 = arith.mulf %sq, %two : !flat
  %c = arith.subf %slope, %sq2 : !flat
  %ct = arith.mulf %c, %t : !flat
  %s = arith.addf %ct, %half : !flat
  %sb = nn.reshape %s : !flat -> !bits
  %s4 = nn.broadcast %sb axis(2) : !bits -> !wide
  %off = arith.constant #off
  %off3 = nn.broadcast %off axis(0) : !codes -> !codes_2
  %off4 = nn.broadcast %off3 like %s4 : !wide axis(0) : !codes_2 -> !wide
  %f = arith.addf %s4, %off4 : !wide
  %factor = math.absf %f : !wide
  %log = math.log %factor : !wide
  %logs = nn.reduce sum %log axis(3) : !wide
  %q = math.exp %logs : !q
  %share = nn.softmax %mix axis(1) : !selectors
  %shares = nn.broadcast %share axis(2) : !selectors -> !q
  %parts = arith.mulf %shares, %q : !q
  %p = nn.reduce sum %parts axis(1) : !q
  %eps = nn.fill 1.0e-6 like %q : !q -> !q
  %qe = arith.addf %q, %eps : !q
  %lq = math.log %qe : !q
  %ql = arith.mulf %q, %lq : !q
  %e2 = nn.reduce sum %ql axis(2) : !q
  %e1 = nn.reduce sum %e2 axis(1) : !selectors
  %e0 = nn.reduce sum %e1 axis(0) : !token
  %coef = nn.fill #entropy like %e0 : !loss -> !loss
  %entropy = arith.mulf %e0, %coef : !loss
  moe.return %p, %entropy : !weights, !loss
}
