// Lory (Zhong et al. 2024, arXiv:2405.03133): sequences are cut into segments; the experts of segment i are merged by
// p = softmax(W·mean of segment i − 1), those of a first segment by its own mean, without gradient. `segments` are the
// boundaries of all segments (as cu_seqlens), `previous` the number of the segment before each, its own for a first one,
// which `first` marks by 1. One row of weights for a segment; the layer is that of smear.mlir with segments for sequences.
// Exact. Causal but for first segments: a decoder merges once, from the prompt.
#experts = 8 : i64
#width = 512 : i64
!x = tensor<?x512xf32>
!gate = tensor<8x512xf32>
!scores = tensor<?x8xf32>
!ints = tensor<?xi32>
!segment = tensor<?xf32>

moe.router @lory(%x: !x, %gate: !gate, %segments: !ints, %previous: !ints, %first: !segment) -> !scores {
  %means = nn.segment_reduce mean %x seqs(%segments) : !x, !ints
  %before = nn.embedding %previous, %means : !ints, !x -> !x
  %own = moe.stop_gradient %before : !x
  %zb = nn.linear %before, %gate : !x, !gate
  %zo = nn.linear %own, %gate : !x, !gate
  %f = nn.broadcast %first axis(1) : !segment -> !scores
  %d = arith.subf %zo, %zb : !scores
  %df = arith.mulf %d, %f : !scores
  %z = arith.addf %zb, %df : !scores
  %p = nn.softmax %z axis(1) : !scores
  moe.return %p : !scores
}
