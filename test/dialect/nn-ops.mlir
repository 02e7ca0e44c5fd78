// Every operation of nn that stands in entries prints as it is read, as text and as bytecode.
// RUN: moe-opt %s --verify-roundtrip | FileCheck %s
// RUN: moe-opt %s --mlir-print-op-generic | moe-opt --verify-roundtrip | FileCheck %s

// CHECK-LABEL: func.func @norms
// CHECK: nn.layer_norm %{{.*}}, %{{.*}} bias(%{{.*}} : tensor<8xbf16>) eps(1.000000e-05) : tensor<?x8xf32>, tensor<8xbf16>
func.func @norms(%x: tensor<?x8xf32>, %w: tensor<8xbf16>) {
  %0 = nn.rms_norm %x, %w eps(1.0e-6) : tensor<?x8xf32>, tensor<8xbf16>
  %1 = nn.layer_norm %x, %w bias(%w : tensor<8xbf16>) eps(1.0e-5) : tensor<?x8xf32>, tensor<8xbf16>
  %2 = nn.layer_norm %x, %w eps(1.0e-5) : tensor<?x8xf32>, tensor<8xbf16>
  return
}

// CHECK-LABEL: func.func @positions
// CHECK: nn.rope half %{{.*}}, %{{.*}} start(2)
// CHECK: nn.rope interleaved
func.func @positions(%x: tensor<?x4x8xbf16>, %at: tensor<?xi32>) {
  %table = nn.rope_table %at scale(1.5) inv_freq([1.0, 0.25]) : tensor<?xi32>
  %0 = nn.rope half %x, %table start(2) : tensor<?x4x8xbf16>, tensor<?x4xf32>
  %1 = nn.rope interleaved %x, %table start(0) : tensor<?x4x8xbf16>, tensor<?x4xf32>
  return
}

// CHECK-LABEL: func.func @attention
// CHECK: nn.attend
// CHECK: nn.attend
func.func @attention(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x6xf32>, %latent: tensor<?x1x8xf32>,
                     %at: tensor<?xi32>, %seqs: tensor<?xi32>) {
  %0 = nn.attend %q, %k, %v positions(%at) seqs(%seqs) {scale = 0.5 : f64, window = 3 : i64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x6xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x6xf32>
  %1 = nn.attend %q, %latent positions(%at) seqs(%seqs) {scale = 0.5 : f64, value_dims = 6 : i64} : tensor<?x4x8xf32>, tensor<?x1x8xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x6xf32>
  return
}

// CHECK-LABEL: func.func @sinks
// CHECK: sinks(%{{.*}} : tensor<4xbf16>) {scale = 5.000000e-01 : f64, tiled}
// CHECK: nn.glu quick_gelu %{{.*}} {limit = 7.000000e+00 : f64, shift = 1.000000e+00 : f64}
func.func @sinks(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x6xf32>, %at: tensor<?xi32>, %seqs: tensor<?xi32>,
                 %sinks: tensor<4xbf16>, %x: tensor<?x8xf32>) {
  %0 = nn.attend %q, %k, %v positions(%at) seqs(%seqs) sinks(%sinks : tensor<4xbf16>) {scale = 0.5 : f64, tiled} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x6xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x6xf32>
  %1 = nn.glu quick_gelu %x {limit = 7.0 : f64, shift = 1.0 : f64} : tensor<?x8xf32>
  return
}

// CHECK-LABEL: func.func @cap
// CHECK: nn.attend {{.*}} {cap = 3.000000e+01 : f64, scale = 5.000000e-01 : f64}
func.func @cap(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x6xf32>, %at: tensor<?xi32>, %seqs: tensor<?xi32>) {
  %0 = nn.attend %q, %k, %v positions(%at) seqs(%seqs) {scale = 0.5 : f64, cap = 30.0 : f64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x6xf32> seqs tensor<?xi32>, tensor<?xi32> -> tensor<?x4x6xf32>
  return
}

// CHECK-LABEL: func.func @attention_grad
// CHECK: nn.attend_grad
func.func @attention_grad(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x6xf32>, %seqs: tensor<?xi32>, %dy: tensor<?x4x6xf32>) {
  %0:3 = nn.attend_grad %q, %k, %v seqs(%seqs) dy(%dy) {scale = 0.5 : f64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x6xf32> seqs tensor<?xi32>, tensor<?x4x6xf32> -> tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x6xf32>
  return
}

// CHECK-LABEL: func.func @attention_grad_of_all
// CHECK: nn.attend_grad {{.*}} sinks(%{{.*}} : tensor<4xf32>) {cap = 3.000000e+01 : f64, scale = 5.000000e-01 : f64, tiled, window = 3 : i64} : {{.*}} -> tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x6xf32>, tensor<4xf32>
// CHECK: nn.attend_grad {{.*}} sinks(%{{.*}} : tensor<4xf32>) {scale = 5.000000e-01 : f64, value_dims = 6 : i64} : {{.*}} -> tensor<?x4x8xf32>, tensor<?x1x8xf32>, tensor<4xf32>
func.func @attention_grad_of_all(%q: tensor<?x4x8xf32>, %k: tensor<?x2x8xf32>, %v: tensor<?x2x6xf32>, %latent: tensor<?x1x8xf32>, %seqs: tensor<?xi32>,
                                 %dy: tensor<?x4x6xf32>, %sinks: tensor<4xf32>) {
  %0:4 = nn.attend_grad %q, %k, %v seqs(%seqs) dy(%dy) sinks(%sinks : tensor<4xf32>) {scale = 0.5 : f64, window = 3 : i64, tiled, cap = 30.0 : f64} : tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x6xf32> seqs tensor<?xi32>, tensor<?x4x6xf32> -> tensor<?x4x8xf32>, tensor<?x2x8xf32>, tensor<?x2x6xf32>, tensor<4xf32>
  %1:3 = nn.attend_grad %q, %latent seqs(%seqs) dy(%dy) sinks(%sinks : tensor<4xf32>) {scale = 0.5 : f64, value_dims = 6 : i64} : tensor<?x4x8xf32>, tensor<?x1x8xf32> seqs tensor<?xi32>, tensor<?x4x6xf32> -> tensor<?x4x8xf32>, tensor<?x1x8xf32>, tensor<4xf32>
  return
}

// The cache of a sequence in pages.
// CHECK-LABEL: func.func @cached
// CHECK: cache(%{{.*}}[%{{.*}}], %{{.*}}, %{{.*}})
func.func @cached(%q: tensor<?x4x8xf32>, %latent: tensor<?x1x8xf32>, %at: tensor<?xi32>, %seqs: tensor<?xi32>, %layer: index,
                  %slot: tensor<?xi32>, %table: tensor<?x?xi32>, %cache: !nn.cache<8 x f32>) {
  %0 = nn.attend %q, %latent positions(%at) seqs(%seqs) cache(%cache[%layer], %slot, %table) {scale = 0.5 : f64, value_dims = 6 : i64} : tensor<?x4x8xf32>, tensor<?x1x8xf32> seqs tensor<?xi32>, tensor<?xi32> cache !nn.cache<8 x f32>, tensor<?xi32>, tensor<?x?xi32> -> tensor<?x4x6xf32>
  return
}

// CHECK-LABEL: func.func @shapes
// CHECK: nn.slice %{{.*}}[2, 3] : tensor<?x8xf32>
func.func @shapes(%x: tensor<?x8xf32>, %y: tensor<?x2xf32>, %seqs: tensor<?xi32>, %a: tensor<2x3xf32>, %b: tensor<1x3xf32>) {
  %0 = nn.reshape %x : tensor<?x8xf32> -> tensor<?x2x4xf32>
  %1 = nn.slice %x[2, 3] : tensor<?x8xf32>
  %2 = nn.concat %x, %y : tensor<?x8xf32>, tensor<?x2xf32>
  %3 = nn.last_rows %x, %seqs : tensor<?x8xf32>, tensor<?xi32> -> tensor<?x8xf32>
  %4 = nn.join_layers %a, %b : tensor<2x3xf32>, tensor<1x3xf32>
  return
}

// CHECK-LABEL: func.func @gradients
// CHECK: nn.glu_grad
func.func @gradients(%x: tensor<?x8xf32>, %dy: tensor<?x6xf32>, %w: tensor<6x8xf32>, %v: tensor<8xf32>, %half: tensor<?x4xf32>,
                     %sum: tensor<?xf32>, %hx: tensor<?x2x8xf32>, %hdy: tensor<?x2x6xf32>, %hw: tensor<2x6x8xf32>,
                     %ids: tensor<?xi32>, %rows: tensor<?x8xf32>) {
  %0 = nn.linear_dx %dy, %w : tensor<?x6xf32>, tensor<6x8xf32>
  %1 = nn.linear_dw %dy, %x : tensor<?x6xf32>, tensor<?x8xf32>
  %2 = nn.head_linear_dx %hdy, %hw : tensor<?x2x6xf32>, tensor<2x6x8xf32>
  %3 = nn.head_linear_dw %hdy, %hx : tensor<?x2x6xf32>, tensor<?x2x8xf32>
  %4:2 = nn.rms_norm_grad %x, %v, %x eps(1.0e-6) : tensor<?x8xf32>, tensor<8xf32>, tensor<?x8xf32>
  %5:3 = nn.layer_norm_grad %x, %v, %x eps(1.0e-6) : tensor<?x8xf32>, tensor<8xf32>, tensor<?x8xf32>
  %6 = nn.activate_grad gelu_tanh %x, %x : tensor<?x8xf32>, tensor<?x8xf32>
  %7 = nn.glu_grad silu %x, %half : tensor<?x8xf32>, tensor<?x4xf32>
  %8 = nn.reduce_grad max %x, %sum, %sum axis(1) : tensor<?x8xf32>, tensor<?xf32>, tensor<?xf32>
  %9 = nn.embedding_grad %ids, %x : tensor<?xi32>, tensor<?x8xf32> -> tensor<100x8xf32>
  %10 = nn.last_rows_grad %rows, %ids like %x : tensor<?x8xf32>, tensor<?xi32>, tensor<?x8xf32> -> tensor<?x8xf32>
  return
}
