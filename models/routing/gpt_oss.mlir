// gpt-oss (OpenAI 2025): logits with a bias, z = W·x + b; the K largest; w = softmax over the chosen z. Exact.
#experts = 128 : i64
#k = 4 : i64
!plan = !moe.plan<128, 4>
!x = tensor<?x?xf32>
!gate = tensor<128x?xf32>
!scores = tensor<?x128xf32>
!chosen = tensor<?x4xi32>
!weights = tensor<?x4xf32>
!per_expert = tensor<128xf32>

moe.router @gpt_oss(%x: !x, %gate: !gate, %bias: !per_expert) -> (!plan, !weights) {
  %z = nn.linear %x, %gate bias(%bias : !per_expert) : !x, !gate
  %idx = moe.select %z top_k(#k) : !scores
  %s = moe.pick %z, %idx : !scores, !chosen
  %w = nn.softmax %s axis(1) : !weights
  %plan = moe.make_plan %idx experts(#experts) : !chosen
  moe.return %plan, %w : !plan, !weights
}
