// No known router: every kind of operation once. 37 experts and rows of 165, so that each loop has a rest.
func.func @route(%x: tensor<?x165xf32>, %g: tensor<37x165xbf16>, %h: tensor<37x165xf32>, %b: tensor<37xf32>, %c: tensor<37xbf16>) -> (!moe.plan<37, 5>, tensor<?x5xf32>) {
  %half = arith.constant dense<0.5> : tensor<37xf32>
  %z = nn.linear %x, %g bias(%b : tensor<37xf32>) : tensor<?x165xf32>, tensor<37x165xbf16>
  %n = nn.linear %x, %h : tensor<?x165xf32>, tensor<37x165xf32>
  %t = nn.activate tanh %n : tensor<?x37xf32>
  %wide = nn.broadcast %c like %z : tensor<?x37xf32> axis(0) : tensor<37xbf16> -> tensor<?x37xbf16>
  %cf = arith.extf %wide : tensor<?x37xbf16> to tensor<?x37xf32>
  %all = nn.broadcast %half like %z : tensor<?x37xf32> axis(0) : tensor<37xf32> -> tensor<?x37xf32>
  %f = math.fma %t, %all, %z : tensor<?x37xf32>
  %more = arith.addf %f, %cf : tensor<?x37xf32>
  %low = nn.reduce min %more axis(1) : tensor<?x37xf32>
  %high = nn.reduce max %more axis(1) : tensor<?x37xf32>
  %mean = nn.reduce mean %more axis(1) : tensor<?x37xf32>
  %range = arith.subf %high, %low : tensor<?xf32>
  %ranges = nn.broadcast %range axis(1) : tensor<?xf32> -> tensor<?x37xf32>
  %means = nn.broadcast %mean axis(1) : tensor<?xf32> -> tensor<?x37xf32>
  %centred = arith.subf %more, %means : tensor<?x37xf32>
  %scaled = arith.divf %centred, %ranges : tensor<?x37xf32>
  %is = arith.cmpf ogt, %more, %means : tensor<?x37xf32>
  %e = math.exp %scaled : tensor<?x37xf32>
  %a = math.absf %scaled : tensor<?x37xf32>
  %r = math.sqrt %a : tensor<?x37xf32>
  %mix = arith.select %is, %e, %r : tensor<?x37xi1>, tensor<?x37xf32>
  %p = nn.softmax %mix axis(1) : tensor<?x37xf32>
  %idx = moe.select %p bias(%b : tensor<37xf32>) top_k(5) : tensor<?x37xf32>
  %s = moe.pick %p, %idx : tensor<?x37xf32>, tensor<?x5xi32>
  %back = moe.scatter_pick %s, %idx experts(37) : tensor<?x5xf32>, tensor<?x5xi32>
  %log = math.log %p : tensor<?x37xf32>
  %entropy = arith.mulf %back, %log : tensor<?x37xf32>
  %sum = nn.reduce sum %entropy axis(1) : tensor<?x37xf32>
  %sums = nn.broadcast %sum axis(1) : tensor<?xf32> -> tensor<?x5xf32>
  %neg = arith.negf %sums : tensor<?x5xf32>
  %top = arith.maximumf %s, %neg : tensor<?x5xf32>
  %stop = moe.stop_gradient %top : tensor<?x5xf32>
  %short = arith.truncf %stop : tensor<?x5xf32> to tensor<?x5xbf16>
  %again = arith.extf %short : tensor<?x5xbf16> to tensor<?x5xf32>
  %w = arith.addf %s, %again : tensor<?x5xf32>
  %plan = moe.make_plan %idx experts(37) : tensor<?x5xi32>
  return %plan, %w : !moe.plan<37, 5>, tensor<?x5xf32>
}
